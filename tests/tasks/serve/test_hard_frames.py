from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgewright.cli import main
from edgewright.cli.home import home_store
from edgewright.data.codec import encode_png
from edgewright.data.rows import Label, LabelState, Row
from edgewright.review.of_fleet import export_frames, import_frames
from edgewright.settings import Settings, read_settings
from tasks.serve import hard_frames
from tasks.serve.collector import frames_of
from tasks.serve.hard_frames import AT_LEAST, DAY_S, announce
from tests.edgewright.fleet.test_frames import send_one
from tests.edgewright.review.test_of_fleet import CLASSES, answers, noise, send
from tests.scenes import publish_dataset

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


def test_what_a_person_has_answered_goes_when_somebody_says_so(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """First it is shown; what nobody has answered stays, and what comes later is announced as before."""
    store, box = home_store(settings), frames_of(settings)
    for seed in range(3):
        send(box, seed)
    label = Label(0, 0, (2.0, 2.0, 12.0, 12.0))
    row = Row(id="0.png", sha256="", width=64, height=48, labels=(label,), state=LabelState.HUMAN)
    photographs = publish_dataset(store, [(row, encode_png(np.asarray(noise(9))))], classes=CLASSES)
    refs, frames = {"ingest": photographs.ref}, box.frames("belt")
    hard_frames._remember(box.folder / "belt", len(frames))
    export_frames(store, refs, frames, to=tmp_path / "out", format="coco", limit=10)
    import_frames(store, refs, frames, answers(tmp_path / "out", only=2), person="ann")
    monkeypatch.setattr("edgewright.cli.fleet.home_settings", lambda: settings)

    def said(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["fleet", "frames", "--project", "belt", "--forget-reviewed", *words])
        assert ended.value.code == 0
        return capsys.readouterr().out

    assert "would free 2 reviewed frames of belt" in said() and len(box.frames("belt")) == 3
    assert "freed 2 reviewed frames of belt" in said("--yes")
    assert (len(box.frames("belt")), hard_frames._announced(box.folder / "belt")) == (1, 1)
    assert len(list(box.folder.rglob("*.webp"))) == 1
    assert said("--yes") == "freed 0 reviewed frames of belt, 0.0 MB; 1 wait for a review\n"
