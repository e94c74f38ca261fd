"""The cell detector's bundle, a repository that releases it, and a feed for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from edgewright.release.repository import ReleaseReport, publish_release
from edgewright.runtime.session import ModelSpec
from tests.cells import SPEC, cell_picture, write_bundle


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return SPEC


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`make_bundle(release=2, gain=0.9, …)` => a new bundle folder of the cell detector."""
    return lambda **changes: write_bundle(tmp_path_factory.mktemp("bundle"), **changes)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> str:
    """The program of tests/programs.py, by the name that hands of this machine find it under."""
    folder = str(Path(__file__).parents[1])
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])]))
    return "programs"


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def publish(tmp_path: Path, now: datetime) -> Callable[[Path], ReleaseReport]:
    """Publish a bundle folder in `tmp_path / "repository"` with keys in `tmp_path / "keys"`."""

    def publish_bundle(bundle: Path, *, channel: str = "stable") -> ReleaseReport:
        return publish_release(
            bundle, repository=tmp_path / "repository", keys=tmp_path / "keys", channel=channel, now=now
        )

    return publish_bundle


@pytest.fixture(scope="session")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six readable frames with two objects each, one broken, one file that is no picture."""
    folder = tmp_path_factory.mktemp("feed")
    for number in range(6):
        Image.fromarray(cell_picture(number % 4, (number + 1) % 4)).save(folder / f"{number:03d}.png")
    (folder / "003-broken.png").write_bytes(b"\x89PNG not really")
    (folder / "notes.txt").write_text("not a frame")
    return folder
