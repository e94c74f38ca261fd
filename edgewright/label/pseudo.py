"""Labels for photographs that nobody labeled.

Decides class by class from what the labeler's scores were worth on photographs it had not seen (`evidence.py`): from a
score on that keeps the precision asked for, a box is a label; below it, down to a floor, an ignore region, in which a
detector is taught neither an object nor background. A class whose precision is nowhere good enough, or not known well
enough, gets ignore regions alone. Fixed thresholds serve no class well: STAC (arXiv 2005.04757), Unbiased Teacher
(arXiv 2102.09480).

    pseudo = PseudoLabeler(labeler, evidence, config, model=digest)
    pseudo.thresholds                                  # {"RBC": 0.74, "platelet": None}
    pseudo.label(image)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgewright.data.rows import Label, labels_of
from edgewright.label.evidence import Evidence
from edgewright.label.net import Labeler
from edgewright.recipe import LabelConfig
from edgewright.runtime.boxes import Image


class PseudoLabeler:
    """A labeler with the scores from which it is believed.

    Attributes:
        thresholds: class name => the score from which its boxes are labels; None: not one of them is.
    """

    def __init__(self, labeler: Labeler, evidence: Evidence, config: LabelConfig, *, model: str) -> None:
        self._labeler, self._model, self._floor = labeler, model, config.pseudo_ignore_score
        known = evidence.thresholds(precision=config.pseudo_precision, min_found=config.pseudo_min_found)
        self.thresholds = {name: known.get(name) for name in labeler.spec.classes}
        limits = [np.inf if limit is None else limit for limit in self.thresholds.values()]
        self._limits = np.array(limits, dtype=np.float64)

    def label(self, image: Image) -> tuple[Label, ...]:
        """Labels and ignore regions in px of the photograph, best first."""
        seen = self._labeler.see(image)
        learnt = np.array(self._labeler.spec.learnt, dtype=bool)[seen.class_id]
        limits = self._limits[seen.class_id]
        sure = seen.score.astype(np.float64) >= limits
        kept = learnt & (sure | (seen.score >= self._floor))
        labels = labels_of(seen[kept], source="labeler", model=self._model)
        return tuple(replace(label, ignore=not is_sure) for label, is_sure in zip(labels, sure[kept], strict=True))
