"""Pictures and boxes as training batches: mosaic, flips, zoom and shift, color.

Decides the augmentation. Law: the batch of a step depends on the pictures, the setting, seed and step alone, so that a
continued training sees what an unbroken one would. A box that is cut to less than `MIN_KEPT` of its area at an edge no
longer counts: what is left of it is painted gray, for nobody may learn that it is background.

    batch = Batches(pictures, setting, seed=0).draw(step)
    batch.images.shape                                      # (B, 3, S, S)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage
from torch import Tensor

from edgewright.detect.efficientdet.loss import Truth
from edgewright.detect.shown_pictures import hide_ignored
from edgewright.learning.ranks import ALONE, Ranks
from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.preprocess import PAD_VALUE

MIN_KEPT = 0.25
MIN_SIDE_PX = 2.0
_CENTER = (0.3, 0.7)
"""Where a mosaic's four pictures meet, as shares of the side."""


@dataclass(frozen=True)
class Augmentation:
    """Attributes:
    mosaic: share of pictures put together from four.
    zoom: largest factor up and, inverted, down.
    shift: largest shift as a share of the side.
    flip_horizontal, flip_vertical: shares.
    degrees: largest rotation.
    hue, saturation, value: largest change; hue in turns, the others as a factor's distance from 1.
    """

    mosaic: float = 1.0
    zoom: float = 1.5
    shift: float = 0.1
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.0
    degrees: float = 0.0
    hue: float = 0.015
    saturation: float = 0.5
    value: float = 0.4


class Pictures(Protocol):
    """What is learned from: pictures at the training's size, and their boxes in px of them."""

    def __len__(self) -> int: ...

    def at(self, index: int) -> tuple[Image, Boxes]: ...


@dataclass(frozen=True)
class Batch:
    """(B, 3, S, S) float32 RGB [0, 1], and the objects in px of it."""

    images: Tensor
    truth: Truth

    def to(self, device: torch.device) -> Batch:
        truth = Truth(self.truth.boxes.to(device), self.truth.class_ids.to(device))
        return Batch(self.images.to(device), truth)


@dataclass(frozen=True)
class Batches:
    """Attributes:
    shown: indices of pictures, an epoch's worth; one that stands twice is shown twice as often.
    size: of the whole batch, of which each rank has an equal part.
    """

    pictures: Pictures
    shown: Sequence[int]
    size: int
    image_px: int
    seed: int
    ranks: Ranks = ALONE

    def draw(self, step: int, setting: Augmentation) -> Batch:
        """This rank's part of the batch of a step: its place in an order of `shown` that is drawn anew every epoch."""
        rng = np.random.default_rng([self.seed, step, self.ranks.rank])
        made = [self._make(index, setting, rng) for index in self._indices(step)[self.ranks.rank :: self.ranks.count]]
        images = np.stack([image for image, _ in made]).transpose(0, 3, 1, 2)
        tensor = torch.from_numpy(np.ascontiguousarray(images)).float() / 255
        return Batch(tensor.contiguous(memory_format=torch.channels_last), pad([boxes for _, boxes in made]))

    def _indices(self, step: int) -> list[int]:
        found = []
        for position in range(step * self.size, (step + 1) * self.size):
            epoch, place = divmod(position, len(self.shown))
            found.append(self.shown[int(_order(len(self.shown), self.seed, epoch)[place])])
        return found

    def _make(self, index: int, setting: Augmentation, rng: np.random.Generator) -> tuple[Image, Boxes]:
        whole = (0, 0, self.image_px, self.image_px)
        if rng.random() < setting.mosaic:
            others = [self.shown[i] for i in rng.integers(len(self.shown), size=3)]
            parts = zip([index, *others], _quarters(self.image_px, rng), strict=True)
        else:
            parts = zip([index], [whole], strict=True)
        canvas = np.full((self.image_px, self.image_px, 3), PAD_VALUE, dtype=np.uint8)
        pasted = [
            _paste(canvas, *self.pictures.at(picture), region=region, setting=setting, rng=rng)
            for picture, region in parts
        ]
        kept, cut = (Boxes.concatenate([pair[side] for pair in pasted]) for side in (0, 1))
        return recolor(hide_ignored(canvas, ignored=cut, counted=kept), setting, rng), kept


def _order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, count]).permutation(count)


def pad(boxes: Sequence[Boxes]) -> Truth:
    """Objects of each picture => one pair of tensors."""
    most = max(1, *(len(one) for one in boxes))
    xyxy, ids = torch.zeros(len(boxes), most, 4), torch.full((len(boxes), most), -1, dtype=torch.int64)
    for row, one in enumerate(boxes):
        xyxy[row, : len(one)] = torch.from_numpy(one.xyxy)
        ids[row, : len(one)] = torch.from_numpy(one.class_id)
    return Truth(xyxy, ids)


def _quarters(side: int, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    x, y = (round(float(rng.uniform(*_CENTER)) * side) for _ in range(2))
    return [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]


def _paste(
    canvas: Image,
    image: Image,
    boxes: Boxes,
    *,
    region: tuple[int, int, int, int],
    setting: Augmentation,
    rng: np.random.Generator,
) -> tuple[Boxes, Boxes]:
    """A picture, moved at random, into a region of the canvas; boxes that count there, and those cut too far."""
    x1, y1, x2, y2 = region
    matrix = _random_move(image.shape[1::-1], ((x1 + x2) / 2, (y1 + y2) / 2), canvas.shape[0], setting, rng)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    inverse[:, 2] += inverse[:, :2] @ [x1, y1]  # Pillow's output begins at the region's corner
    moved = PillowImage.fromarray(image).transform(
        (x2 - x1, y2 - y1),
        PillowImage.Transform.AFFINE,
        data=tuple(inverse.reshape(-1).tolist()),
        resample=PillowImage.Resampling.BILINEAR,
        fillcolor=(PAD_VALUE,) * 3,
    )
    canvas[y1:y2, x1:x2] = np.asarray(moved)
    return _cut(_move(boxes, matrix), region)


def _random_move(
    source_wh: tuple[int, ...], center: tuple[float, float], side: int, setting: Augmentation, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """(2, 3): source px => canvas px; its middle to `center`, apart from a shift."""
    zoom = float(np.exp(rng.uniform(-np.log(setting.zoom), np.log(setting.zoom))))
    flips = [-1.0 if rng.random() < share else 1.0 for share in (setting.flip_horizontal, setting.flip_vertical)]
    angle = np.deg2rad(rng.uniform(-setting.degrees, setting.degrees))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = zoom * turn @ np.diag(flips)
    to = np.array(center) + rng.uniform(-setting.shift, setting.shift, 2) * side
    return np.hstack([linear, (to - linear @ (np.array(source_wh) / 2))[:, None]])


def _move(boxes: Boxes, matrix: npt.NDArray[np.float64]) -> Boxes:
    """The boxes around the moved corners."""
    x1, y1, x2, y2 = boxes.xyxy.astype(np.float64).T
    corners = np.stack([np.stack([x, y]) for x in (x1, x2) for y in (y1, y2)])  # (4, 2, N)
    moved = matrix[:, :2] @ corners + matrix[:, 2:]
    xyxy = np.concatenate([moved.min(axis=0), moved.max(axis=0)]).T.astype(np.float32)
    return Boxes(xyxy, boxes.class_id, boxes.score)


def _cut(boxes: Boxes, region: tuple[int, int, int, int]) -> tuple[Boxes, Boxes]:
    """What is left of the boxes inside a region: those that still count, and those that do not."""
    x1, y1, x2, y2 = region
    xyxy = np.clip(boxes.xyxy, [x1, y1, x1, y1], [x2, y2, x2, y2])
    sides = xyxy[:, 2:] - xyxy[:, :2]
    share = sides.prod(axis=1) / np.maximum(boxes.area, 1e-6)
    kept = (share >= MIN_KEPT) & (sides >= MIN_SIDE_PX).all(axis=1)
    inside = Boxes(xyxy, boxes.class_id, boxes.score)
    return inside[kept], inside[~kept & (sides > 0).all(axis=1)]


def recolor(image: Image, setting: Augmentation, rng: np.random.Generator) -> Image:
    """Hue, saturation and value by factors drawn once a picture, in HSV."""
    gains = 1 + rng.uniform(-1, 1, 3) * [setting.hue, setting.saturation, setting.value]
    levels = np.arange(256)
    tables = [
        (levels + (gains[0] - 1) * 256).round().astype(int) % 256,
        np.clip(levels * gains[1], 0, 255).round(),
        np.clip(levels * gains[2], 0, 255).round(),
    ]
    hsv = PillowImage.fromarray(image).convert("HSV")
    changed = hsv.point([int(value) for table in tables for value in table])
    return np.array(changed.convert("RGB"))
