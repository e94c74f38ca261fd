"""`Boxes`: the one validated data type for truth and detections.

Decides what a box is: corners in pixels, x to the right, y down, `x1 <= x2`, `y1 <= y2`, finite. Refuses anything else.

>>> a = Boxes.of([[0, 0, 10, 10]], class_id=[0])
>>> float(a.iou(Boxes.of([[5, 0, 15, 10]], class_id=[0]))[0, 0])
0.3333333432674408
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewright.errors import InputError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB [0, 255]."""


@dataclass(frozen=True)
class Boxes:
    """Axis-aligned boxes in one image.

    Attributes:
        xyxy: (N, 4) float32 px, corners x1 y1 x2 y2.
        class_id: (N,) int64, index into the class list.
        score: (N,) float32 in [0, 1]; truth carries 1.
    """

    xyxy: FloatArray
    class_id: IntArray
    score: FloatArray

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        if self.xyxy.shape != (n, 4) or self.class_id.shape != (n,) or self.score.shape != (n,):
            raise InputError(
                "boxes of unequal lengths",
                expected="(N, 4), (N,), (N,)",
                got=f"{self.xyxy.shape}, {self.class_id.shape}, {self.score.shape}",
            )
        if not np.isfinite(self.xyxy).all() or not np.isfinite(self.score).all():
            raise InputError("a box with NaN or infinite numbers", got=self.xyxy.tolist())
        if n and ((self.xyxy[:, 2:] < self.xyxy[:, :2]).any() or (self.class_id < 0).any()):
            raise InputError("a box with x2 < x1, y2 < y1 or a negative class", got=self.xyxy.tolist())
        if n and ((self.score < 0).any() or (self.score > 1).any()):
            raise InputError("a score outside [0, 1]", got=self.score.tolist())

    @classmethod
    def of(cls, xyxy: Any, *, class_id: Any, score: Any = None) -> Boxes:
        """From lists or arrays of any number type; scores default to 1."""
        corners = np.asarray(xyxy, dtype=np.float32).reshape(-1, 4)
        scores = np.ones(len(corners)) if score is None else score
        return cls(
            corners,
            np.asarray(class_id, dtype=np.int64).reshape(-1),
            np.asarray(scores, dtype=np.float32).reshape(-1),
        )

    @classmethod
    def empty(cls) -> Boxes:
        return cls.of([], class_id=[])

    @classmethod
    def concatenate(cls, parts: Sequence[Boxes]) -> Boxes:
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([part.xyxy for part in parts]),
            np.concatenate([part.class_id for part in parts]),
            np.concatenate([part.score for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, index: Any) -> Boxes:
        """Rows by a boolean mask, an index array or a slice."""
        return Boxes(self.xyxy[index], self.class_id[index], self.score[index])

    @property
    def wh(self) -> FloatArray:
        """(N, 2) float32 px."""
        sides: FloatArray = self.xyxy[:, 2:] - self.xyxy[:, :2]
        return sides

    @property
    def area(self) -> FloatArray:
        """(N,) float32 px²."""
        area: FloatArray = self.wh.prod(axis=1)
        return area

    def iou(self, other: Boxes) -> FloatArray:
        """(N, M) float32 in [0, 1]: intersection over union; 0 where the union is empty."""
        top_left = np.maximum(self.xyxy[:, None, :2], other.xyxy[None, :, :2])
        bottom_right = np.minimum(self.xyxy[:, None, 2:], other.xyxy[None, :, 2:])
        intersection = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
        union = self.area[:, None] + other.area[None, :] - intersection
        overlap: FloatArray = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
        return overlap

    def clip(self, wh: tuple[int, int]) -> Boxes:
        """Corners moved into the image `[0, w] × [0, h]` px."""
        limits = np.array([wh[0], wh[1], wh[0], wh[1]], dtype=np.float32)
        return Boxes(np.clip(self.xyxy, 0, limits), self.class_id, self.score)

    def transform(self, *, scale: float, shift_xy: tuple[float, float] = (0.0, 0.0)) -> Boxes:
        """`xyxy * scale + shift`, in px."""
        shift = np.array([*shift_xy, *shift_xy], dtype=np.float32)
        return Boxes((self.xyxy * np.float32(scale) + shift).astype(np.float32), self.class_id, self.score)
