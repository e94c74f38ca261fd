"""The review of a run, on a real store: pictures out, answers back as a new data set on the same pictures."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edgewright.artifacts import ArtifactRef, Content, LocalStore, Record
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.errors import ArtifactMissing, InputError, SourceError
from edgewright.recipe import resolve
from edgewright.recipe.data import IngestConfig
from edgewright.recipe.label import LabelConfig
from edgewright.review.of_run import export_review_of_run, import_review_of_run
from edgewright.settings import read_settings
from tasks.engine.journal import Journal, find_journal
from tasks.engine.session import Session
from tasks.engine.source import find_dataset, is_local, project_of
from tasks.engine.tracking import Tracker
from tasks.ingest import ingest
from tasks.serve.garbage import find_garbage, remove_garbage

Command = Callable[..., subprocess.CompletedProcess[str]]
Publish = Callable[[LocalStore, Sequence[int]], ArtifactRef]
OpenSession = Callable[[LocalStore], Session]
Run = tuple[LocalStore, dict[str, ArtifactRef]]
SIDE_PX = 48
CONFIG = LabelConfig(pseudo_min_found=1, pseudo_ignore_score=0.01)


def test_photographs_go_out_and_come_back_reviewed(run: Run, tmp_path: Path) -> None:
    store, refs = run
    exported = export_review_of_run(store, refs, to=tmp_path / "out", format="coco", limit=100, config=CONFIG)
    assert exported.images >= 5  # the unlabeled ones, and the suspects
    path = tmp_path / "out" / "annotations.json"
    ref, report = import_review_of_run(store, refs, path, person="ann", config=CONFIG)
    assert (report.reviewed, report.added, report.removed) == (exported.images, 0, 0)
    before, after = Dataset.open(store, refs["ingest"]), Dataset.open(store, ref)
    assert [row.sha256 for row in after.rows] == [row.sha256 for row in before.rows]
    assert [row.split for row in after.rows] == [row.split for row in before.rows]
    assert sum(row.state == "reviewed" for row in after.rows) == exported.images
    manifest = store.manifest(ref.sha256)
    assert not [name for name in manifest.content.files if name.startswith("shards/")]
    assert manifest.record.facts["persons"] == ["ann"]
    proposed = [label for row in after.rows if row.id == "0.png" for label in row.labels]
    assert {label.model for label in proposed} <= {refs["train_labeler"].sha256}


def test_the_same_answers_give_the_same_data_set(run: Run, tmp_path: Path) -> None:
    store, refs = run
    export_review_of_run(store, refs, to=tmp_path / "out", format="coco", limit=3, config=CONFIG)
    path = tmp_path / "out" / "annotations.json"
    one, other = (import_review_of_run(store, refs, path, person="ann", config=CONFIG)[0] for _ in range(2))
    assert one == other
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "annotations": []}))
    assert import_review_of_run(store, refs, path, person="ann", config=CONFIG)[0] != one


def test_a_run_that_has_not_come_so_far(run: Run, tmp_path: Path) -> None:
    store, refs = run
    with pytest.raises(ArtifactMissing, match="no result of label"):
        export_review_of_run(store, refs, part="synthetic", to=tmp_path / "out", format="coco", limit=1)
    with pytest.raises(ArtifactMissing, match="no result of train_labeler"):
        export_review_of_run(store, {"ingest": refs["ingest"]}, to=tmp_path / "out", format="coco", limit=1)
    with pytest.raises(InputError, match="no such part"):
        export_review_of_run(store, refs, part="other", to=tmp_path / "out", format="coco", limit=1)


def test_a_persons_answers_survive_the_sweep_and_what_was_proposed_does_not(
    tmp_path: Path, tracker: Tracker, publish_photographs: Publish
) -> None:
    settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path)})
    store = LocalStore(tmp_path / "store")
    real = publish_photographs(store, range(3))
    answers = {"dataset": real.sha256, "answers": "0" * 64}
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("square",))
        for row in Dataset.open(store, real).rows:
            writer.link(row, Dataset.open(store, real))
        writer.finish()
        reviewed = store.publish(work, Content(kind="dataset_real", stage="review", inputs=answers), Record())
    with store.workspace() as work:
        (work / "proposals").write_text("the labeler can say it again")
        inputs = {"dataset": real.sha256, "labeler": "1" * 64}
        proposed = store.publish(work, Content(kind="dataset_labeled", stage="review", inputs=inputs), Record())
    plan = find_garbage(store, settings, tracker, keep=0)
    assert plan.artifacts == (proposed.sha256,)
    remove_garbage(store, settings, plan)
    dataset = Dataset.open(store, reviewed)
    assert dataset.image(dataset.rows[0]).shape == (SIDE_PX, SIDE_PX, 3)


def test_reviewed_photographs_begin_the_next_run(run: Run, tmp_path: Path, open_session: OpenSession) -> None:
    store, refs = run
    export_review_of_run(store, refs, to=tmp_path / "out", format="coco", limit=4, config=CONFIG)
    answers = tmp_path / "out" / "annotations.json"
    reviewed, _ = import_review_of_run(store, refs, answers, person="ann", config=CONFIG)
    session = open_session(store)
    config, sources = IngestConfig(), [f"dataset:{reviewed.sha256[:digits]}" for digits in (12, 64)]
    keys = {ingest.key(config, {"source": source}, session=session) for source in sources}
    assert len(keys) == 1
    assert ingest.key(config, {"source": f"dataset:{refs['ingest'].sha256}"}, session=session) not in keys
    taken = ingest.execute(config, {"source": sources[0]}, session=session, key=keys.pop())
    assert Dataset.open(store, taken).rows == Dataset.open(store, reviewed).rows
    assert store.manifest(taken.sha256).content.inputs == {"source": reviewed.sha256}
    assert store.open(taken).json("origin.json") == {"simulated": True}
    assert store.open(taken).json("ingest.json")["layout"] == "dataset"


def write_down(refs: dict[str, ArtifactRef], *, home: Path) -> None:
    """The journal of a run that has come so far."""
    recipe = resolve("laptop", overrides=["label.pseudo_min_found=1", "label.pseudo_ignore_score=0.01"])
    journal = Journal.begin(home / "runs", project="parts", source="", recipe=recipe.model_dump(mode="json"), plan="")
    journal.update(refs={name: ref.to_json() for name, ref in refs.items()}, status="finished")


@pytest.mark.slow  # three commands, each a process of its own, one with a Prefect server
def test_by_the_commands_reviewed_photographs_begin_the_next_run(run: Run, tmp_path: Path, command: Command) -> None:
    store, refs = run
    home = Path(store.uri.removeprefix("file://")).parent
    write_down(refs, home=home)
    words = ("--to", str(tmp_path / "out"), "--format", "coco")
    assert "doubtful pictures" in command("review", "export", "latest", *words, home=home).stdout
    answers = str(tmp_path / "out" / "annotations.json")
    printed = command("review", "import", "latest", answers, "--person", "ann", home=home).stdout
    go_on = shlex.split(printed.splitlines()[-1].removeprefix("go on with: edgewright "))
    assert (go_on[0], go_on[2], go_on[4:]) == ("run", "--source", ["--project", "parts"])
    go_on[1:2] = ["laptop", "--set", "ingest.min_images=12", "--until", "ingest", "--json"]
    done = json.loads(command(*go_on, home=home).stdout)
    assert [stage["name"] for stage in done["stages"]] == ["ingest"]
    state = find_journal(home / "runs", "latest").state
    taken = Dataset.open(store, ArtifactRef.from_json(state["refs"]["ingest"]))
    reviewed = Dataset.open(store, find_dataset(go_on[go_on.index("--source") + 1], store))
    assert taken.rows == reviewed.rows
    assert taken.ref.kind == "dataset_real"
    assert store.open(taken.ref).json("origin.json") == {"simulated": True}
    assert {label.person for row in taken.rows if row.state == "reviewed" for label in row.labels} == {"ann"}


def test_a_source_in_the_store_is_named_beyond_doubt(run: Run) -> None:
    store, refs = run
    real, labeler = refs["ingest"].sha256, refs["train_labeler"].sha256
    assert find_dataset(f"dataset:{real[:8]}", store) == refs["ingest"]
    for wrong in (real[:3], "0" * 64, ""):
        with pytest.raises(SourceError, match="no such data set"):
            find_dataset(f"dataset:{wrong}", store)
    with pytest.raises(SourceError, match=r"not a data set.*labeler"):
        find_dataset(f"dataset:{labeler}", store)
    assert project_of(f"dataset:{real}") == f"dataset-{real[:12]}"
    assert not is_local(f"dataset:{real}")
