"""Labels of a picture that is stored smaller than its file.

Decides that boxes and polygons are divided, and that a mask's pixel is set where at least half of its square was.
Refuses labels that were made for a picture of another size than the file's.

>>> box = RawBox("bolt", (80.0, 40.0, 160.0, 90.0))
>>> reduce_annotation(Annotation((box,)), by=2, upright_wh=(800, 600), encoded_wh=(800, 600)).boxes[0].xyxy
(40.0, 20.0, 80.0, 45.0)
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from edgewright.data.formats.annotation import Annotation, RawBox, RunLengths
from edgewright.data.rle import Mask, decode_coco, encode_coco
from edgewright.data.sources import Unusable
from edgewright.errors import InputError
from edgewright.runtime.pictures import reduced_wh

Wh = tuple[int, int]


def reduce_annotation(annotation: Annotation, *, by: int, upright_wh: Wh, encoded_wh: Wh) -> Annotation:
    """Labels of the file's picture => of the stored one, `by` times smaller. The same where `by` is 1.

    Args:
        upright_wh, encoded_wh: px of the file's picture, after and before its orientation.

    Raises:
        Unusable: the label file says that the picture has another size.
    """
    if by == 1:
        return annotation
    stored = {wh: reduced_wh(wh, by) for wh in (encoded_wh, upright_wh)}
    if annotation.wh is not None and annotation.wh not in stored:
        expected, got = ("{}x{} px".format(*wh) for wh in (upright_wh, annotation.wh))
        raise Unusable("the labels were made for a picture of another size", expected=expected, got=got)
    scale = (1 / by, 1 / by)
    if annotation.relative:  # the last column or row may stand for less than a whole square
        (w, h), (stored_w, stored_h) = upright_wh, stored[upright_wh]
        scale = (w / by / stored_w, h / by / stored_h)
    boxes = tuple(_reduced(box, scale=scale, by=by) for box in annotation.boxes)
    return replace(annotation, boxes=boxes, wh=stored[annotation.wh] if annotation.wh else None)


def reduce_mask(mask: Mask, by: int) -> Mask:
    """(H, W) => a pixel for every square of `by` × `by`, at the edges for what is left of one."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % by), (0, -width % by)), mode="edge")
    squares = padded.reshape(padded.shape[0] // by, by, padded.shape[1] // by, by)
    halves: Mask = 2 * np.count_nonzero(squares, axis=(1, 3)) >= by * by
    return halves


def _reduced(box: RawBox, *, scale: tuple[float, float], by: int) -> RawBox:
    xyxy = cast("tuple[float, float, float, float]", _scaled(box.xyxy, scale))
    polygons = tuple(_scaled(polygon, scale) for polygon in box.polygons)
    if box.runs is None or box.reason:
        return replace(box, xyxy=xyxy, polygons=polygons)
    try:
        mask = reduce_mask(decode_coco(box.runs.counts, shape=box.runs.shape), by)
    except InputError as error:
        return replace(box, reason=str(error))
    runs = RunLengths(tuple(encode_coco(mask)), (mask.shape[0], mask.shape[1]))
    return replace(box, xyxy=xyxy, polygons=polygons, runs=runs)


def _scaled(xyxy: tuple[float, ...], scale: tuple[float, float]) -> tuple[float, ...]:
    """x, y, x, y…"""
    return tuple(value * scale[index % 2] for index, value in enumerate(xyxy))
