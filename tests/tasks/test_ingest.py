"""The stage: what it understood lies in its artifact; what links may lead to depends on who named the source."""

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
from edgewright.simulate.source import write_source
from tasks.engine.session import Session
from tasks.ingest import ingest, told_of
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


def test_what_was_understood_is_told_and_tracked(tmp_path: Path, open_session: Callable[[LocalStore], Session]) -> None:
    store = LocalStore(tmp_path / "store")
    session = open_session(store)
    ref = ingest.execute(IngestConfig(photographs=24), {"source": "simulated"}, session=session, key="a" * 24)
    told = told_of(store.open(ref))
    assert ingest.tells is told_of
    assert told.lines[0] == "labels    yolo, in labels/"
    assert told.value["labeled"] == 24
    (child,) = session.tracker.client.search_runs(
        [session.tracker.client.get_run(session.link.mlflow_parent).info.experiment_id],
        "tags.`edgewright.key` = '" + "a" * 24 + "'",
    )
    assert {name: child.data.tags[name] for name in told.tags} == told.tags
    assert child.data.tags["mlflow.note.content"] == told.markdown


def test_labels_of_which_not_one_is_used_end_the_stage(
    tmp_path: Path, open_session: Callable[[LocalStore], Session]
) -> None:
    source = tmp_path / "photographs"
    write_source(source, n=12, seed=0)
    for path in (source / "labels").iterdir():
        path.write_text("0 0.5 0.5 0 0\n")
    store = LocalStore(tmp_path / "store")
    session = replace(open_session(store), trusted_source=True)
    with pytest.raises(SourceError, match="not one label could be used") as caught:
        ingest.execute(IngestConfig(), {"source": str(source)}, session=session, key="b" * 24)
    assert caught.value.exit_code == 2
    assert list(store.digests()) == []
