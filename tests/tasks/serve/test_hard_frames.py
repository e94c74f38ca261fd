from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewright.settings import Settings, read_settings
from tasks.serve import hard_frames
from tasks.serve.collector import frames_of
from tasks.serve.hard_frames import AT_LEAST, DAY_S, announce
from tests.edgewright.fleet.test_frames import send_one

NOW = 1_790_000_000.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"EDGEWRIGHT_HOME": str(tmp_path)})


def test_frames_are_announced_once_there_are_enough_or_a_day_is_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server would be asked is tested on the stack; here there is one that nobody has to ask."""
    from contextlib import nullcontext

    monkeypatch.setattr(hard_frames, "live_server", lambda home: object())
    monkeypatch.setattr(hard_frames, "standing_server", nullcontext)
    box = frames_of(settings)
    assert announce(settings, now=NOW) == {}
    for number in range(AT_LEAST - 1):
        send_one(box, number)
    for path in box.folder.rglob("*.webp"):
        os.utime(path, (NOW, NOW))
    assert announce(settings, now=NOW + 60) == {}
    assert announce(settings, now=NOW + DAY_S) == {"belt": AT_LEAST - 1}
    assert announce(settings, now=NOW + 2 * DAY_S) == {}, "once"
    for number in range(AT_LEAST):
        send_one(box, 100 + number, device="line-2")
    assert announce(settings, now=NOW) == {"belt": AT_LEAST}


def test_without_a_server_nothing_is_announced_and_nothing_forgotten(settings: Settings) -> None:
    for number in range(AT_LEAST):
        send_one(frames_of(settings), number)
    assert announce(settings, now=NOW) == {}
    assert not list(frames_of(settings).folder.rglob("announced")), "nobody listens"
