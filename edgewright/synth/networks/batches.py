"""What networks learn from, in batches whose every draw comes from one generator.

Decides the balance: each class of crops is as likely as any other, however rare. Half of all crops are mirrored.

    batch = CropBatches(crops, device).draw(32, rng)
    batch.images.shape, batch.condition.shape          # (32, 4, S, S), (32,)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edgewright.synth.networks.nets import from_pixels


@dataclass(frozen=True)
class CropSet:
    """What is learned from: (N, S, S, 4) uint8 and (N,) indices from 0 into the classes that have crops."""

    pixels: npt.NDArray[np.uint8]
    class_index: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageBatch:
    """Real examples.

    Attributes:
        images: (N, 4 or 3, S, S) float32 [-1, 1].
        condition: (N,) int64 class ids of crops, or (N, K, S, S) float32 layouts of scenes.
    """

    images: Tensor
    condition: Tensor


class Batches(Protocol):
    """A source of real examples."""

    def draw(self, count: int, rng: torch.Generator) -> ImageBatch:
        """`count` examples, drawn with replacement."""
        ...


class CropBatches:
    """Crops of classes drawn evenly."""

    def __init__(self, crops: CropSet, device: torch.device) -> None:
        self._pixels = torch.from_numpy(crops.pixels)
        self._device = device
        n_classes = int(crops.class_index.max()) + 1
        self._members = [torch.from_numpy(np.flatnonzero(crops.class_index == index)) for index in range(n_classes)]

    def draw(self, count: int, rng: torch.Generator) -> ImageBatch:
        class_index = torch.randint(len(self._members), (count,), generator=rng)
        share = torch.rand(count, generator=rng)
        picked = [
            self._members[which][int(part * len(self._members[which]))]
            for which, part in zip(class_index.tolist(), share.tolist(), strict=True)
        ]
        images = from_pixels(self._pixels[torch.stack(picked)].to(self._device))
        mirrored = (torch.rand(count, generator=rng) < 0.5).to(self._device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        return ImageBatch(images, class_index.to(self._device))
