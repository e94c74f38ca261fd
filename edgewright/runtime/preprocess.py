"""Picture → tensor. Decides the letterbox: the only pre-processing that any part of edgewright uses.

>>> tensor, geometry = letterbox(np.zeros((480, 640, 3), np.uint8), size_px=256)
>>> tensor.shape, round(geometry.scale, 2)
((1, 3, 256, 256), 0.4)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from edgewright.runtime.boxes import Boxes, FloatArray, Image
from edgewright.runtime.pictures import decode_picture, read_picture

PAD_VALUE = 114  # the gray that YOLO trainers pad with (ultralytics LetterBox)


@dataclass(frozen=True)
class Letterbox:
    """How a picture of `source_wh` px lies in the square model input.

    Law: `to_source(to_input(boxes)) == boxes` for boxes inside the picture, up to float rounding.
    """

    scale: float
    pad_xy: tuple[int, int]
    source_wh: tuple[int, int]

    def to_input(self, boxes: Boxes) -> Boxes:
        """Source px => model-input px."""
        return boxes.transform(scale=self.scale, shift_xy=(float(self.pad_xy[0]), float(self.pad_xy[1])))

    def to_source(self, boxes: Boxes) -> Boxes:
        """Model-input px => source px, clipped to the picture."""
        x, y = self.pad_xy
        back = boxes.transform(scale=1 / self.scale, shift_xy=(-x / self.scale, -y / self.scale))
        return back.clip(self.source_wh)


def letterbox(image: Image, *, size_px: int) -> tuple[FloatArray, Letterbox]:
    """HWC uint8 RGB [0, 255] => (1, 3, size, size) float32 RGB [0, 1], aspect kept, gray borders."""
    height, width = image.shape[:2]
    scale = min(size_px / width, size_px / height)
    new_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    pad_xy = ((size_px - new_wh[0]) // 2, (size_px - new_wh[1]) // 2)
    resized = image
    if new_wh != (width, height):
        resized = np.asarray(PillowImage.fromarray(image).resize(new_wh, PillowImage.Resampling.BILINEAR))
    canvas = np.full((size_px, size_px, 3), PAD_VALUE, dtype=np.uint8)
    canvas[pad_xy[1] : pad_xy[1] + new_wh[1], pad_xy[0] : pad_xy[0] + new_wh[0]] = resized
    planes = np.ascontiguousarray(canvas.transpose(2, 0, 1))  # as bytes: a quarter of the time of moving floats
    tensor = np.multiply(planes, np.float32(1 / 255), dtype=np.float32)[None]
    return tensor, Letterbox(scale, pad_xy, (width, height))


def decode_image(payload: bytes, *, where: str = "") -> Image:
    """Encoded bytes => (H, W, 3) uint8 RGB. Raises InputError as `decode_picture` does."""
    return decode_picture(payload, where=where).pixels


def read_image(path: Path) -> Image:
    """A picture file => (H, W, 3) uint8 RGB. Raises InputError as `read_picture` does."""
    return read_picture(path).pixels
