"""Bad generators on purpose. A gate that has not refused the copier is not a gate.

Decides what the gate must be able to refuse; each control is a pure function on labeled (H, W, 3) uint8 pictures, and
names the check that must catch it. Used by the gate's self-test, never by a run.

>>> picture = np.zeros((8, 8, 3), np.uint8); picture[4, 4] = 90
>>> int(blurred(picture)[3, 3, 0])
10
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image as PillowImage

from edgewright.data.rows import Label
from edgewright.gates.measure.metrics import Features, pairwise_distances
from edgewright.gates.measure.tiles import squared
from edgewright.gates.spaces.features import fit_space, random_extractor
from edgewright.runtime.boxes import Image
from edgewright.synth.compose.fill import remove

MODE_SEEDS = (1000, 1001, 1002, 1003)
"""Of the random networks in whose joint space modes are found: none that a gate looks through."""
_MODE_PX = 96
_MODE_DIMENSIONS = 8
_RESTARTS, _STEPS = 8, 30
_MARGIN = 0.12
"""How far beyond its box an object is painted over, as a share of the box's side."""


@dataclass(frozen=True)
class Scene:
    """A picture, its labels in px of it, which photograph it comes from, and which ones it names as its parents."""

    image: Image
    labels: tuple[Label, ...]
    source: str = ""
    parents: tuple[str, ...] = ()


def copied(train: Sequence[Scene], *, count: int, rng: np.random.Generator) -> list[Scene]:
    """Training pictures in random order, over and over, half of them mirrored. Caught by the copy test."""
    order = np.concatenate([rng.permutation(len(train)) for _ in range(-(-count // len(train)))])[:count]
    return [_mirrored(train[i]) if index % 2 else train[i] for index, i in enumerate(order)]


def cut(scene: Scene, *, share: float, rng: np.random.Generator) -> Scene:
    """A window, shorter by `share` a side, enlarged to the picture's size. Caught by the copy test of objects."""
    height, width = scene.image.shape[:2]
    rows, columns = round(height * (1 - share)), round(width * (1 - share))
    y, x = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    window = PillowImage.fromarray(scene.image[y : y + rows, x : x + columns])
    sy, sx = height / rows, width / columns
    moved = [
        replace(
            label,
            xyxy=(
                (label.xyxy[0] - x) * sx,
                (label.xyxy[1] - y) * sy,
                (label.xyxy[2] - x) * sx,
                (label.xyxy[3] - y) * sy,
            ),
            mask="",
        )
        for label in scene.labels
    ]
    inside = [one for one in moved if 0 < _middle(one)[0] < width and 0 < _middle(one)[1] < height]
    image = np.asarray(window.resize((width, height), PillowImage.Resampling.BILINEAR))
    return replace(scene, image=image, labels=tuple(inside))


def pasted(scene: Scene, *, rng: np.random.Generator) -> Scene:
    """Its own objects, cut out and put back where they were on its painted-over background: the copier in the clothes
    of a compositor. Caught by the copy test of pictures, or of scenes where it is cut too."""
    height, width = scene.image.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros((height, width), dtype=bool)
    for label in scene.labels:
        x1, y1, x2, y2 = label.xyxy
        center, half = ((x1 + x2) / 2, (y1 + y2) / 2), (max(x2 - x1, 1) / 2, max(y2 - y1, 1) / 2)
        inside |= ((x - center[0]) / half[0]) ** 2 + ((y - center[1]) / half[1]) ** 2 <= 1
    ground = background_only(scene, rng=rng).image
    return replace(scene, image=np.where(inside[..., None], scene.image, ground))


def blurred(image: Image) -> Image:
    """3 × 3 box blur, borders repeated. Caught by the spectrum."""
    height, width = image.shape[:2]
    padded = np.pad(image.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.asarray(np.rint(np.mean(shifted, axis=0)), dtype=np.uint8)


def noisy(image: Image, *, sd: float, rng: np.random.Generator) -> Image:
    """Gaussian noise of `sd` gray levels. Caught by the spectrum."""
    return np.clip(np.rint(image + rng.normal(0.0, sd, size=image.shape)), 0, 255).astype(np.uint8)


def one_mode(scenes: Sequence[Scene], *, at_least: int, rng: np.random.Generator) -> list[Scene]:
    """One of the two modes of the scenes: the smaller, unless fewer than `at_least`. Caught by the coverage.

    Modes are the clusters of 2-means in the joint space of the random networks of MODE_SEEDS, of whole pictures.
    """
    squares = np.stack([squared(scene.image, side_px=_MODE_PX) for scene in scenes])
    raw = np.concatenate([random_extractor(seed=seed)(squares) for seed in MODE_SEEDS], axis=1)
    mode = two_means(fit_space(raw, dimensions=_MODE_DIMENSIONS).project(raw), rng=rng)
    sizes = np.bincount(mode, minlength=2)
    kept = int(sizes.argmin()) if sizes.min() >= at_least else int(sizes.argmax())
    return [scene for scene, own in zip(scenes, mode, strict=True) if own == kept]


def shuffled_labels(scenes: Sequence[Scene], *, rng: np.random.Generator) -> list[Scene]:
    """Every picture with the labels of another one. Caught by the labels."""
    order = rng.permutation(len(scenes))
    giver = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    return [replace(scene, labels=_moved(scenes[giver[i]], scene)) for i, scene in enumerate(scenes)]


def background_only(scene: Scene, *, rng: np.random.Generator) -> Scene:
    """Every object painted over, and still claimed. Caught by the labels."""
    height, width = scene.image.shape[:2]
    hole = np.zeros((height, width), dtype=bool)
    for label in scene.labels:
        x1, y1, x2, y2 = label.xyxy
        dx, dy = _MARGIN * (x2 - x1), _MARGIN * (y2 - y1)
        top, left = max(0, int(y1 - dy)), max(0, int(x1 - dx))
        hole[top : int(np.ceil(y2 + dy)), left : int(np.ceil(x2 + dx))] = True
    return replace(scene, image=remove(scene.image, hole, others=np.zeros_like(hole), rng=rng))


def two_means(points: Features, *, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(N, d) => (N,) cluster 0 or 1 of Lloyd's algorithm, the best of _RESTARTS."""
    found, cost = np.zeros(len(points), dtype=np.int64), np.inf
    for _ in range(_RESTARTS):
        centers = points[rng.permutation(len(points))[:2]]
        for _ in range(_STEPS):
            own = pairwise_distances(points, centers).argmin(axis=1)
            centers = np.stack([points[own == j].mean(axis=0) if (own == j).any() else centers[j] for j in (0, 1)])
        apart = pairwise_distances(points, centers)
        if np.square(apart.min(axis=1)).sum() < cost:
            found, cost = apart.argmin(axis=1), float(np.square(apart.min(axis=1)).sum())
    return found


def _middle(label: Label) -> tuple[float, float]:
    x1, y1, x2, y2 = label.xyxy
    return (x1 + x2) / 2, (y1 + y2) / 2


def _mirrored(scene: Scene) -> Scene:
    width = scene.image.shape[1]
    labels = [
        replace(label, xyxy=(width - label.xyxy[2], label.xyxy[1], width - label.xyxy[0], label.xyxy[3]), mask="")
        for label in scene.labels
    ]
    return replace(scene, image=np.ascontiguousarray(scene.image[:, ::-1]), labels=tuple(labels))


def _moved(giver: Scene, taker: Scene) -> tuple[Label, ...]:
    """The giver's labels, stretched to the taker's size."""
    sy, sx = (mine / theirs for mine, theirs in zip(taker.image.shape[:2], giver.image.shape[:2], strict=True))
    return tuple(
        replace(label, xyxy=(label.xyxy[0] * sx, label.xyxy[1] * sy, label.xyxy[2] * sx, label.xyxy[3] * sy), mask="")
        for label in giver.labels
    )
