"""A project that releases, and what its devices see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgewright.release.repository import publish_release
from edgewright.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home")})


@pytest.fixture
def publish(settings: Settings, make_cells: Callable[..., Path]) -> Callable[..., None]:
    """`publish(2, gain=0.9)`: release 2 is permitted; the first is rolled out to all."""

    def run(release: int, **changes: float) -> None:
        publish_release(
            make_cells(release=release, **changes),
            repository=settings.releases / "belt",
            keys=settings.keys / "belt",
            channel="stable",
            now=datetime.now(UTC),
            roll_out=release == 1,
        )

    return run


@pytest.fixture
def make_cells(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    from tests.cells import write_bundle

    return lambda **changes: write_bundle(tmp_path_factory.mktemp("bundle"), **changes)


@pytest.fixture
def cells_feed(tmp_path: Path) -> Path:
    from PIL import Image

    from tests.cells import cell_picture

    (tmp_path / "feed").mkdir()
    for number in range(3):
        Image.fromarray(cell_picture(number % 4, (number + 1) % 4)).save(tmp_path / f"feed/{number}.png")
    return tmp_path / "feed"
