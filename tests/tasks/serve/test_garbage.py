"""What `gc` counts as a run: a start that failed takes nobody's place."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgewright.artifacts import ArtifactRef, Content, LocalStore, Record
from edgewright.settings import read_settings
from tasks.engine.journal import Journal
from tasks.engine.tracking import Tracker
from tasks.serve.garbage import find_garbage


def publish(store: LocalStore, number: int) -> ArtifactRef:
    with store.workspace() as work:
        (work / "n.txt").write_text(str(number))
        return store.publish(work, Content(kind="dataset_real", stage="ingest"), Record())


def test_starts_that_failed_keep_no_run_from_being_kept(tmp_path: Path, migrated: Path) -> None:
    settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path)})
    store, tracker = LocalStore(tmp_path / "store"), Tracker(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    shutil.copy(migrated, tmp_path / "mlflow.db")
    runs = [Journal(settings.runs / f"2026010{day}-000000-aaaaaa" / "run.json") for day in range(1, 6)]
    first = Journal.begin(settings.runs, project="p", source="s", recipe={}, plan="p")
    refs = [publish(store, number) for number in range(2)]
    for run, ref, status in zip(runs, [*refs, None, None, None], ["finished"] * 2 + ["failed"] * 3, strict=True):
        run.path.parent.mkdir()
        shutil.copy(first.path, run.path)
        run.update(status=status, refs={"ingest": ref.to_json()} if ref else {})
    shutil.rmtree(first.path.parent)
    kept = {keep: find_garbage(store, settings, tracker, keep=keep) for keep in (0, 1, 2)}
    assert {keep: len(plan.artifacts) for keep, plan in kept.items()} == {0: 2, 1: 1, 2: 0}
    assert kept[1].runs == (runs[0].run_id,)
    assert kept[1].artifacts == (refs[0].sha256,)
