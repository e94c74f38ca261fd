"""Masks as text: run lengths over the row-major pixels, starting with a run of zeros, joined by spaces.

Law: `decode_mask(encode_mask(mask), shape=mask.shape) == mask`.

>>> encode_mask(np.array([[0, 1], [1, 1]], bool))
'1 3'
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.errors import InputError

Mask = npt.NDArray[np.bool_]
"""(H, W) bool."""


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
