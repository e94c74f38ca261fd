from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from edgewright.data.rle import decode_mask
from edgewright.data.rows import Label
from edgewright.label.outline.outlines import cut_out, outline
from edgewright.runtime.boxes import FloatArray, Image
from tests.scenes import Corners

Mask = npt.NDArray[np.bool_]
Shape = Callable[[FloatArray, FloatArray], Mask]


def picture(shape_of: Shape, *, wh: tuple[int, int] = (80, 60), noise: float = 6) -> tuple[Image, Mask]:
    """(H, W, 3) gray noise with a red object; its exact pixels."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[: wh[1], : wh[0]] + 0.5
    inside = shape_of(x, y)
    image = random.normal(120, noise, (wh[1], wh[0], 3))
    image[inside] += (70, -60, -60)
    return image.clip(0, 255).astype(np.uint8), inside


def box_of(inside: Mask) -> Corners:
    y, x = np.nonzero(inside)
    return (float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1))


def iou(a: Mask, b: Mask) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize(
    "shape_of",
    [
        lambda x, y: (abs(x - 40) < 18) & (abs(y - 30) < 9),  # a bar: the ellipse is a poor guess
        lambda x, y: abs(x - 40) / 20 + abs(y - 30) / 15 < 1,  # a diamond
        lambda x, y: np.hypot((x - 12) / 12, (y - 30) / 12) < 1,  # at the border
    ],
)
def test_it_finds_the_pixels_of_an_object(shape_of: Shape) -> None:
    image, inside = picture(shape_of)
    outlined = outline(image, [Label(0, 0, box_of(inside))])
    assert outlined.fallbacks == 0
    assert iou(decode_mask(outlined.labels[0].mask, shape=inside.shape), inside) > 0.9


def test_a_large_object_is_looked_at_smaller() -> None:
    image, inside = picture(lambda x, y: np.hypot((x - 200) / 150, (y - 150) / 90) < 1, wh=(400, 300))
    outlined = outline(image, [Label(0, 0, box_of(inside))])
    assert iou(decode_mask(outlined.labels[0].mask, shape=inside.shape), inside) > 0.9


@pytest.mark.parametrize(
    "xyxy",
    [
        (10.0, 10.0, 12.0, 12.0),  # too few pixels to tell colors apart
        (30.0, 20.0, 30.0, 20.0),  # none at all
        (0.0, 0.0, 80.0, 60.0),  # no background around it, and nothing in it
    ],
)
def test_where_it_finds_nothing_the_ellipse_stands_in(xyxy: Corners) -> None:
    image, _ = picture(lambda x, y: x < 0)
    outlined = outline(image, [Label(0, 0, xyxy)])
    assert (outlined.fallbacks, outlined.labels[0].mask) == (1, "")


def test_neighbors_that_look_alike_are_no_background() -> None:
    image, inside = picture(lambda x, y: np.minimum(np.hypot(x - 25, y - 30), np.hypot(x - 56, y - 30)) < 14)
    one, other = Label(0, 0, (11.0, 16.0, 39.0, 44.0)), Label(1, 0, (42.0, 16.0, 70.0, 44.0))
    outlined = outline(image, [one, other])
    assert outlined.fallbacks == 0
    both = decode_mask(outlined.labels[0].mask, shape=inside.shape) | decode_mask(
        outlined.labels[1].mask, shape=inside.shape
    )
    assert iou(both, inside) > 0.9


def test_a_mask_that_does_not_fill_its_box_is_worth_nothing() -> None:
    """Only a small part of the box differs from what lies around it."""
    image, _ = picture(lambda x, y: np.hypot(x - 40, y - 30) < 4)
    assert cut_out(image, inner_xyxy=(20, 10, 60, 50)) is None


def test_a_given_mask_and_ignored_labels_stay_as_they_are() -> None:
    image, inside = picture(lambda x, y: np.hypot(x - 40, y - 30) < 15)
    labels = (Label(0, 0, box_of(inside), mask="4800"), Label(1, 0, box_of(inside), ignore=True))
    assert outline(image, labels).labels == labels


def test_the_same_picture_gives_the_same_mask() -> None:
    image, inside = picture(lambda x, y: np.hypot(x - 40, y - 30) < 15, noise=40)
    labels = [Label(0, 0, box_of(inside))]
    assert outline(image, labels) == outline(image, labels)
