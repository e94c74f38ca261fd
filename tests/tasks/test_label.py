"""The labeler's stage on a folder that people have labeled in part, and what training sees of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edgewright.artifacts import ArtifactRef, Content, LocalStore, Record
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.errors import InputError
from edgewright.gates.verdict import Outcome, Verdict
from edgewright.recipe.label import LabelConfig
from edgewright.review.of_run import export_review_of_run, import_review_of_run
from edgewright.review.round_trip import ReviewExport
from tasks.engine.session import Session
from tasks.gate_data import admit
from tasks.label import computed_by, label

OpenSession = Callable[[LocalStore], Session]
Run = tuple[LocalStore, dict[str, ArtifactRef]]
EAGER = LabelConfig(pseudo_precision=0.01, pseudo_min_found=1, pseudo_ignore_score=0.01, max_bad_share=1.0)
"""Believes even a labeler that has learned for forty steps."""


@pytest.fixture(scope="module")
def synthetic(run: Run) -> ArtifactRef:
    """Pictures that pass for synthetic ones: two of the labeled photographs under other names."""
    store, refs = run
    real = Dataset.open(store, refs["ingest"])
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=real.classes)
        for row in [row for row in real.rows if row.state == "human"][:2]:
            writer.link(replace(row, id=f"s-{row.id}", origin="synthetic", state="constructed"), real)
        writer.finish()
        return store.publish(work, Content(kind="dataset_synthetic", stage="generate"), Record())


def labeled(run: Run, synthetic: ArtifactRef, session: Session, config: LabelConfig = EAGER) -> Dataset:
    store, refs = run
    inputs = {"labeler": refs["train_labeler"], "dataset": synthetic, "photographs": refs["ingest"]}
    ref = label.execute(config, inputs, session=session, key=label.key(config, inputs, session=session))
    return Dataset.open(store, ref)


def training(run: Run, labels: Dataset, outcome: Outcome) -> Dataset:
    store, refs = run
    verdict = Verdict("gate_data", outcome, (), "because", "admitted")
    with store.workspace() as work:
        admit(Dataset.open(store, refs["ingest"]), labels, verdict, writer=DatasetWriter(work, classes=labels.classes))
        return Dataset.open(store, store.publish(work, Content(kind="dataset_training", stage="gate_data"), Record()))


@pytest.mark.parametrize(("outcome", "n_synthetic"), [(Outcome.PASS, 2), (Outcome.REFUSE, 0)])
def test_photographs_that_nobody_labeled_are_trained_on(
    run: Run, synthetic: ArtifactRef, open_session: OpenSession, outcome: Outcome, n_synthetic: int
) -> None:
    """The verdict is of the synthetic pictures; pseudo-labels have a gate of their own."""
    store, refs = run
    labels = labeled(run, synthetic, open_session(store))
    unlabeled = [row.id for row in Dataset.open(store, refs["ingest"]).rows if row.state == "unlabeled"]
    sure = [row.id for row in labels.usable if row.state == "model" and len(row.boxes)]
    assert sure
    assert set(sure) <= set(unlabeled)
    rows = training(run, labels, outcome).select(split="train", labeled=True)
    assert [row.id for row in rows if row.state == "model"] == sure
    assert {one.source for row in rows if row.state == "model" for one in row.labels} == {"labeler"}
    assert sum(row.state == "human" for row in rows) == 10
    assert sum(row.origin == "synthetic" for row in rows) == n_synthetic


def test_a_photograph_on_which_it_is_sure_of_nothing_is_no_background(
    run: Run, synthetic: ArtifactRef, open_session: OpenSession
) -> None:
    unsure = EAGER.model_copy(update={"pseudo_min_found": 10_000})
    labels = labeled(run, synthetic, open_session(run[0]), unsure)
    assert any(row.state == "model" for row in labels.usable)
    rows = training(run, labels, Outcome.PASS).usable
    assert {row.state for row in rows} == {"human", "unlabeled", "constructed"}


def test_the_recipe_may_leave_them_alone(run: Run, synthetic: ArtifactRef, open_session: OpenSession) -> None:
    labels = labeled(run, synthetic, open_session(run[0]), EAGER.model_copy(update={"use_unlabeled": False}))
    assert {row.origin for row in labels.rows} == {"synthetic"}


def test_photographs_are_not_exported_among_synthetic_pictures(
    run: Run, synthetic: ArtifactRef, open_session: OpenSession, tmp_path: Path
) -> None:
    store, refs = run
    config = EAGER.model_copy(update={"keep_iou": 1.0, "correct_score": 1.0})
    known = {**refs, "generate": synthetic, "label": labeled(run, synthetic, open_session(store), config).ref}
    done = export_review_of_run(store, known, part="synthetic", to=tmp_path / "out", format="coco", limit=100)
    assert done.images == 2


def test_the_numbers_of_an_fpga_are_used_where_they_were_written_alone(
    run: Run, synthetic: ArtifactRef, open_session: OpenSession
) -> None:
    config = EAGER.model_copy(update={"number_format": "fpga"})
    with pytest.raises(InputError, match="not written for an FPGA"):
        labeled(run, synthetic, open_session(run[0]), config)
    assert (computed_by(config), computed_by(EAGER)) == ({"computed_by": "emulation"}, {})


STRICT = EAGER.model_copy(update={"keep_iou": 1.0, "drop_iou": 1.0, "max_bad_share": 0.0})
"""Leaves every picture out."""


@dataclass(frozen=True)
class Review:
    """A person's answer to one of the two pictures that the labeler left out."""

    judged: Dataset
    done: ReviewExport
    ref: ArtifactRef


@pytest.fixture
def review(run: Run, synthetic: ArtifactRef, open_session: OpenSession, tmp_path: Path) -> Review:
    store, refs = run
    judged = labeled(run, synthetic, open_session(store), STRICT)
    known = {**refs, "generate": synthetic, "label": judged.ref}
    done = export_review_of_run(store, known, part="synthetic", to=tmp_path / "out", format="coco", limit=1)
    answers = tmp_path / "out" / "annotations.json"
    return Review(judged, done, import_review_of_run(store, known, answers, part="synthetic", person="ann")[0])


def test_pictures_that_the_labeler_left_out_are_the_first_to_review(run: Run, review: Review) -> None:
    judged, reviewed = review.judged, Dataset.open(run[0], review.ref)
    assert len(judged.quarantined) == 2
    assert (review.done.doubtful, review.done.images) == (2, 1)
    (taken,), (other,) = reviewed.usable, reviewed.quarantined
    assert (taken.state, taken.origin, {one.person for one in taken.labels}) == ("reviewed", "synthetic", {"ann"})
    assert reviewed.image(taken).shape == (48, 48, 3)
    assert (other.shard_digest, other.quarantine) == ("", next(r.quarantine for r in judged.rows if r.id == other.id))


def told(ref: ArtifactRef) -> LabelConfig:
    return STRICT.model_copy(update={"reviewed": f"dataset:{ref.sha256[:16]}"})


def test_what_a_person_said_of_synthetic_pictures_stands(
    run: Run, review: Review, synthetic: ArtifactRef, open_session: OpenSession
) -> None:
    judged = labeled(run, synthetic, open_session(run[0]), told(review.ref))
    (taken,) = judged.select(origin="synthetic")
    (answer,) = Dataset.open(run[0], review.ref).usable
    assert (taken.id, taken.state, taken.labels) == (answer.id, "reviewed", answer.labels)
    assert taken.scores["judged"] + taken.scores["phantom"] > 0
    assert len(judged.quarantined) == 1  # nobody looked at the other one
    trained_on = training(run, judged, Outcome.PASS).select(origin="synthetic", labeled=True)
    assert [row.id for row in trained_on] == [taken.id]


def test_a_review_is_taken_whole_or_not_at_all(
    run: Run, review: Review, synthetic: ArtifactRef, open_session: OpenSession
) -> None:
    """One reviewed picture of the run and one that it never made: nothing of a person's work is dropped unsaid."""
    store, _ = run
    reviewed = Dataset.open(store, review.ref)
    (answer,) = reviewed.usable
    stray = next(row for row in review.judged.rows if row.origin == "real")
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=reviewed.classes)
        writer.link(answer, reviewed)
        writer.link(replace(stray, origin="synthetic", state="reviewed"), review.judged)
        writer.finish()
        mixed = store.publish(work, Content(kind=review.ref.kind, stage="review"), Record())
    with pytest.raises(InputError, match="2 reviewed synthetic pictures, 1 others"):
        labeled(run, synthetic, open_session(store), told(mixed))


def test_an_empty_review_is_refused(run: Run, synthetic: ArtifactRef, open_session: OpenSession) -> None:
    store, refs = run
    with pytest.raises(InputError, match="the review is empty"):
        labeled(run, synthetic, open_session(store), told(refs["ingest"]))
