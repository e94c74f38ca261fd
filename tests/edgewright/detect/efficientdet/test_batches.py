"""Boxes go where their pixels go; a batch is its seed and its step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from edgewright.detect.efficientdet.batches import Augmentation, Batch, Batches
from edgewright.runtime.boxes import Boxes, Image

PLAIN = Augmentation(hue=0, saturation=0, value=0)


@dataclass
class OneSquare:
    """A red square on black, in each picture elsewhere; 96 × 64 px."""

    n: int = 6

    def __len__(self) -> int:
        return self.n

    def at(self, index: int) -> tuple[Image, Boxes]:
        image = np.zeros((64, 96, 3), dtype=np.uint8)
        x, y = 10 + 11 * index, 8 + 6 * index
        image[y : y + 16, x : x + 16] = (255, 0, 0)
        return image, Boxes.of([[x, y, x + 16, y + 16]], class_id=[index % 2])


def draw(setting: Augmentation, *, step: int = 0, size: int = 8, n: int = 6) -> Batch:
    return Batches(OneSquare(n), list(range(n)), size=size, image_px=96, seed=1).draw(step, setting)


@pytest.mark.parametrize(
    "setting",
    [
        replace(PLAIN, mosaic=0.0),
        replace(PLAIN, mosaic=1.0),
        replace(PLAIN, mosaic=0.5, flip_vertical=0.5, zoom=2.2, shift=0.2),
        replace(PLAIN, mosaic=0.5, degrees=10.0),
    ],
)
def test_boxes_lie_around_their_pixels(setting: Augmentation) -> None:
    slack = 1.5 if setting.degrees == 0 else 5  # the box around a turned square is larger than the square
    seen = 0
    for step in range(4):
        batch = draw(setting, step=step)
        for image, boxes, ids in zip(batch.images, batch.truth.boxes, batch.truth.class_ids, strict=True):
            red = (image[0] > 0.7) & (image[1] < 0.3)
            covered = torch.zeros_like(red)
            for x1, y1, x2, y2 in boxes[ids >= 0].tolist():
                ys, xs = red[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))].nonzero(as_tuple=True)
                assert len(xs) > 0, "a box without its square"
                assert int(xs.min()) <= slack and int(ys.min()) <= slack
                assert int(xs.max()) + 1 >= x2 - int(x1) - slack and int(ys.max()) + 1 >= y2 - int(y1) - slack
                covered[int(y1) : int(np.ceil(y2)) + 1, int(x1) : int(np.ceil(x2)) + 1] = True
                seen += 1
            assert not (red & ~covered).any(), "a square without its box"
    assert seen > 30


def test_a_batch_is_its_seed_and_its_step() -> None:
    setting = Augmentation()
    first, again, other = draw(setting, step=3), draw(setting, step=3), draw(setting, step=4)
    assert torch.equal(first.images, again.images) and torch.equal(first.truth.boxes, again.truth.boxes)
    assert not torch.equal(first.images, other.images)


def test_every_picture_is_shown_once_an_epoch() -> None:
    batches = Batches(OneSquare(6), [0, 1, 2, 3, 4, 5], size=4, image_px=96, seed=0)
    shown = [index for step in range(3) for index in batches._indices(step)]
    assert sorted(shown[:6]) == sorted(shown[6:]) == list(range(6))
    assert shown[:6] != shown[6:]


def test_colors_change_by_no_more_than_is_said() -> None:
    batch = draw(Augmentation(mosaic=0, zoom=1, shift=0, flip_horizontal=0, hue=0, saturation=0, value=0.4), size=24)
    reds = batch.images[:, 0].amax(dim=(1, 2))
    assert reds.min() >= 0.6 - 0.01 and reds.min() < 0.8
