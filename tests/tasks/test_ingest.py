"""What a source's links may lead to, by who named the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.artifacts import LocalStore
from edgewright.data.dataset import Dataset
from edgewright.errors import SourceError
from edgewright.recipe.data import IngestConfig
from edgewright.settings import read_settings
from tasks.engine.session import Session
from tasks.ingest import ingest
from tests.scenes import picture_kinds

CONFIG = IngestConfig(min_images=1, follow_links=True)
OpenSession = Callable[[LocalStore], Session]


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder of links, and the pictures outside."""
    for name, payload in list(picture_kinds().items())[:3]:
        for folder in ("cache", "photos"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "cache" / name).write_bytes(payload)
        (tmp_path / "photos" / name).symlink_to(tmp_path / "cache" / name)
    return tmp_path / "photos"


def test_links_of_a_source_named_at_the_command_line(linked: Path, tmp_path: Path, open_session: OpenSession) -> None:
    session = replace(open_session(LocalStore(tmp_path / "store")), trusted_source=True)
    inputs = {"source": str(linked)}
    before = ingest.key(CONFIG, inputs, session=session)
    ref = ingest.execute(CONFIG, inputs, session=session, key=before)
    assert len(Dataset.open(session.store, ref).usable) == 3
    (linked.parent / "cache" / "plain.jpg").write_bytes(picture_kinds(1)["plain.jpg"])
    assert ingest.key(CONFIG, inputs, session=session) != before, "another picture is another source"


def test_links_of_a_source_named_in_a_form(linked: Path, tmp_path: Path, open_session: OpenSession) -> None:
    """It lies where sources may lie; what its links lead to is neither read nor hashed."""
    settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home"), "EDGEWRIGHT_SOURCES": str(linked)})
    session = replace(open_session(LocalStore(tmp_path / "store")), settings=settings)
    inputs = {"source": str(linked)}
    before = ingest.key(CONFIG, inputs, session=session)
    (linked.parent / "cache" / "plain.jpg").write_bytes(b"x")
    assert ingest.key(CONFIG, inputs, session=session) == before
    with pytest.raises(SourceError, match="followed only in a source that is named at the command line"):
        ingest.execute(CONFIG, inputs, session=session, key=before)
