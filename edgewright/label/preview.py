"""A picture of what a labeler learned: held-out photographs, what people drew, what it sees.

Decides nothing; writes one PNG: a row a photograph, columns photograph | truth | prediction with its boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from edgewright.data.dataset import Dataset
from edgewright.data.rle import Mask
from edgewright.data.rows import Row
from edgewright.label.instances import MIN_CORE
from edgewright.label.network.net import Labeler
from edgewright.label.outline.masks import Shape, rasterize
from edgewright.label.outline.outlines import Outliner
from edgewright.runtime.boxes import Boxes, Image, IntArray
from edgewright.runtime.preprocess import letterbox

ROWS = 4
_SHOWN_PX = 256
_GAP_PX = 6
_COLORS = np.array(
    [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0], [240, 228, 66]]
)
"""Okabe and Ito (2008): distinct for the color-blind; repeats after seven classes."""


def draw_preview(
    path: Path, labeler: Labeler, *, dataset: Dataset, rows: Sequence[Row], shape: Shape, outliner: Outliner
) -> None:
    """The first `ROWS` of the rows with the most labels (by id where equal)."""
    shown = sorted(rows, key=lambda row: (-len(row.labels), row.id))[:ROWS]
    strips = [_strip(labeler, dataset.image(row), row=row, shape=shape, outliner=outliner) for row in shown]
    sheet = np.concatenate(strips or [np.full((_SHOWN_PX, _SHOWN_PX, 3), 255, dtype=np.uint8)])
    PillowImage.fromarray(sheet).save(path, "PNG")


def _strip(labeler: Labeler, image: Image, *, row: Row, shape: Shape, outliner: Outliner) -> Image:
    size_px = labeler.spec.image_px
    tensor, geometry = letterbox(image, size_px=size_px)
    plain = (tensor[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    target = rasterize(outliner(image, row.labels).labels, geometry=geometry, size_px=size_px, shape=shape)
    pixels = labeler.segment(image)
    truth = _panel(_tint(plain, target.class_map.astype(np.int64), core=target.core), geometry.to_input(row.boxes))
    guess = _panel(
        _tint(plain, pixels.classes.argmax(axis=0), core=pixels.core >= MIN_CORE),
        geometry.to_input(labeler.find(image)),
    )
    return np.concatenate([_panel(plain, Boxes.empty()), truth, guess], axis=1)


def _tint(image: Image, class_map: IntArray, *, core: Mask) -> Image:
    """Objects in the color of their class, their cores stronger."""
    color = _COLORS[(class_map - 1) % len(_COLORS)]
    strength = np.where(class_map > 0, np.where(core, 0.7, 0.4), 0.0)[..., None]
    tinted: Image = (image * (1 - strength) + color * strength).astype(np.uint8)
    return tinted


def _panel(image: Image, boxes: Boxes) -> Image:
    zoom = _SHOWN_PX / image.shape[0]
    picture = PillowImage.fromarray(image).resize((_SHOWN_PX, _SHOWN_PX), PillowImage.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    for (x1, y1, x2, y2), class_id in zip(boxes.transform(scale=zoom).xyxy.tolist(), boxes.class_id, strict=True):
        pen.rectangle((x1, y1, x2, y2), outline=tuple(_COLORS[class_id % len(_COLORS)].tolist()))
    return np.pad(np.asarray(picture), ((0, _GAP_PX), (0, _GAP_PX), (0, 0)), constant_values=255)
