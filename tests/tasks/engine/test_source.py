"""Sources are looked at before anything is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import SourceError
from edgewright.settings import Settings, read_settings
from tasks.engine.source import require_source


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home"), "EDGEWRIGHT_SOURCES": str(tmp_path / "open")})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "the source does not exist"),
        ("empty", "the source is empty"),
        ("dataset:0123456789", "no such data set in the store"),
    ],
)
def test_what_is_not_there_leaves_nothing_behind(source: str, words: str, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    named = source if ":" in source else str(tmp_path / source)
    with pytest.raises(SourceError, match=words):
        require_source(named, settings, trusted=True)
    assert not settings.runs.exists()
    assert not (settings.home / "mlflow").exists()


def test_a_form_reads_what_it_may(settings: Settings, tmp_path: Path) -> None:
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"x")
    require_source(str(tmp_path / "open"), settings, trusted=False)
    require_source(str(tmp_path / "closed"), settings, trusted=True)
    require_source("simulated", settings, trusted=False)
    with pytest.raises(SourceError, match="EDGEWRIGHT_SOURCES"):
        require_source(str(tmp_path / "closed"), settings, trusted=False)


def test_a_prefix_without_objects(s3_bucket: str, settings: Settings) -> None:
    with pytest.raises(SourceError, match="no objects at the source"):
        require_source(f"s3://{s3_bucket}/nothing/here", settings, trusted=True)
