"""How pictures become what the data gate compares: everything at one scale, through one filter path.

Decides the common scale and the tiles. Real photographs arrive large and JPEG-coded, synthetic pictures small and
PNG-coded: compared as they are, file format and resize filter would decide, not content. So a picture larger than the
synthetic ones is first reduced to their longer side, by the filter that every edgewright model sees its pictures
through (bilinear, as in `runtime.letterbox`); then every picture, real or synthetic, is reduced once more to
`COMMON_SCALE` of that, which takes the edge off what is left: JPEG's blocks, and the last octave that another resize
filter would have kept. Refuses nothing; draws no conclusion.

    scale = Scale.of(synthetic_rows)
    small = scale.reduce(dataset.image(row))
    corners = random_corners(small, tile_px=64, count=4, rng=rng)
    tiles = cut_tiles(small, corners, tile_px=64)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from edgewright.data.rows import Row
from edgewright.runtime.boxes import Boxes, Image

Tiles = npt.NDArray[np.uint8]
"""(N, S, S, 3) uint8 RGB."""

COMMON_SCALE = 0.75
RESIZE_PATH = f"Pillow bilinear to the synthetic longer side, then Lanczos to {COMMON_SCALE:g} of it, RGB uint8"


@dataclass(frozen=True)
class Scale:
    """Longer sides, px: of the synthetic pictures, and of everything when it is compared."""

    synthetic_px: int
    common_px: int

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Scale:
        """From the median longer side of the synthetic rows; 0 where there are none."""
        sides = [max(row.width or 0, row.height or 0) for row in rows]
        longer_px = float(np.median(sides)) if sides else 0.0
        return cls(round(longer_px), round(COMMON_SCALE * longer_px))

    def reduce(self, image: Image) -> Image:
        """Longer side `common_px`, aspect kept. A picture smaller than the synthetic ones is enlarged."""
        if max(image.shape[:2]) > self.synthetic_px:
            image = _resize(image, longer_px=self.synthetic_px, kernel=PillowImage.Resampling.BILINEAR)
        return _resize(image, longer_px=self.common_px, kernel=PillowImage.Resampling.LANCZOS)


def thumbnail(image: Image, *, side_px: int) -> Image:
    """(side, side, 3) uint8: the whole picture, aspect given up, each pixel the mean of its box."""
    return np.asarray(PillowImage.fromarray(image).resize((side_px, side_px), PillowImage.Resampling.BOX))


def shrunk(image: Image, *, longer_px: int) -> Image:
    """Longer side `longer_px`, aspect kept, each pixel the mean of its box."""
    return _resize(image, longer_px=longer_px, kernel=PillowImage.Resampling.BOX)


def blank_middle(tile: Image, *, width: float, height: float) -> None:
    """Fill a box around the middle, in px, with the mean color of the rest, so that it weighs nothing in a comparison.

    A tile that the box covers becomes flat.
    """
    rows, columns = (
        np.abs(np.arange(side) + 0.5 - side / 2) <= half / 2
        for side, half in zip(tile.shape[:2], (height, width), strict=True)
    )
    inside = rows[:, None] & columns[None]
    tile[inside] = np.rint(tile[~inside].mean(axis=0)).astype(np.uint8) if not inside.all() else 0


def squared(image: Image, *, side_px: int) -> Image:
    """(side, side, 3) uint8: the whole picture, aspect given up, bilinear and antialiased."""
    return np.asarray(PillowImage.fromarray(image).resize((side_px, side_px), PillowImage.Resampling.BILINEAR))


def random_corners(image: Image, *, tile_px: int, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """`(x, y)` top left corners, uniform over the places where a whole tile fits; 0 along a side that is too short."""
    height, width = image.shape[:2]
    x = rng.integers(0, max(width - tile_px, 0) + 1, size=count)
    y = rng.integers(0, max(height - tile_px, 0) + 1, size=count)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def centered_corners(boxes: Boxes, *, scale: float, tile_px: int) -> list[tuple[int, int]]:
    """Top left corners of tiles centered on boxes; `scale` is reduced px per box px. May lie outside the picture."""
    centers = (boxes.xyxy[:, :2] + boxes.xyxy[:, 2:]) * (scale / 2)
    corners = np.rint(centers - tile_px / 2).astype(int)
    return [(int(x), int(y)) for x, y in corners]


def cut_tiles(image: Image, corners: Sequence[tuple[int, int]], *, tile_px: int) -> Tiles:
    """(N, tile_px, tile_px, 3); what lies outside the picture repeats its mirrored border."""
    height, width = image.shape[:2]
    tiles = np.empty((len(corners), tile_px, tile_px, 3), dtype=np.uint8)
    for index, (x, y) in enumerate(corners):
        tiles[index] = image[np.ix_(_mirrored(y, tile_px, height), _mirrored(x, tile_px, width))]
    return tiles


def _resize(image: Image, *, longer_px: int, kernel: PillowImage.Resampling) -> Image:
    height, width = image.shape[:2]
    scale = longer_px / max(width, height)
    wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(PillowImage.fromarray(image).resize(wh, kernel))


def _mirrored(start: int, length: int, limit: int) -> npt.NDArray[np.int64]:
    """Indices `start … start + length` reflected into `[0, limit)`, the border pixel twice."""
    index = np.arange(start, start + length) % (2 * limit)
    return np.where(index < limit, index, 2 * limit - 1 - index)
