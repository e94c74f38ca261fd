"""What four numbers of a box mean, and whether a whole set of them rather means something else than its format says.

Decides nothing of a single box: any four numbers are some box. Of a set: boxes that leave their pictures as the format
reads them, and all fit when they are read in another frame, were written in that frame; boxes of which none is wider
than a pixel were written as shares. Such a set is refused by whoever reads it, never converted: that would be a guess.

>>> doubted_frame(np.array([[60.0, 10, 90, 40]]), np.array([[100.0, 50]]), Frame.TOP_LEFT)
<Frame.CORNERS: 'x1 y1 x2 y2 (two corners)'>
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from edgewright.errors import SourceError

Numbers = npt.NDArray[np.float64]
"""(N, 4) as the file writes them, or (N, 2) width and height of each box's picture."""
Xyxy = tuple[float, float, float, float]
OUTSIDE_SHARE = 0.02
"""Of the picture's side: a box may leave it by rounding, or by a careless hand."""
MIN_OUTSIDE = 3
MIN_OUTSIDE_SHARE = 0.1


class Frame(StrEnum):
    CORNERS = "x1 y1 x2 y2 (two corners)"
    TOP_LEFT = "x y w h (x y: the top left corner)"
    CENTER = "x y w h (x y: the center)"


def as_corners(box: Xyxy, frame: Frame) -> Xyxy:
    """Four numbers of a frame => x1 y1 x2 y2."""
    a, b, c, d = box
    if frame is Frame.CORNERS:
        return box
    return (a, b, a + c, b + d) if frame is Frame.TOP_LEFT else (a - c / 2, b - d / 2, a + c / 2, b + d / 2)


def doubted_frame(boxes: Numbers, wh: Numbers, frame: Frame) -> Frame | None:
    """The other frame that a set of boxes was rather written in; None where its own frame fits.

    Corners betray themselves: of boxes that are none, few have their second point right of and below the first.
    """
    n_outside = int(_outside(boxes, wh, frame).sum())
    if not n_outside:
        return None
    many = n_outside >= max(MIN_OUTSIDE, MIN_OUTSIDE_SHARE * len(boxes))
    others = [other for other in Frame if other is not frame and (other is Frame.CORNERS or many)]
    return next((other for other in others if not _outside(boxes, wh, other).any()), None)


def refuse_frame(boxes: Numbers, wh: Numbers, frame: Frame, *, where: str, next_step: str) -> None:
    """Raises SourceError where the boxes were rather written in another frame."""
    other = doubted_frame(boxes, wh, frame)
    if other is not None:
        n_outside = int(_outside(boxes, wh, frame).sum())
        raise SourceError(
            f"boxes look like {other}",
            expected=str(frame),
            got=f"{n_outside} of {len(boxes)} boxes leave their pictures, none does as {other}",
            where=where,
            next_step=next_step,
        )


def refuse_shares(boxes: Numbers, *, where: str) -> None:
    """Raises SourceError where boxes of a format in px have no number above 1, most of them."""
    small = (np.abs(boxes) <= 1).all(axis=1)
    if len(boxes) and small.mean() > 0.5:
        raise SourceError(
            "boxes look normalized",
            expected="px",
            got=f"no number above 1 in {int(small.sum())} of {len(boxes)} boxes",
            where=where,
            next_step="multiply x and w by the picture's width, y and h by its height",
        )


def fitting_share(boxes: Numbers, wh: Numbers, frame: Frame) -> float:
    """The share of boxes that have an extent and lie in their picture when they are read in a frame."""
    return float((~_outside(boxes, wh, frame)).mean()) if len(boxes) else 0.0


def _outside(boxes: Numbers, wh: Numbers, frame: Frame) -> npt.NDArray[np.bool_]:
    """Which boxes leave their picture, or have no extent, when they are read in a frame."""
    a, b, c, d = boxes.T
    if frame is Frame.TOP_LEFT:
        c, d = a + c, b + d
    if frame is Frame.CENTER:
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    slack = OUTSIDE_SHARE * wh
    leaves = (a < -slack[:, 0]) | (b < -slack[:, 1]) | (c > wh[:, 0] + slack[:, 0]) | (d > wh[:, 1] + slack[:, 1])
    outside: npt.NDArray[np.bool_] = leaves | (c <= a) | (d <= b)
    return outside
