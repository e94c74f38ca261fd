"""The stage: what it understood lies in its artifact, so that one from the store says the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.artifacts import LocalStore
from edgewright.errors import SourceError
from edgewright.recipe.data import IngestConfig
from edgewright.simulate.source import write_source
from tasks.engine.session import Session
from tasks.ingest import ingest, told_of


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
