"""The labeler looks at every picture whose labels no person gave to it.

Decides, row by row: constructed labels of synthetic pictures are compared with what the labeler sees (`agreement.py`);
unlabeled photographs of `train` get its labels (`pseudo.py`); everything else passes through as it is. Where a person
reviewed a synthetic picture, the person's labels stand: what the labeler says of them is noted alone. Nothing is lost:
a label that is not kept becomes an ignored region, and so does an object that no label knows; a corrected label says
where it stood; a picture that is left out stays in the index with its reason. Labels that came with a synthetic
picture's background are judged like the rest: a person gave them to the photograph, not to this picture. Unlabeled
photographs of `val` and `test` stay unlabeled, or the labeler would examine its own pupil. One processor thread: what
is decided does not depend on how many a machine has, nor on how many helpers look (`shards/helpers.py`): they are asked
for shards of the pictures, which stay in the scratch folder until all are looked at.

    report = annotate(labeler, synthetic, config.label, writer=writer, photographs=real, on_progress=silent)
    writer.finish()                                    # by whoever opened it
    report.left_out_share
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgewright.artifacts import Artifact
from edgewright.compress.fpga.session import PROVIDER
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import LabelState, Origin, Row
from edgewright.errors import InputError
from edgewright.fanout.hands import Hands
from edgewright.fanout.processes import ALONE
from edgewright.label.job import LabelJob
from edgewright.label.trust.agreement import Decision
from edgewright.label.verdicts import Examination, Examiner, Verdict, is_constructed, is_unlabeled
from edgewright.learning.device import best_device, torch_threads
from edgewright.progress import OnProgress
from edgewright.recipe.label import LabelConfig
from edgewright.shards.folder import MakeShard, OnPicture, Shard, ShardFolder, ShardPlan
from edgewright.shards.helpers import HELPERS_AFTER_S, Help, make_with_help, shard_root

WORKER = "edgewright.label.worker"
"""The program of those that look beside this process."""
SHARD_ROWS = 64
Looked = Sequence[tuple[Row, Dataset]]
"""Rows that are looked at, each with the data set that holds its picture."""


@dataclass(frozen=True)
class Tally:
    """How many labels met which decision; `median_iou` over the judged ones, None where there is none."""

    keep: int
    correct: int
    review: int
    drop: int
    missed: int
    unjudged: int
    phantom: int
    median_iou: float | None


@dataclass(frozen=True)
class AnnotateReport:
    """What the labeler said of a data set.

    Attributes:
        judged_images: synthetic pictures that were compared. reviewed_images: those whose labels are a person's.
        left_out, left_out_share: ids of those that training shall not see; their pictures stay in the parent data set.
        pseudo_labeled_images, pseudo_labels: unlabeled photographs and what was found on them.
        pseudo_ignored: objects on them that are too uncertain to be labels: ignore regions.
        pseudo_thresholds: class name => the score from which its pseudo-labels count; None: none of them does.
        taught: classes whose pseudo-labels are the teacher's.
        teacher_refused: class name => why the teacher's labels of it do not count.
        total, per_class: decisions.
        warnings: sentences, of helpers that gave up.
    """

    judged_images: int
    reviewed_images: int
    left_out: tuple[str, ...]
    left_out_share: float
    pseudo_labeled_images: int
    pseudo_labels: int
    pseudo_ignored: int
    pseudo_thresholds: dict[str, float | None]
    taught: tuple[str, ...]
    teacher_refused: dict[str, str]
    total: Tally
    per_class: dict[str, Tally]
    warnings: tuple[str, ...] = ()


def annotate(
    labeler: Artifact,
    dataset: Dataset,
    config: LabelConfig,
    *,
    writer: DatasetWriter,
    photographs: Dataset | None = None,
    reviewed: Dataset | None = None,
    on_progress: OnProgress,
    hands: Hands = ALONE,
    scratch: Path | None = None,
    helpers_after_s: float = HELPERS_AFTER_S,
) -> AnnotateReport:
    """Write a row for every row of `dataset`. The caller finishes the writer.

    Args:
        photographs: another data set, whose unlabeled photographs of `train` are labeled and written too.
        reviewed: what a person said of synthetic pictures; known by their bytes.
        hands: who may look beside this process.
        scratch: where finished shards survive an interruption; a temporary folder by default. It must belong to this
            code: shards of other inputs are told apart, shards of other code are not.
        helpers_after_s: the remaining work, in seconds of one process, that is worth starting helpers for.

    Raises:
        InputError: the labeler or the review knows other classes than the data set; the review is empty, or of a
            picture that is not here; a helper would make something else.
        ArtifactCorrupt: the labeler's files do not fit each other, or a shard in the scratch folder is damaged.
    """
    looked = rows_to_look_at(dataset, photographs)
    examiner = open_examiner(labeler, dataset, config, looked=looked, reviewed=reviewed)
    job = LabelJob.of(labeler, (dataset, photographs, reviewed), config, [row for row, _ in looked])
    on_card = best_device().type != "cpu" or job.computed_by == PROVIDER
    few = ALONE if on_card else hands  # others would only wait for the same accelerator
    helped_by = Help(few, WORKER, job.to_bytes(), after_s=helpers_after_s)
    with shard_root(scratch) as root, torch_threads(1):
        folder = ShardFolder(root / job.name, ShardPlan(len(looked), SHARD_ROWS))
        helped = make_with_help(
            folder,
            shard_examiner(examiner, looked),
            helped_by=helped_by,
            on_progress=on_progress,
            what="pictures looked at",
        )
        examined = _collect(folder)
    _write([row for row in dataset.rows if not _is_looked_at(row)], dataset, writer)
    for examination, (_, source) in zip(examined, looked, strict=True):
        _write([examination.row], source, writer)
    return replace(_report(examined, examiner, dataset.classes), warnings=helped.warnings)


def unlabeled_rows(dataset: Dataset) -> list[Row]:
    """The photographs that a labeler may label: nobody did, and they are for training."""
    return [row for row in dataset.usable if is_unlabeled(row)]


def rows_to_look_at(dataset: Dataset, photographs: Dataset | None) -> Looked:
    """Raises InputError where the two know other classes."""
    looked = [(row, dataset) for row in dataset.rows if _is_looked_at(row)]
    if photographs is not None:
        photographs.check_classes(dataset.classes)
        looked += [(row, photographs) for row in unlabeled_rows(photographs)]
    return looked


def open_examiner(
    labeler: Artifact, dataset: Dataset, config: LabelConfig, *, looked: Looked, reviewed: Dataset | None
) -> Examiner:
    """Raises InputError and ArtifactCorrupt, as `annotate` does."""
    answers = {} if reviewed is None else _answers(reviewed, dataset)
    has_unlabeled = any(is_unlabeled(row) for row, _ in looked)
    return Examiner(labeler, dataset, config, answers=answers, has_unlabeled=has_unlabeled)


def shard_examiner(examiner: Examiner, looked: Looked) -> MakeShard:
    """How a process looks at a shard: the same in all of them."""

    def make(indexes: range, on_picture: OnPicture) -> Shard:
        rows, payloads = [], []
        for done, index in enumerate(indexes, start=1):
            found = examiner.examine(*looked[index])
            rows.append(found.row)
            payloads.append(found.verdict.to_bytes() if found.verdict else b"")
            on_picture(done)
        return Shard(tuple(rows), tuple(payloads), {})

    return make


def _is_looked_at(row: Row) -> bool:
    return not row.quarantine and (is_unlabeled(row) or is_constructed(row))


def _collect(folder: ShardFolder) -> list[Examination]:
    shards = [folder.read(number) for number in range(len(folder.plan))]
    return [
        Examination(row, Verdict.from_bytes(payload) if payload else None)
        for shard in shards
        for row, payload in zip(shard.rows, shard.payloads, strict=True)
    ]


def _write(rows: Iterable[Row], source: Dataset, writer: DatasetWriter) -> None:
    for row in rows:
        writer.carry(row, source)


def _answers(reviewed: Dataset, dataset: Dataset) -> dict[str, Row]:
    """Digest of a picture => the row that a person reviewed. None of them may be lost: every one must be here."""
    reviewed.check_classes(dataset.classes)
    made = {row.sha256 for row in dataset.usable if is_constructed(row)}
    answers = {
        row.sha256: row
        for row in reviewed.usable
        if row.state == LabelState.REVIEWED and row.origin == Origin.SYNTHETIC
    }
    others = [row.id for digest, row in answers.items() if digest not in made]
    if others or not answers:
        raise InputError(
            "pictures of the review are not among those that were generated" if others else "the review is empty",
            expected="a review of this run's synthetic pictures, no others",
            got=f"{len(answers)} reviewed synthetic pictures, {len(others)} others"
            + (f": {others[0]}" if others else ""),
            where=reviewed.ref.uri,
            next_step="generate as the reviewed run did (recipe, seed, source), or leave label.reviewed empty",
        )
    return answers


def _report(examined: Sequence[Examination], examiner: Examiner, classes: Sequence[str]) -> AnnotateReport:
    verdicts = [found.verdict for found in examined if found.verdict]
    left_out = tuple(found.row.id for found in examined if found.row.quarantine)
    pseudo_labeled = [found.row for found in examined if found.row.state == LabelState.MODEL]
    return AnnotateReport(
        judged_images=len(verdicts),
        reviewed_images=sum(found.row.state == LabelState.REVIEWED for found in examined),
        left_out=left_out,
        left_out_share=len(left_out) / max(1, len(verdicts)),
        pseudo_labeled_images=len(pseudo_labeled),
        pseudo_labels=sum(len(row.boxes) for row in pseudo_labeled),
        pseudo_ignored=sum(len(row.ignored) for row in pseudo_labeled),
        pseudo_thresholds=examiner.pseudo.thresholds,
        taught=examiner.pseudo.taught,
        teacher_refused=examiner.pseudo.refused,
        total=_tally(verdicts, None),
        per_class={name: _tally(verdicts, index) for index, name in enumerate(classes)},
    )


def _tally(verdicts: Sequence[Verdict], class_id: int | None) -> Tally:
    """Over one class, or over all (None)."""
    judgments = [
        judgment
        for verdict in verdicts
        for judgment, own in zip(verdict.judgments, verdict.class_id, strict=True)
        if class_id in (None, own)
    ]
    phantoms = [own for verdict in verdicts for own in verdict.phantom_class_id if class_id in (None, own)]
    counts = {decision.value: sum(j.decision is decision for j in judgments) for decision in Decision}
    overlaps = [judgment.iou for judgment in judgments if judgment.decision is not Decision.UNJUDGED]
    return Tally(**counts, phantom=len(phantoms), median_iou=float(np.median(overlaps)) if overlaps else None)
