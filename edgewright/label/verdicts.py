"""What the labeler says of one picture: constructed labels are judged, a photograph that nobody labeled gets labels.

Decides nothing by what else is looked at: a verdict follows from the labeler, the config and the picture, so that
whoever looks finds the same. A label that is not kept becomes an ignored region, as does an object that no label knows;
a corrected label says where it stood; a picture that is left out says why. Where a person reviewed a synthetic picture,
the person's labels stand: what the labeler says of them is noted alone.

    examiner.examine(row, dataset).row
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgewright.artifacts import Artifact, canonical_json
from edgewright.data.dataset import Dataset
from edgewright.data.rle import Mask
from edgewright.data.rows import Label, LabelSource, LabelState, Origin, Row, Split, labels_of
from edgewright.errors import ArtifactCorrupt
from edgewright.label.network.net import Labeler, LabelerSpec
from edgewright.label.trust.agreement import Agreement, Decision, Judgment, compare
from edgewright.label.trust.evidence import EVIDENCE_FILE, Evidence
from edgewright.label.trust.pseudo import Annotator, PseudoLabeler
from edgewright.label.trust.teacher import Examined
from edgewright.recipe.label import LabelConfig
from edgewright.runtime.boxes import Boxes


@dataclass(frozen=True)
class Verdict:
    """What was decided of a synthetic row's counting labels, and the classes of the phantoms.

    Law: `Verdict.from_bytes(v.to_bytes()) == v`.
    """

    class_id: tuple[int, ...]
    judgments: tuple[Judgment, ...]
    phantom_class_id: tuple[int, ...]

    def to_bytes(self) -> bytes:
        judgments = [[one.decision, float(one.iou), float(one.score), int(one.at)] for one in self.judgments]
        return canonical_json([list(self.class_id), judgments, list(self.phantom_class_id)])

    @classmethod
    def from_bytes(cls, payload: bytes) -> Verdict:
        class_id, judgments, phantoms = json.loads(payload)
        read = (Judgment(Decision(decision), iou, score, at) for decision, iou, score, at in judgments)
        return cls(tuple(class_id), tuple(read), tuple(phantoms))


@dataclass(frozen=True)
class Examination:
    """A row as it is written; left out where it says why. `verdict`: of one whose labels were judged."""

    row: Row
    verdict: Verdict | None = None


class Examiner:
    """An opened labeler, and a teacher where there is one and something for it to label.

    Raises:
        InputError: the labeler knows other classes than the data set, or was not written in the wanted format.
        ArtifactCorrupt: its files do not fit each other.
    """

    def __init__(
        self,
        artifact: Artifact,
        dataset: Dataset,
        config: LabelConfig,
        *,
        answers: Mapping[str, Row],
        has_unlabeled: bool,
    ) -> None:
        self._answers, self._config = answers, config
        self._labeler, self._model = _opened(artifact, config), artifact.ref.sha256
        dataset.check_classes(self._labeler.spec.classes)
        self.pseudo = _open_pseudo_labeler(
            artifact, self._labeler, dataset.classes, config, has_unlabeled=has_unlabeled
        )

    def examine(self, row: Row, source: Dataset) -> Examination:
        """A row that `is_unlabeled` or `is_constructed`."""
        if is_unlabeled(row):
            labels = self.pseudo.label(source.image(row))
            return Examination(replace(row, labels=labels, state=LabelState.MODEL))
        if row.sha256 in self._answers:
            row = replace(row, labels=self._answers[row.sha256].labels, state=LabelState.REVIEWED)
            return Examination(_scored(row, self._look(row, source)[1]))
        return self._judge(row, source)

    def _judge(self, row: Row, source: Dataset) -> Examination:
        seen, agreement = self._look(row, source)
        phantoms = seen[np.array(agreement.phantoms, dtype=np.int64)].class_id
        verdict = Verdict(tuple(row.boxes.class_id.tolist()), agreement.judgments, tuple(phantoms.tolist()))
        judged = replace(_scored(row, agreement), labels=relabel(row, agreement, seen=seen, model=self._model))
        if agreement.bad_share <= self._config.max_bad_share:
            return Examination(judged, verdict)
        parents = (*row.parents, source.ref.sha256)
        return Examination(replace(judged, quarantine=explain(agreement), parents=parents), verdict)

    def _look(self, row: Row, source: Dataset) -> tuple[Boxes, Agreement]:
        seen = self._labeler.find(source.image(row))
        return seen, judge_row(row, seen, spec=self._labeler.spec, config=self._config)


def _opened(artifact: Artifact, config: LabelConfig) -> Labeler:
    return Labeler.open_for_fpga(artifact) if config.number_format == "fpga" else Labeler.open(artifact)


def is_unlabeled(row: Row) -> bool:
    return row.state == LabelState.UNLABELED and row.split == Split.TRAIN and not row.quarantine


def is_constructed(row: Row) -> bool:
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
