from __future__ import annotations

import numpy as np
from PIL import Image

from edgewright.device.blur import SQUARES, hidden
from edgewright.runtime.boxes import Boxes

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))


def test_what_is_hidden_is_a_few_squares_and_all_else_is_as_it_was() -> None:
    before, after = np.asarray(NOISE), np.asarray(hidden(NOISE, Boxes.of([[50.0, 40.0, 100.0, 90.0]], class_id=[0])))
    region = after[30:100, 40:110]
    assert len(np.unique(region.reshape(-1, 3), axis=0)) == SQUARES**2
    assert region.std() < before[30:100, 40:110].std() / 5
    untouched = np.ones(before.shape[:2], bool)
    untouched[30:101, 40:111] = False
    assert np.array_equal(before[untouched], after[untouched])


def test_a_box_at_the_edge_and_one_beyond_it_are_hidden_as_far_as_they_go() -> None:
    boxes = Boxes.of([[150.0, 110.0, 160.0, 120.0], [0.0, 0.0, 0.5, 0.5]], class_id=[0, 0])
    after = np.asarray(hidden(NOISE, boxes))
    assert after.shape == (120, 160, 3) and not np.array_equal(after[-1, -8:], np.asarray(NOISE)[-1, -8:])
    assert np.array_equal(np.asarray(hidden(NOISE, Boxes.empty())), np.asarray(NOISE))
