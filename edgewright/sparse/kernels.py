"""Block-sparse matrix times a vector, compiled by numba (extra `sparse`). Decides the order of sums, and nothing else.

`one_by_eight` writes its eight sums out: so they stay in one vector register, where an array of sums would lie in
memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_Kernel = Callable[..., Any]
_compiled: Callable[[_Kernel], _Kernel] = numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})


@_compiled
def one(x: Any, values: Any, columns: Any, starts: Any, bias: Any) -> Any:
    """(I,) => (O,), an index for each weight."""
    found = np.empty(len(bias), np.float32)
    for out in range(len(starts) - 1):
        total = bias[out]
        for block in range(np.uint64(starts[out]), np.uint64(starts[out + 1])):  # unsigned: no index from the end
            total += values[block, 0] * x[columns[block]]
        found[out] = total
    return found


@_compiled
def one_by_eight(x: Any, values: Any, columns: Any, starts: Any, bias: Any) -> Any:
    """(I,) => (O,), an index for eight outputs' weights."""
    found = np.empty(len(bias), np.float32)
    for group in range(len(starts) - 1):
        a = b = c = d = e = f = g = h = np.float32(0)
        for block in range(np.uint64(starts[group]), np.uint64(starts[group + 1])):
            factor, row = x[columns[block]], values[block]
            a += row[0] * factor
            b += row[1] * factor
            c += row[2] * factor
            d += row[3] * factor
            e += row[4] * factor
            f += row[5] * factor
            g += row[6] * factor
            h += row[7] * factor
        out = 8 * group
        for place, total in enumerate((a, b, c, d, e, f, g, h)):
            found[out + place] = bias[out + place] + total
    return found
