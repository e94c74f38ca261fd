"""Pictures and targets as training batches. Decides the augmentation: flips, zoom, shift, gain, offset, noise.

Law: the batch of a step depends on seed and step alone, so that a continued training sees what an unbroken one would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.label.outline.masks import Shape, rasterize
from edgewright.label.outline.outlines import Outliner
from edgewright.runtime.preprocess import letterbox

ZOOM = (0.75, 1.5)
SHIFT = 0.2
"""Share of the side."""
GAIN = 0.2
OFFSET = 0.1
NOISE = 0.03


@dataclass(frozen=True)
class Examples:
    """Letterboxed pictures with their targets, in memory as bytes.

    Attributes:
        images: (N, 3, S, S) uint8 RGB.
        targets: (N, 3, S, S) uint8: class map, core, counts (see `masks.Target`).
        fallbacks: labels whose ellipse had to do where no mask was found.
    """

    images: Tensor
    targets: Tensor
    fallbacks: int = 0

    def __len__(self) -> int:
        return len(self.images)

    def take(self, at: Sequence[int]) -> Examples:
        """Some of them, by index."""
        chosen = torch.tensor(list(at), dtype=torch.int64)
        return Examples(self.images[chosen], self.targets[chosen])


@dataclass(frozen=True)
class LabeledBatch:
    """(B, 3, S, S) float32 RGB [0, 1], and (B, S, S): class map int64, core and counts float32."""

    images: Tensor
    class_map: Tensor
    core: Tensor
    counts: Tensor


def load_examples(
    dataset: Dataset, rows: Sequence[Row], *, image_px: int, shape: Shape, outliner: Outliner
) -> Examples:
    images = np.empty((len(rows), 3, image_px, image_px), dtype=np.uint8)
    targets = np.empty_like(images)
    fallbacks = 0
    for index, row in enumerate(rows):
        image = dataset.image(row)
        tensor, geometry = letterbox(image, size_px=image_px)
        images[index] = (tensor[0] * 255).round()
        outlined = outliner(image, row.labels)
        target = rasterize(outlined.labels, geometry=geometry, size_px=image_px, shape=shape)
        targets[index] = np.stack([target.class_map, target.core, target.counts])
        fallbacks += outlined.fallbacks
    return Examples(torch.from_numpy(images), torch.from_numpy(targets), fallbacks)


def plain_batch(examples: Examples, at: slice) -> LabeledBatch:
    """Examples as they are, for validation."""
    return _batch(examples.images[at].float() / 255, examples.targets[at].float())


def random_batch(examples: Examples, *, size: int, seed: int, step: int) -> LabeledBatch:
    """Pure: the same examples, seed and step give the same batch."""
    random = np.random.default_rng([seed, step])
    chosen = torch.from_numpy(random.choice(len(examples), size, replace=len(examples) < size))
    grid = F.affine_grid(_random_affine(random, size), [size, 3, *examples.images.shape[2:]], align_corners=False)
    images = examples.images[chosen].float() / 255
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    # Zeros outside: those pixels do not count.
    targets = F.grid_sample(examples.targets[chosen].float(), grid, mode="nearest", align_corners=False)
    return _batch(_recolor(images, random), targets)


def _batch(images: Tensor, targets: Tensor) -> LabeledBatch:
    return LabeledBatch(images, targets[:, 0].round().long(), targets[:, 1].round(), targets[:, 2].round())


def _random_affine(random: np.random.Generator, size: int) -> Tensor:
    """(B, 2, 3) float32: zoom, flips and a shift, in the coordinates of `affine_grid`."""
    zoom = np.exp(random.uniform(np.log(ZOOM[0]), np.log(ZOOM[1]), size))
    flips = random.choice([-1.0, 1.0], (size, 2))
    theta = np.zeros((size, 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 1, 1] = flips[:, 0] / zoom, flips[:, 1] / zoom
    theta[:, :, 2] = random.uniform(-2 * SHIFT, 2 * SHIFT, (size, 2))
    return torch.from_numpy(theta)


def _recolor(images: Tensor, random: np.random.Generator) -> Tensor:
    """Gain and offset a channel, noise a pixel."""
    shape = (len(images), 3, 1, 1)
    gain = torch.from_numpy(random.uniform(1 - GAIN, 1 + GAIN, shape).astype(np.float32))
    offset = torch.from_numpy(random.uniform(-OFFSET, OFFSET, shape).astype(np.float32))
    noise = torch.from_numpy(random.standard_normal(images.shape, dtype=np.float32))
    return ((images - 0.5) * gain + 0.5 + offset + NOISE * noise).clamp(0, 1)
