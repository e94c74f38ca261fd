"""Masks as text: run lengths over the row-major pixels, starting with a run of zeros, joined by spaces.

Laws: `decode_mask(encode_mask(mask), shape=mask.shape) == mask`, and the same of COCO's run lengths. Own code: an
object is coded without its picture (80 × 60 px in 1920 × 1080: 0.08 ms, pycocotools 1.1 ms; decoded 0.24 and 1.2).

>>> encode_mask(np.array([[0, 1], [1, 1]], bool))
'1 3'
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgewright.errors import InputError

Mask = npt.NDArray[np.bool_]
"""(H, W) bool."""
_MAX_SHIFT = 60


def encode_mask(mask: Mask) -> str:
    return encode_window(mask, at_xy=(0, 0), shape=(mask.shape[0], mask.shape[1]))


def encode_window(window: Mask, *, at_xy: tuple[int, int], shape: tuple[int, int]) -> str:
    """A mask of `shape` (H, W) that is False outside of `window`, whose first pixel lies at `at_xy` px.

    Takes time in the window's size, not in the picture's.
    """
    row, column = np.nonzero(np.diff(np.pad(window, ((0, 0), (1, 1))).astype(np.int8), axis=1))
    edges = (at_xy[1] + row) * shape[1] + at_xy[0] + column
    # Rows that reach from border to border go on in the next one: an end that is also a beginning is neither.
    joined = np.zeros(len(edges), dtype=bool)
    if len(edges):
        same = edges[1:] == edges[:-1]
        joined[1:] |= same
        joined[:-1] |= same
    size = shape[0] * shape[1]
    edges = edges[~joined & (edges < size)]
    return " ".join(map(str, np.diff(np.concatenate([[0], edges, [size]])).tolist()))


def decode_mask(text: str, *, shape: tuple[int, int]) -> Mask:
    """Raises InputError where the runs do not add up to the shape."""
    runs = np.array(text.split(), dtype=np.int64)
    if runs.sum() != shape[0] * shape[1] or (runs < 0).any():
        raise InputError("a mask of another size", expected=f"{shape[0] * shape[1]} px", got=int(runs.sum()))
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(shape)


def encode_coco(mask: Mask) -> list[int]:
    """COCO's run lengths: column by column, starting with a run of zeros."""
    return [int(run) for run in encode_mask(mask.T).split()]


def decode_coco(counts: str | Sequence[int], *, shape: tuple[int, int]) -> Mask:
    """COCO's run lengths, as a list or as its compressed text. Raises InputError where they are not of this shape."""
    runs = _uncompressed(counts) if isinstance(counts, str) else [int(run) for run in counts]
    if min(runs, default=0) < 0 or sum(runs) != shape[0] * shape[1]:
        raise InputError("a mask of another size", expected=f"{shape[0] * shape[1]} px", got=sum(runs))
    return decode_mask(" ".join(map(str, runs)), shape=(shape[1], shape[0])).T


def _uncompressed(text: str) -> list[int]:
    """Digits of 5 bits from `0` on, the sixth says that more follow; from the fourth run on, differences to the run
    before the last (pycocotools, `rleFrString`)."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        digit = ord(letter) - 48
        if not 0 <= digit < 64 or shift > _MAX_SHIFT:
            raise InputError("not the compressed run lengths of COCO", got=repr(text[:40]))
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        value -= (digit & 16) << (shift - 4)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise InputError("compressed run lengths that end in the middle", got=repr(text[-40:]))
    return runs
