"""The 16-bit pair sum of x86 without VNNI, in exact integers: what it does, and which weights it can do nothing to.

On x86 with AVX2 and no VNNI the kernels for unsigned 8-bit activations and signed 8-bit weights multiply with
`vpmaddubsw`: it adds two neighboring products and holds the sum in 16 signed bits, so that what is beyond is lost
(Intel, Software Developer's Manual, volume 2, PMADDUBSW). ONNX Runtime and oneDNN both do; with VNNI or Arm's dot
product sums are of 32 bits. A sum saturates on *raw* activations: their zero point is taken off afterwards.

Decides which two products are neighbors: those of channels 2i and 2i + 1 under one place of the kernel, places in turn,
which is the order of a channels-last im2col and of ONNX Runtime's packed weights (every four channels of a place are
one 32-bit word). Where a place has an odd number of channels, pairs reach over to the next place in ONNX Runtime and
not in oneDNN: `largest_masses` looks at both. A depthwise convolution widens to 16 bits before it multiplies there, and
cannot saturate. Held against ONNX Runtime's own AVX2 kernels on a processor without VNNI (docs/LOG.md): equal.

The sure bound: with wa, wb of one sign, |255 (wa + wb)| <= 32,640 < 32,767 where |wa + wb| <= 128, whatever is seen.

>>> saturating_sums(np.array([[255, 255]], np.uint8), np.array([[127, 127]], np.int8))
array([[32767]], dtype=int32)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.compress.qdq import Int8Array

LOWEST_SUM, HIGHEST_SUM = -32768, 32767
MAX_MASS = 128
"""The largest sum of two weights of one sign that no activation can make saturate: 255 * 129 is too much."""

Int32Array = NDArray[np.int32]
Numbers = NDArray[Any]
"""int8, or float32 before rounding."""


def in_kernel_order(weight: Numbers) -> Numbers:
    """(O, C, kH, kW) => (O, K) with K even: places of the kernel in turn, channels within, a zero where K is odd."""
    columns = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
    return np.pad(columns, ((0, 0), (0, columns.shape[1] % 2)))


def pair_sums(activations: NDArray[np.uint8], weights: Int8Array) -> Int32Array:
    """(N, K) by (O, K), both in kernel order, K even => (N, O, K / 2): the sums before they are cut to 16 bits."""
    products = activations[:, None, :].astype(np.int32) * weights[None, :, :].astype(np.int32)
    return products[..., 0::2] + products[..., 1::2]


def saturating_sums(activations: NDArray[np.uint8], weights: Int8Array) -> Int32Array:
    """(N, K) by (O, K) => (N, O): what a kernel without VNNI accumulates."""
    cut = np.clip(pair_sums(activations, weights), LOWEST_SUM, HIGHEST_SUM)
    return np.asarray(cut.sum(axis=2, dtype=np.int32))


def pair_masses(weights: Numbers) -> Numbers:
    """(O, K) in kernel order => (O, K / 2): the larger of a pair's positive and of its negative weights' sum."""
    wide = weights.astype(np.int32) if weights.dtype == np.int8 else weights
    positive, negative = np.maximum(wide, 0), np.maximum(-wide, 0)
    return np.asarray(np.maximum(positive[:, 0::2] + positive[:, 1::2], negative[:, 0::2] + negative[:, 1::2]))


def largest_masses(weight: Numbers) -> Numbers:
    """(O, C, kH, kW) => (O,): the largest mass of each output channel's pairs, in either library's order."""
    within = np.pad(weight, ((0, 0), (0, weight.shape[1] % 2), (0, 0), (0, 0)))
    orders = (in_kernel_order(weight), in_kernel_order(within))
    return np.asarray(np.maximum(*(pair_masses(order).max(axis=1) for order in orders)))


def can_saturate(weight: Int8Array) -> bool:
    """Whether some picture could make a pair sum of these weights saturate."""
    return bool(largest_masses(weight).max() > MAX_MASS)
