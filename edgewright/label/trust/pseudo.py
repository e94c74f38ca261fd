"""Labels for photographs that nobody labeled.

Decides class by class from what scores were worth on people's photographs (`evidence.py`): from a score on that keeps
the precision asked for, a box is a label; below it, down to a floor, an ignore region, in which a detector is taught
neither an object nor background. A class whose precision is nowhere good enough, or not known well enough, gets ignore
regions alone. Fixed thresholds serve no class well: STAC (arXiv 2005.04757), Unbiased Teacher (arXiv 2102.09480).

A teacher (`teacher.py`) passes the same gate, and besides must find `teacher_min_recall` of a class's objects at that
precision; it then labels the classes of which it finds more than the labeler does.

    pseudo = PseudoLabeler(labeler, Annotator(teacher, evidence, teacher.learned, LabelSource.TEACHER, sha256), config)
    pseudo.thresholds                                  # {"RBC": 0.74, "platelet": None}
    pseudo.label(image)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from edgewright.data.rows import Label, LabelSource, labels_of
from edgewright.label.trust.evidence import Evidence
from edgewright.recipe.label import LabelConfig
from edgewright.runtime.boxes import Boxes, Image


class ObjectFinder(Protocol):
    """A labeler or a teacher."""

    def find(self, image: Image) -> Boxes:
        """Objects in px of the picture, best first."""


@dataclass(frozen=True)
class Annotator:
    """A model that labels photographs, and what is known of it.

    Attributes:
        learned: (C,) the classes it knows at all.
        source, model: what its labels say of where they come from.
    """

    finder: ObjectFinder
    evidence: Evidence
    learned: tuple[bool, ...]
    source: LabelSource
    model: str


@dataclass(frozen=True)
class TrustedScore:
    """From which score an annotator's boxes of one class are labels (None: never), and how many objects it finds so."""

    threshold: float | None
    recall: float


@dataclass(frozen=True)
class _Share:
    """What one annotator labels: limits (C,), infinite where no score is trusted; mine (C,): the classes it labels."""

    annotator: Annotator
    limits: np.ndarray[tuple[int], np.dtype[np.float64]]
    mine: np.ndarray[tuple[int], np.dtype[np.bool_]]


def trusted_score(evidence: Evidence, name: str, config: LabelConfig) -> TrustedScore:
    """Pure. Of a class without evidence no score is trusted."""
    of = evidence.by_class.get(name)
    if of is None or not of.labels:
        return TrustedScore(None, 0.0)
    threshold = of.threshold(precision=config.pseudo_precision, min_found=config.pseudo_min_found)
    if threshold is None:
        return TrustedScore(None, 0.0)
    hits = sum(hit for score, hit in zip(of.scores, of.hits, strict=True) if score >= threshold)
    return TrustedScore(threshold, hits / of.labels)


class PseudoLabeler:
    """A labeler, and perhaps a teacher, with the scores from which they are trusted.

    Attributes:
        thresholds: class name => the score from which its boxes are labels; None: not one of them is.
        taught: the classes that the teacher labels.
        refused: class name => why the teacher's labels of it do not count.
    """

    def __init__(
        self, labeler: Annotator, teacher: Annotator | None, config: LabelConfig, *, classes: Sequence[str]
    ) -> None:
        own = {name: trusted_score(labeler.evidence, name, config) for name in classes}
        other = {name: trusted_score(teacher.evidence, name, config) for name in classes} if teacher else {}
        self.refused = {name: reason for name, trusted in other.items() if (reason := why_refused(trusted, config))}
        good = [name for name in other if name not in self.refused]
        self.taught = tuple(name for name in good if other[name].recall > own[name].recall)
        best = {name: other[name] if name in self.taught else own[name] for name in classes}
        self.thresholds = {name: trusted.threshold for name, trusted in best.items()}
        self._floor = config.pseudo_ignore_score
        limits = np.array([np.inf if limit is None else limit for limit in self.thresholds.values()], dtype=np.float64)
        taught = np.array([name in self.taught for name in classes], dtype=bool)
        self._shares = [_Share(labeler, limits, ~taught & np.array(labeler.learned, dtype=bool))]
        if teacher and self.taught:
            self._shares.append(_Share(teacher, limits, taught))

    def label(self, image: Image) -> tuple[Label, ...]:
        """Labels and ignore regions in px of the photograph; the labeler's first, each one's best first."""
        labels = [label for share in self._shares for label in self._label(share, image)]
        return tuple(replace(label, instance_id=index) for index, label in enumerate(labels))

    def _label(self, share: _Share, image: Image) -> list[Label]:
        seen = share.annotator.finder.find(image)
        sure = seen.score.astype(np.float64) >= share.limits[seen.class_id]
        kept = share.mine[seen.class_id] & (sure | (seen.score >= self._floor))
        labels = labels_of(seen[kept], source=share.annotator.source, model=share.annotator.model)
        return [replace(label, ignore=not is_sure) for label, is_sure in zip(labels, sure[kept], strict=True)]


def why_refused(trusted: TrustedScore, config: LabelConfig) -> str:
    """Why a teacher's labels of a class do not count; empty where they do."""
    if trusted.threshold is None:
        return f"no score keeps a precision of {config.pseudo_precision:g} on people's photographs"
    if trusted.recall < config.teacher_min_recall:
        asked = f"{config.teacher_min_recall:g} are asked for"
        return f"finds {trusted.recall:.2f} of the objects at that precision, {asked}"
    return ""
