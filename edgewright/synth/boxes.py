"""Labels by construction: what a layout alone says about boxes and masks, for many scenes at once.

Decides nothing a picture could tell. `frame_boxes` takes any number of layouts in one call, well under 1 µs a layout of
twelve objects. Masks stand as parts: the pixels of one object and the corner they begin at, never a whole frame.

>>> boxes, seen = frame_boxes(np.array([[-5.0, 2, 15, 12], [90, 90, 99, 99]]), wh=(64, 48), min_px=4)
>>> boxes[seen].tolist()
[[0.0, 2.0, 15.0, 12.0]]
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edgewright.synth.matte import ellipse

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)
Corners = tuple[float, float, float, float]
_SMALL_PX = 1024
"""Parts up to so many pixels come again often enough to remember their runs."""


def frame_boxes(xyxy: Floats, *, wh: tuple[int, int], min_px: float) -> tuple[Floats, Mask]:
    """(..., M, 4) px => the same cut by the frame, and (..., M) bool: at least `min_px` of both sides is in it."""
    boxes = np.empty_like(xyxy)
    np.clip(xyxy[..., 0::2], 0, wh[0], out=boxes[..., 0::2])
    np.clip(xyxy[..., 1::2], 0, wh[1], out=boxes[..., 1::2])
    shorter = np.minimum(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])
    return boxes, np.asarray(shorter >= min_px)


def overlaps(ours: Floats, others: Floats) -> Mask:
    """(N, 4), (M, 4) => (N, M) bool: whether two boxes share any area."""
    one, other = ours[:, None], others[None]
    apart = np.maximum(one[..., :2], other[..., :2]) >= np.minimum(one[..., 2:], other[..., 2:])
    return np.asarray(~apart.any(axis=2))


def tight_box(mask: Mask, corner_xy: tuple[int, int] = (0, 0)) -> Corners | None:
    """The smallest box that holds every pixel of a mask whose corner lies at `corner_xy` px; None for an empty mask."""
    xs, ys = np.logical_or.reduce(mask, axis=0).nonzero()[0], np.logical_or.reduce(mask, axis=1).nonzero()[0]
    if not len(xs):
        return None
    x, y = corner_xy
    return (float(x + xs[0]), float(y + ys[0]), float(x + xs[-1] + 1), float(y + ys[-1] + 1))


def encode_part(part: Mask, corner_xy: tuple[int, int], *, wh: tuple[int, int]) -> str:
    """As `encode_mask` of the whole frame with this part in it; nothing of the part may lie outside.

    Where the part stands changes the first run and the last, so the runs between are worked out once for small parts.
    """
    encode = _small_runs if part.size <= _SMALL_PX else _runs
    before, between, after = encode(part.tobytes(), part.shape, wh[0])
    if not between:
        return str(wh[0] * wh[1])
    start = corner_xy[1] * wh[0] + corner_xy[0]
    rest = (wh[1] - corner_xy[1] - part.shape[0]) * wh[0] + after - corner_xy[0]
    return f"{start + before} {between} {rest}" if rest else f"{start + before} {between}"


def _runs(pixels: bytes, shape: tuple[int, int], frame_width: int) -> tuple[int, str, int]:
    """How many pixels lie before the first of a part at the corner of a frame, its runs, and how many come after it.

    The runs of each row begin and end at changes along it; a run that goes on in the next row is one run.
    """
    height, width = shape
    padded = np.zeros((height, width + 2), np.bool_)
    padded[:, 1:-1] = np.frombuffer(pixels, np.bool_).reshape(shape)
    flat = padded.ravel()
    at = (flat[1:] != flat[:-1]).nonzero()[0]
    if not len(at):
        return 0, "", 0
    edges = at + at // (width + 2) * (frame_width - width - 2)
    runs: list[int] = (edges[1:] - edges[:-1]).tolist()
    if width == frame_width:
        runs = _joined(runs)
    return int(edges[0]), " ".join(map(str, runs)), height * frame_width - int(edges[-1])


_small_runs = lru_cache(maxsize=8192)(_runs)


@lru_cache(maxsize=4096)
def oval(width_px: int, height_px: int) -> Mask:
    """`ellipse`, remembered: small pictures ask for few sizes. Not to be written to."""
    found = ellipse(width_px, height_px)
    found.flags.writeable = False
    return found


@lru_cache(maxsize=4096)
def oval_px(width_px: int, height_px: int) -> int:
    """How many pixels that ellipse has."""
    return int(np.count_nonzero(oval(width_px, height_px)))


def cut_to_frame(
    part: npt.NDArray[Scalar], corner_xy: tuple[int, int], *, wh: tuple[int, int]
) -> tuple[npt.NDArray[Scalar], tuple[int, int]]:
    """What of (h, w, ...) pixels lies in the frame, as a view, and its corner there; nothing where none does."""
    (x, y), (height, width) = corner_xy, part.shape[:2]
    if x >= 0 and y >= 0 and x + width <= wh[0] and y + height <= wh[1]:
        return part, corner_xy
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, wh[0]), min(y + height, wh[1])
    if left >= right or top >= bottom:
        return part[:0, :0], (0, 0)
    return part[top - y : bottom - y, left - x : right - x], (left, top)


def _joined(runs: list[int]) -> list[int]:
    """Without empty runs between two of one kind; the first, of zeros, and the last may be empty."""
    joined = runs[:1]
    index = 1
    while index < len(runs):
        if runs[index] == 0 and index + 1 < len(runs):
            joined[-1] += runs[index + 1]
            index += 2
        else:
            joined.append(runs[index])
            index += 1
    return joined
