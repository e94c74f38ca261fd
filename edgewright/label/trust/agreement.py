"""How far a labeler's boxes agree with an image's labels. Pure: boxes in, decisions out.

Decides per label: keep, correct, review, drop or missed by the overlap with the labeler's best matching box of its
class and by how sure the labeler is; and which of the labeler's boxes are phantoms, objects that no label knows. To
contradict, with a phantom or with another class, it must be sure (`min_score`); to agree it need not be, because it was
never told where the labels are. What the labeler cannot judge is held against no one: objects too small for it, classes
it never learned, and whatever lies in an ignored region.

>>> truth, seen = (Boxes.of([xyxy], class_id=[0], score=[0.9]) for xyxy in ([0, 0, 10, 10], [0, 0, 10, 9]))
>>> compare(truth, seen, config=LabelConfig()).judgments[0].decision
<Decision.KEEP: 'keep'>
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from edgewright.data.rle import Mask
from edgewright.recipe.label import LabelConfig
from edgewright.runtime.boxes import Boxes, FloatArray

MISSED_IOU = 0.1
"""Overlap below this is a neighbor's, not a badly placed box of the object."""
SWAPPED_IOU = 0.5
"""The labeler saw this very object, as another class (the usual matching threshold of detection, VOC 2007)."""
COVERED_SHARE = 0.5
"""A box that lies this far inside an ignored region, or inside a label of its class, is no unknown object."""

Columns = np.ndarray[tuple[int], np.dtype[np.int64]]
"""(N,) a column for every row, -1 for none."""


class Decision(StrEnum):
    KEEP = "keep"
    CORRECT = "correct"
    REVIEW = "review"
    DROP = "drop"
    MISSED = "missed"
    UNJUDGED = "unjudged"


BAD = (Decision.DROP, Decision.MISSED)


@dataclass(frozen=True)
class Judgment:
    """What the labeler says of one label.

    Attributes:
        iou, score: overlap with its match and the match's score, in [0, 1]; 0 where there is none.
        at: index of the match among the labeler's boxes; -1 for none.
    """

    decision: Decision
    iou: float = 0.0
    score: float = 0.0
    at: int = -1


@dataclass(frozen=True)
class Agreement:
    """One image: a judgment a label, in order, and the indices of the labeler's boxes that are phantoms."""

    judgments: tuple[Judgment, ...]
    phantoms: tuple[int, ...]

    def count(self, decision: Decision) -> int:
        return sum(judgment.decision is decision for judgment in self.judgments)

    @property
    def judged(self) -> list[Judgment]:
        return [judgment for judgment in self.judgments if judgment.decision is not Decision.UNJUDGED]

    @property
    def bad_share(self) -> float:
        """Dropped, missed and phantom objects among all objects that either side knows; 0 where there are none."""
        bad = sum(self.count(decision) for decision in BAD) + len(self.phantoms)
        return bad / max(1, len(self.judged) + len(self.phantoms))

    @property
    def mean_iou(self) -> float:
        """Over the judged labels; 1 where there is none to disagree about."""
        return float(np.mean([judgment.iou for judgment in self.judged])) if self.judged else 1.0


@dataclass(frozen=True)
class Matches:
    """Labels with the labeler's boxes: those of one class first, then what is left with any class.

    Attributes:
        overlap: (N, M) box IoU.
        same: (N,) the box of the label's own class.
        swapped: (N,) for labels without one: the box of another class that lies there.
        unexplained: indices of boxes that no label and no ignored region accounts for.
    """

    overlap: FloatArray
    same: Columns
    swapped: Columns
    unexplained: tuple[int, ...]


def compare(
    truth: Boxes, seen: Boxes, *, config: LabelConfig, ignored: Boxes | None = None, judgeable: Mask | None = None
) -> Agreement:
    """Labels against the labeler's boxes, all in px of one picture.

    Args:
        ignored: regions in which nothing counts.
        judgeable: (N,) False for labels that are too small or of a class the labeler does not know; default all.
    """
    can_judge = np.ones(len(truth), dtype=bool) if judgeable is None else judgeable
    matches = match_objects(truth, seen, ignored=ignored or Boxes.empty(), min_score=config.min_score)
    judgments = []
    for index in range(len(truth)):
        at = int(matches.same[index])
        if not can_judge[index]:
            judgments.append(Judgment(Decision.UNJUDGED))
        elif at < 0:
            judgments.append(Judgment(Decision.DROP if matches.swapped[index] >= 0 else Decision.MISSED))
        else:
            iou, score = float(matches.overlap[index, at]), float(seen.score[at])
            judgments.append(Judgment(decide(iou, score, config=config), iou, score, at))
    phantoms = tuple(at for at in matches.unexplained if seen.score[at] >= config.min_score)
    return Agreement(tuple(judgments), phantoms)


def decide(iou: float, score: float, *, config: LabelConfig) -> Decision:
    """Monotone: more overlap is never a worse decision, and neither is a surer labeler."""
    if iou >= config.keep_iou:
        return Decision.KEEP
    if iou < config.drop_iou:
        return Decision.DROP
    return Decision.CORRECT if score >= config.correct_score else Decision.REVIEW


def match_objects(truth: Boxes, seen: Boxes, *, ignored: Boxes, min_score: float = 0.0) -> Matches:
    """Who is whom, all in px of one picture.

    Args:
        min_score: a box of another class that is less certain says nothing of a label.
    """
    overlap = truth.iou(seen)
    same_class = truth.class_id[:, None] == seen.class_id[None, :]
    same = match_greedily(np.where(same_class, overlap, 0), min_iou=MISSED_IOU)
    certain = np.where(seen.score >= min_score, overlap, 0)
    swapped = _match_the_rest(certain, same, min_iou=SWAPPED_IOU)
    taken = {*same.tolist(), *swapped.tolist()}
    known = _explained(seen, truth, ignored)
    unexplained = tuple(at for at in range(len(seen)) if at not in taken and not known[at])
    return Matches(overlap, same, swapped, unexplained)


def match_greedily(overlap: FloatArray, *, min_iou: float) -> Columns:
    """(N, M) overlaps => (N,) column of each row's match or -1; best pair first, each column used once."""
    match = np.full(overlap.shape[0], -1, dtype=np.int64)
    rows, columns = np.nonzero(overlap >= min_iou)
    used = np.zeros(overlap.shape[1], dtype=bool)
    for at in np.argsort(-overlap[rows, columns], kind="stable"):
        row, column = rows[at], columns[at]
        if match[row] < 0 and not used[column]:
            match[row], used[column] = column, True
    return match


def inside(inner: Boxes, outer: Boxes) -> FloatArray:
    """(N, M) float32 in [0, 1]: the share of each inner box that lies in each outer one."""
    top_left = np.maximum(inner.xyxy[:, None, :2], outer.xyxy[None, :, :2])
    bottom_right = np.minimum(inner.xyxy[:, None, 2:], outer.xyxy[None, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    share: FloatArray = shared / np.maximum(inner.area[:, None], np.float32(1e-6))
    return share


def _match_the_rest(overlap: FloatArray, match: Columns, *, min_iou: float) -> Columns:
    """Unmatched labels with unmatched boxes of any class: the labeler saw the object and calls it something else."""
    left = overlap.copy()
    left[match >= 0] = 0
    left[:, match[match >= 0]] = 0
    return match_greedily(left, min_iou=min_iou)


def _explained(seen: Boxes, truth: Boxes, ignored: Boxes) -> Mask:
    """(M,) boxes in an ignored region, or fragments of a labeled object of their class."""
    fragment = (inside(seen, truth) >= COVERED_SHARE) & (seen.class_id[:, None] == truth.class_id[None, :])
    explained: Mask = fragment.any(axis=1) | (inside(seen, ignored) >= COVERED_SHARE).any(axis=1)
    return explained
