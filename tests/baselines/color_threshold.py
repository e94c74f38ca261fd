"""What a learned detector is compared with: thresholds on color, connected components, nearest class centroid.

As good as this method gets without learning: illumination is divided out by a background estimate, thresholds on
brighter, darker and more colorful than the belt are chosen on labeled photographs by the very number that is reported
(mAP50), holes are filled, and each component takes the class with the nearest mean color, size, aspect and fill.

    predict = fit_color_threshold(train_samples, classes=("nut", "screw", "washer"))
    evaluate(predict, test_samples, classes=("nut", "screw", "washer")).map50
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from edgewright.detect.evaluate import Sample, evaluate
from edgewright.runtime.boxes import Boxes, FloatArray, Image

N_TUNING = 24
BRIGHTER = (0.2, 0.3, 0.45, 0.65)
DARKER = (0.35, 0.6, 1.0)
MORE_COLORFUL = (0.06, 0.12)
OPENING_PX = (0, 1)
MIN_AREA_PX = 60


Components = list[tuple[list[float], FloatArray]]


@dataclass(frozen=True)
class Thresholds:
    """Log brightness above and below the belt, chroma away from it, radius of opening, px."""

    brighter: float
    darker: float
    more_colorful: float
    opening_px: int


@dataclass(frozen=True)
class Centroids:
    """Mean and spread of (r, g, b, log area, log aspect, fill) for each class."""

    mean: FloatArray
    spread: FloatArray

    def nearest(self, features: FloatArray) -> tuple[int, float]:
        distance = np.sqrt((((features - self.mean) / self.spread) ** 2).mean(axis=1))
        return int(distance.argmin()), float(np.exp(-distance.min()))


def fit_color_threshold(samples: Sequence[Sample], *, classes: tuple[str, ...]) -> Callable[[Image], Boxes]:
    """The thresholds with the best mAP50 on (a part of) the samples; centroids from the truth boxes of all."""
    grid = itertools.product(BRIGHTER, DARKER, MORE_COLORFUL, OPENING_PX)
    tuning = [(sample, contrast_to_belt(sample.image)) for sample in samples[:N_TUNING]]
    scored = []
    for values in grid:
        thresholds = Thresholds(*values)
        found = [_components(sample.image, contrast, thresholds) for sample, contrast in tuning]
        centroids = _centroids([sample.truth for sample, _ in tuning], found, len(classes))
        detections = iter([_classify(components, centroids) for components in found])
        result = evaluate(lambda _, detections=detections: next(detections), samples[:N_TUNING], classes=classes)
        scored.append((result.map50 or 0.0, values))
    best = Thresholds(*max(scored)[1])
    found = [_components(sample.image, contrast_to_belt(sample.image), best) for sample in samples]
    centroids = _centroids([sample.truth for sample in samples], found, len(classes))
    return lambda image: _classify(_components(image, contrast_to_belt(image), best), centroids)


def contrast_to_belt(image: Image) -> FloatArray:
    """(H, W, 3) log of linear light over the belt's: a quadratic surface fitted to what is not an outlier."""
    light = np.log((ndimage.gaussian_filter(image, (0.8, 0.8, 0)) / 255.0) ** 2.2 + 0.003)
    y, x = (grid.ravel() for grid in np.mgrid[-1 : 1 : light.shape[0] * 1j, -1 : 1 : light.shape[1] * 1j])
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    pixels, belt = light.reshape(-1, 3), np.zeros((len(x), 3))
    usual = np.ones(len(x), dtype=bool)
    for _ in range(3):
        belt = terms @ np.linalg.lstsq(terms[usual][::7], pixels[usual][::7], rcond=None)[0]
        usual = np.abs(pixels - belt).max(axis=1) < 0.35
    return (pixels - belt).reshape(light.shape).astype(np.float32)


def segment(contrast: FloatArray, thresholds: Thresholds) -> FloatArray:
    """(H, W) int: the number of the component at each pixel, 0 for belt."""
    brightness = contrast.mean(axis=2)
    chroma = np.abs(contrast - brightness[..., None]).max(axis=2)
    found = (brightness > thresholds.brighter) | (brightness < -thresholds.darker)
    found |= chroma > thresholds.more_colorful
    found = ndimage.binary_fill_holes(found)
    if thresholds.opening_px:
        found = ndimage.binary_opening(found, iterations=thresholds.opening_px)
    return ndimage.label(found, structure=np.ones((3, 3)))[0]


def _classify(components: Components, centroids: Centroids) -> Boxes:
    named = [centroids.nearest(features) for _, features in components]
    return Boxes.of(
        [box for box, _ in components],
        class_id=[class_id for class_id, _ in named],
        score=[score for _, score in named],
    )


def _components(image: Image, contrast: FloatArray, thresholds: Thresholds) -> Components:
    labels = segment(contrast, thresholds)
    areas = np.bincount(labels.ravel())
    found = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        if areas[number] >= MIN_AREA_PX:
            rows, columns = place
            mask = labels[place] == number
            box = [float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)]
            found.append((box, _features(image[place][mask], mask)))
    return found


def _features(pixels: Image, mask: FloatArray) -> FloatArray:
    height, width = mask.shape
    color = pixels.mean(axis=0) / 255
    shape = (np.log(mask.sum()), abs(np.log(width / height)), mask.mean())
    return np.array([*color, *shape], dtype=np.float32)


def _centroids(truths: Sequence[Boxes], found: Sequence[Components], n_classes: int) -> Centroids:
    """From components that match a truth box at IoU 0.5; a class without any is never predicted."""
    features: list[list[FloatArray]] = [[] for _ in range(n_classes)]
    for truth, components in zip(truths, found, strict=True):
        for box, values in components:
            overlap = Boxes.of([box], class_id=[0]).iou(truth)[0]
            if len(overlap) and overlap.max() >= 0.5:
                features[int(truth.class_id[overlap.argmax()])].append(values)
    mean = [np.mean(rows, axis=0) if rows else np.full(6, 1e3) for rows in features]
    known = [row for rows in features for row in rows]
    spread = np.std(known, axis=0) + 1e-3 if known else np.ones(6)
    return Centroids(np.array(mean, dtype=np.float32), spread.astype(np.float32))
