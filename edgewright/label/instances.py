"""Class probabilities and cores → boxes.

Decides what one object is: a connected component of the core. Its class is the one most probable over its core; its
pixels are those of its class that lie nearer to its core than to any other; its box is theirs; its score is the mean
probability of its class over the core.

>>> classes, core = np.zeros((2, 8, 8), np.float32), np.zeros((8, 8), np.float32)
>>> classes[1, 2:6, 2:7], core[3:5, 3:6] = 1, 1
>>> find_instances(classes, core).xyxy.tolist()
[[2.0, 2.0, 7.0, 6.0]]
"""

from __future__ import annotations

import cv2
import numpy as np

from edgewright.data.rle import Mask
from edgewright.runtime.boxes import Boxes, FloatArray

MIN_CORE = 0.5
MIN_CORE_AREA_PX = 4
"""Smaller cores are noise: an object of 4 px side has one of this area."""


def find_instances(classes: FloatArray, core: FloatArray) -> Boxes:
    """(1 + C, S, S) and (S, S) probabilities => boxes in letterbox px, best first."""
    inner = (core >= MIN_CORE) & (classes.argmax(axis=0) > 0)
    if not inner.any():
        return Boxes.empty()
    _, nearest = cv2.distanceTransformWithLabels(
        (~inner).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    area = np.bincount(nearest[inner])
    found = [
        _instance(classes, inner & (nearest == number), nearest == number)
        for number in np.flatnonzero(area >= MIN_CORE_AREA_PX)
    ]
    boxes = Boxes.of([f[0] for f in found], class_id=[f[1] for f in found], score=[f[2] for f in found])
    return boxes[np.argsort(-boxes.score, kind="stable")]


def _instance(classes: FloatArray, core: Mask, near: Mask) -> tuple[list[float], int, float]:
    """Box, class id and score of the object around one core."""
    means = classes[:, core].mean(axis=1)
    class_id = int(means[1:].argmax())
    pixels = near & (classes.argmax(axis=0) == class_id + 1) & _reach(core)
    y, x = np.nonzero(pixels | core)
    box = [float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1)]
    return box, class_id, float(np.clip(means[class_id + 1], 0, 1))


def _reach(core: Mask) -> Mask:
    """Where the object of a core can lie: as far again as the core is long. What is beyond has a core of its own."""
    y, x = np.nonzero(core)
    margin = max(int(np.ptp(x)), int(np.ptp(y))) // 2 + 2
    reach = np.zeros_like(core)
    reach[max(0, y.min() - margin) : y.max() + margin + 1, max(0, x.min() - margin) : x.max() + margin + 1] = True
    return reach
