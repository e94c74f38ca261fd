"""The labeler looks at every picture whose labels no person gave to it.

Decides, row by row: constructed labels of synthetic pictures are compared with what the labeler sees (`agreement.py`);
unlabeled photographs of `train` get its labels (`pseudo.py`); everything else passes through as it is. Where a person
reviewed a synthetic picture, the person's labels stand: what the labeler says of them is noted alone. Nothing is lost:
a label that is not kept becomes an ignored region, and so does an object that no label knows; a corrected label says
where it stood; a picture that is left out stays in the index with its reason. Labels that came with a synthetic
picture's background are judged like the rest: a person gave them to the photograph, not to this picture. Unlabeled
photographs of `val` and `test` stay unlabeled, or the labeler would examine its own pupil. One processor thread: what
is decided does not depend on how many a machine has.

    report = annotate(labeler, synthetic, config.label, writer=writer, photographs=real, on_progress=silent)
    writer.finish()                                    # by whoever opened it
    report.left_out_share
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgewright.artifacts import Artifact
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rle import Mask
from edgewright.data.rows import Label, LabelSource, LabelState, Origin, Row, Split, labels_of
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.label.network.net import Labeler, LabelerSpec
from edgewright.label.trust.agreement import Agreement, Decision, Judgment, compare
from edgewright.label.trust.evidence import EVIDENCE_FILE, Evidence
from edgewright.label.trust.pseudo import Annotator, PseudoLabeler
from edgewright.label.trust.teacher import Examined
from edgewright.learning.device import torch_threads
from edgewright.progress import OnProgress
from edgewright.recipe.label import LabelConfig
from edgewright.runtime.boxes import Boxes

_PROGRESS_EVERY_S = 0.5


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


@dataclass(frozen=True)
class _Verdict:
    """One synthetic row: what was decided of its counting labels, and the classes of the phantoms."""

    row: Row
    class_id: tuple[int, ...]
    judgments: tuple[Judgment, ...]
    phantom_class_id: tuple[int, ...]


def annotate(
    labeler: Artifact,
    dataset: Dataset,
    config: LabelConfig,
    *,
    writer: DatasetWriter,
    photographs: Dataset | None = None,
    reviewed: Dataset | None = None,
    on_progress: OnProgress,
) -> AnnotateReport:
    """Write a row for every row of `dataset`. The caller finishes the writer.

    Args:
        photographs: another data set, whose unlabeled photographs of `train` are labeled and written too.
        reviewed: what a person said of synthetic pictures; known by their bytes.

    Raises:
        InputError: the labeler or the review knows other classes than the data set; the review is empty, or of a
            picture that is not here.
        ArtifactCorrupt: the labeler's files do not fit each other.
    """
    sources = [(row, dataset) for row in dataset.rows]
    if photographs is not None:
        photographs.check_classes(dataset.classes)
        sources += [(row, photographs) for row in unlabeled_rows(photographs)]
    answers = {} if reviewed is None else _answers(reviewed, dataset)
    has_unlabeled = any(_is_unlabeled(row) for row, _ in sources)
    with torch_threads(1):
        annotator = _Annotator(labeler, dataset, config, answers=answers, has_unlabeled=has_unlabeled)
        reported = 0.0
        for done, (row, source) in enumerate(sources, start=1):
            annotator.write(row, source, writer)
            if time.monotonic() - reported > _PROGRESS_EVERY_S or done == len(sources):
                reported = time.monotonic()
                on_progress(done, len(sources), f"pictures looked at, {len(annotator.left_out)} left out")
    return annotator.report()


def unlabeled_rows(dataset: Dataset) -> list[Row]:
    """The photographs that a labeler may label: nobody did, and they are for training."""
    return [row for row in dataset.usable if _is_unlabeled(row)]


def _is_unlabeled(row: Row) -> bool:
    return row.state == LabelState.UNLABELED and row.split == Split.TRAIN and not row.quarantine


def _answers(reviewed: Dataset, dataset: Dataset) -> dict[str, Row]:
    """Digest of a picture => the row that a person reviewed. None of them may be lost: every one must be here."""
    reviewed.check_classes(dataset.classes)
    made = {row.sha256 for row in dataset.usable if _is_constructed(row)}
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


def _is_constructed(row: Row) -> bool:
    return row.origin == Origin.SYNTHETIC and row.state == LabelState.CONSTRUCTED


def judge_row(row: Row, seen: Boxes, *, spec: LabelerSpec, config: LabelConfig) -> Agreement:
    """The row's counting labels, in order, against what was seen in its picture."""
    truth = row.boxes
    return compare(
        truth, seen, config=config, ignored=row.ignored, judgeable=judgeable(truth, row, spec=spec, config=config)
    )


def judgeable(truth: Boxes, row: Row, *, spec: LabelerSpec, config: LabelConfig) -> Mask:
    """(N,) whether a label is large enough for the labeler, in the px that it sees, and of a class it learned."""
    if row.width is None or row.height is None:
        raise ArtifactCorrupt("a picture without a size", where=row.id)
    scale = spec.image_px / max(row.width, row.height)
    large = truth.wh.min(axis=1, initial=np.inf) * scale >= config.min_object_px
    verdict: Mask = large & np.array(spec.learned, dtype=bool)[truth.class_id]
    return verdict


def relabel(row: Row, agreement: Agreement, *, seen: Boxes, model: str) -> tuple[Label, ...]:
    """The row's labels after the judgment, then the phantoms: kept labels carry how sure the labeler is of them."""
    judgments = iter(agreement.judgments)
    labels = [
        label if label.ignore else _relabel(label, next(judgments), seen=seen, model=model) for label in row.labels
    ]
    unknown = labels_of(seen[np.array(agreement.phantoms, dtype=np.int64)], source=LabelSource.PHANTOM, model=model)
    first = 1 + max((label.instance_id for label in labels), default=-1)
    return (*labels, *(replace(label, instance_id=first + i, ignore=True) for i, label in enumerate(unknown)))


def _relabel(label: Label, judgment: Judgment, *, seen: Boxes, model: str) -> Label:
    if judgment.decision is Decision.UNJUDGED:
        return label
    confidence = judgment.score * judgment.iou
    if judgment.decision is Decision.KEEP:
        return replace(label, confidence=confidence)
    if judgment.decision is Decision.CORRECT:
        (better,) = labels_of(seen[[judgment.at]], source=LabelSource.CORRECTED, model=model)
        # The mask was the old box's; how well the two agree no longer matters.
        return replace(better, instance_id=label.instance_id, replaced_xyxy=label.xyxy)
    source = LabelSource.REVIEW if judgment.decision is Decision.REVIEW else LabelSource.DROPPED
    return replace(label, ignore=True, confidence=confidence, source=source, model=model)


def _open_pseudo_labeler(
    artifact: Artifact, labeler: Labeler, classes: tuple[str, ...], config: LabelConfig, *, has_unlabeled: bool
) -> PseudoLabeler:
    """The teacher is opened only where there is something for it to label."""
    evidence = Evidence.from_json(artifact.json(EVIDENCE_FILE))
    own = Annotator(labeler, evidence, labeler.spec.learned, LabelSource.LABELER, artifact.ref.sha256)
    examined = Examined.of(artifact)
    if examined is None or not has_unlabeled:
        return PseudoLabeler(own, None, config, classes=classes)
    opened = examined.open(classes)
    teacher = Annotator(opened, examined.evidence, opened.learned, LabelSource.TEACHER, examined.sha256)
    return PseudoLabeler(own, teacher, config, classes=classes)


class _Annotator:
    """Goes through the rows and remembers what was decided."""

    def __init__(
        self,
        artifact: Artifact,
        dataset: Dataset,
        config: LabelConfig,
        *,
        answers: Mapping[str, Row],
        has_unlabeled: bool,
    ) -> None:
        self.answers = answers
        self.labeler, self.model = Labeler.open(artifact), artifact.ref.sha256
        self.classes, self.config = dataset.classes, config
        dataset.check_classes(self.labeler.spec.classes)
        self.pseudo = _open_pseudo_labeler(artifact, self.labeler, self.classes, config, has_unlabeled=has_unlabeled)
        self.verdicts: list[_Verdict] = []
        self.left_out: list[str] = []
        self.reviewed = 0
        self.pseudo_labeled: list[Row] = []

    def write(self, row: Row, source: Dataset, writer: DatasetWriter) -> None:
        if row.quarantine:
            writer.quarantine(row)
        elif _is_unlabeled(row):
            labels = self.pseudo.label(source.image(row))
            self.pseudo_labeled.append(replace(row, labels=labels, state=LabelState.MODEL))
            writer.link(self.pseudo_labeled[-1], source)
        elif _is_constructed(row) and row.sha256 in self.answers:
            self.reviewed += 1
            row = replace(row, labels=self.answers[row.sha256].labels, state=LabelState.REVIEWED)
            _, agreement = self._look(row, source)
            writer.link(_scored(row, agreement), source)
        elif _is_constructed(row):
            self._judge(row, source, writer)
        else:
            writer.link(row, source)

    def _judge(self, row: Row, source: Dataset, writer: DatasetWriter) -> None:
        seen, agreement = self._look(row, source)
        phantoms = seen[np.array(agreement.phantoms, dtype=np.int64)].class_id
        self.verdicts.append(
            _Verdict(row, tuple(row.boxes.class_id.tolist()), agreement.judgments, tuple(phantoms.tolist()))
        )
        judged = replace(_scored(row, agreement), labels=relabel(row, agreement, seen=seen, model=self.model))
        if agreement.bad_share <= self.config.max_bad_share:
            writer.link(judged, source)
            return
        self.left_out.append(row.id)
        parents = (*row.parents, source.ref.sha256)
        writer.quarantine(replace(judged, quarantine=explain(agreement), parents=parents))

    def _look(self, row: Row, source: Dataset) -> tuple[Boxes, Agreement]:
        seen = self.labeler.find(source.image(row))
        return seen, judge_row(row, seen, spec=self.labeler.spec, config=self.config)

    def report(self) -> AnnotateReport:
        return AnnotateReport(
            judged_images=len(self.verdicts),
            reviewed_images=self.reviewed,
            left_out=tuple(self.left_out),
            left_out_share=len(self.left_out) / max(1, len(self.verdicts)),
            pseudo_labeled_images=len(self.pseudo_labeled),
            pseudo_labels=sum(len(row.boxes) for row in self.pseudo_labeled),
            pseudo_ignored=sum(len(row.ignored) for row in self.pseudo_labeled),
            pseudo_thresholds=self.pseudo.thresholds,
            taught=self.pseudo.taught,
            teacher_refused=self.pseudo.refused,
            total=_tally(self.verdicts, None),
            per_class={name: _tally(self.verdicts, index) for index, name in enumerate(self.classes)},
        )


def _scored(row: Row, agreement: Agreement) -> Row:
    """With what the labeler says of the labels that it met: the gate's label test reads it."""
    scores = {
        "agreement": agreement.mean_iou,
        "judged": float(len(agreement.judged)),
        "missed": float(agreement.count(Decision.MISSED)),
        "phantom": float(len(agreement.phantoms)),
    }
    return replace(row, scores={**row.scores, **scores})


def explain(agreement: Agreement) -> str:
    """Why a picture is left out."""
    return (
        f"labeler disagrees: {agreement.count(Decision.MISSED)} of {len(agreement.judged)} objects not seen, "
        f"{agreement.count(Decision.DROP)} elsewhere or of another class, {len(agreement.phantoms)} without a label"
    )


def _tally(verdicts: Sequence[_Verdict], class_id: int | None) -> Tally:
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
