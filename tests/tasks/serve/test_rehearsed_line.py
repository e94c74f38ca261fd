"""A line with two devices of the agent's own code, over TLS and TUF: what comes home, and how a second release spreads.

A detector of cells looks at parts: how well it sees is not asked here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgewright.rehearsal.plan import RehearsalConfig
from edgewright.release.repository import publish_release
from edgewright.settings import Settings, read_settings
from tasks.serve.collector import frames_of
from tasks.serve.rehearsed_line import line_of
from tests.cells import write_bundle

pytestmark = pytest.mark.slow
PROJECT = "rehearsal-night-0"
CONFIG = RehearsalConfig(frames=400)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home")})


def publish(settings: Settings, folder: Path, release: int, **changes: float) -> None:
    (folder / str(release)).mkdir()
    publish_release(
        write_bundle(folder / str(release), release=release, **changes),
        repository=settings.releases / PROJECT,
        keys=settings.keys / PROJECT,
        channel="stable",
        now=datetime.now(UTC),
        roll_out=release == 1,
    )


def test_frames_come_home_under_a_policy_alone_and_a_release_goes_to_one_device_first(
    settings: Settings, tmp_path: Path
) -> None:
    publish(settings, tmp_path, 1)
    said = list[str]()
    words = {"seed": 0, "name": "line", "folder": tmp_path / "devices", "on_step": said.append}
    with line_of(settings, PROJECT, CONFIG, **words) as line:  # type: ignore[arg-type]
        line.begin()
        assert [device.release for device in line.devices] == [1, 1]
        line.see(100)
        for device in line.devices:
            device.tell()
        assert frames_of(settings).frames(PROJECT) == [], "nobody has signed that any may leave"
        seen = line.keep_hard_frames()
    assert {name: len(frames) for name, frames in seen.items()} == {"line-0": 200, "line-1": 200}
    kept = frames_of(settings).frames(PROJECT)
    assert 1 <= len(kept) <= CONFIG.kept == 4
    names = {frame.name for frames in seen.values() for frame in frames}
    assert {frame.facts["frame"] for frame in kept} <= names
    publish(settings, tmp_path, 2, gain=0.95)
    with line_of(settings, PROJECT, CONFIG, **words) as line:  # type: ignore[arg-type]
        line.rejoin(camera=line.camera, after=300)
        rollout = line.roll_out(2)
        assert rollout.ended and [device.release for device in line.devices] == [2, 2]
    assert any("begins with" in line for line in said) and "every stage is done" in rollout.why
