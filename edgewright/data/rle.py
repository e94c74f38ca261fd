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
    flat = mask.reshape(-1).astype(np.int8)
    edges = np.flatnonzero(np.diff(flat, prepend=np.int8(0)))
    runs = np.diff(np.concatenate([[0], edges, [flat.size]]))
    return " ".join(map(str, runs[: len(edges) + 1].tolist()))


def decode_mask(text: str, *, shape: tuple[int, int]) -> Mask:
    """Raises InputError where the runs do not add up to the shape."""
    runs = np.array(text.split(), dtype=np.int64)
    if runs.sum() != shape[0] * shape[1] or (runs < 0).any():
        raise InputError("a mask of another size", expected=f"{shape[0] * shape[1]} px", got=int(runs.sum()))
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(shape)
