"""Class probabilities and cores → boxes.

Decides what one object is: a connected component of the core, or a region of one class without any core (small objects
lose theirs first). Its class is the one most probable over its core; its pixels are those of its class that lie nearer
to its core than to any other; its box is theirs; its score is the mean probability of its class over the core.

>>> classes, core = np.zeros((2, 8, 8), np.float32), np.zeros((8, 8), np.float32)
>>> classes[1, 2:6, 2:7], core[3:5, 3:6] = 1, 1
>>> find_instances(classes, core).xyxy.tolist()
[[2.0, 2.0, 7.0, 6.0]]
"""

from __future__ import annotations

import cv2
import numpy as np

from edgewright.data.rle import Mask
from edgewright.runtime.boxes import Boxes, FloatArray, IntArray

MIN_CORE = 0.5
MIN_CORE_AREA_PX = 4
"""Smaller cores are noise."""
MIN_BARE_AREA_PX = 9
"""Smaller regions without a core are noise: an ellipse of 4 × 4 px has 12."""


def find_instances(classes: FloatArray, core: FloatArray) -> Boxes:
    """(1 + C, S, S) and (S, S) probabilities => boxes in letterbox px, best first."""
    seeds = _seeds(classes.argmax(axis=0), core)
    if not seeds.any():
        return Boxes.empty()
    _, nearest = cv2.distanceTransformWithLabels(
        (~seeds).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    found = [_instance(classes, seeds & (nearest == at), nearest == at) for at in np.unique(nearest[seeds])]
    boxes = Boxes.of([f[0] for f in found], class_id=[f[1] for f in found], score=[f[2] for f in found])
    return boxes[np.argsort(-boxes.score, kind="stable")]


def _seeds(class_map: IntArray, core: FloatArray) -> Mask:
    """One connected component an object: its core, or all of a region that has none."""
    seeds = _large(_components((core >= MIN_CORE) & (class_map > 0)), MIN_CORE_AREA_PX)
    for class_number in np.unique(class_map[class_map > 0]):
        regions = _components(class_map == class_number)
        bare = np.setdiff1d(np.unique(regions), regions[seeds])
        seeds |= _large(np.where(np.isin(regions, bare), regions, 0), MIN_BARE_AREA_PX)
    return seeds


def _components(mask: Mask) -> IntArray:
    """(S, S): 0 outside, otherwise the number of the 8-connected component."""
    return np.asarray(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1], dtype=np.int64)


def _large(components: IntArray, min_area_px: int) -> Mask:
    """The pixels of components (0 is none) of at least so many pixels."""
    large: Mask = (np.bincount(components.ravel())[components] >= min_area_px) & (components > 0)
    return large


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
