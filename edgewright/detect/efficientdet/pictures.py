"""What EfficientDet-lite learns from: a data set's rows at the training's size, decoded once while memory allows.

Decides how much memory pictures may take; what is beyond it is decoded anew each time. A picture is what the device
would see of it, without the gray borders; regions that nobody may learn from are painted over.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.detect.shown_pictures import hide_ignored, shrink
from edgewright.runtime.boxes import Boxes, Image

KEPT_BYTES = 1 << 30


class RowPictures:
    """Rows of a data set by index."""

    def __init__(self, dataset: Dataset, rows: Sequence[Row], *, image_px: int, limit_bytes: int = KEPT_BYTES) -> None:
        self._dataset, self._rows, self._image_px, self._room = dataset, rows, image_px, limit_bytes
        self._kept: dict[int, tuple[Image, Boxes]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, index: int) -> tuple[Image, Boxes]:
        """(H, W, 3) uint8 with its longer side at the training's size, and the boxes that count, in px of it."""
        if index in self._kept:
            return self._kept[index]
        row = self._rows[index]
        whole = hide_ignored(self._dataset.image(row), ignored=row.ignored, counted=row.boxes)
        image, scale = shrink(whole, longer_px=self._image_px)
        found = (image, row.boxes.transform(scale=scale).clip((image.shape[1], image.shape[0])))
        if image.nbytes <= self._room:
            self._room -= image.nbytes
            self._kept[index] = found
        return found
