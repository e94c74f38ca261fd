"""What a labeler's confidence is worth: its boxes on labeled photographs that it had not seen.

Decides what a score must be before a label counts. The labeler's file of it (`evidence.json`) travels with the labeler,
so that the precision asked for may change without a new training.

Laws: `Evidence.from_json(e.to_json()) == e`; asking for more precision never lowers a threshold.

>>> of_class = ClassEvidence(labels=3, scores=(0.9, 0.8, 0.4), hits=(True, True, False))
>>> of_class.threshold(precision=0.9, min_found=2), of_class.threshold(precision=0.9, min_found=3)
(0.8, None)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.errors import ArtifactCorrupt

EVIDENCE_FILE = "evidence.json"


@dataclass(frozen=True)
class ClassEvidence:
    """One class on held-out photographs.

    Attributes:
        labels: how many objects people labeled.
        scores, hits: of everything found, best first: how sure, and whether a person's box lies there (IoU >= 0.5).
    """

    labels: int
    scores: tuple[float, ...] = ()
    hits: tuple[bool, ...] = ()

    @property
    def precision(self) -> float | None:
        return float(np.mean(self.hits)) if self.hits else None

    @property
    def recall(self) -> float | None:
        return sum(self.hits) / self.labels if self.labels else None

    def precision_from(self, score: float) -> float:
        """Of everything found at and above a score; 0 where that is nothing."""
        hits = [hit for own, hit in zip(self.scores, self.hits, strict=True) if own >= score]
        return float(np.mean(hits)) if hits else 0.0

    def threshold(self, *, precision: float, min_found: int) -> float | None:
        """The lowest score whose precision, over all found at and above it, is as asked; None where there is none.

        Args:
            min_found: at least so many objects must stand at and above it.
        """
        scores = np.array(self.scores)
        found = np.arange(1, len(scores) + 1)
        last_of_its_score = np.append(scores[1:] < scores[:-1], True) if len(scores) else np.zeros(0, dtype=bool)
        enough = last_of_its_score & (found >= min_found) & (np.cumsum(self.hits) >= precision * found - 1e-9)
        return float(scores[enough].min()) if enough.any() else None


@dataclass(frozen=True)
class Evidence:
    """Attributes: source: `out_of_fold`, `val`, or `none` where nothing was held out; by_class: by class name."""

    source: str
    by_class: Mapping[str, ClassEvidence]

    def to_json(self) -> dict[str, Any]:
        by_class = {
            name: {"labels": of.labels, "scores": list(of.scores), "hits": list(map(int, of.hits))}
            for name, of in self.by_class.items()
        }
        return {"source": self.source, "by_class": by_class}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evidence:
        """Raises ArtifactCorrupt."""
        try:
            by_class = {
                str(name): ClassEvidence(
                    int(of["labels"]), tuple(map(float, of["scores"])), tuple(bool(hit) for hit in of["hits"])
                )
                for name, of in value["by_class"].items()
            }
            return cls(str(value["source"]), by_class)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactCorrupt("not the evidence of a labeler", got=error, where=EVIDENCE_FILE) from error
