"""A linear layer of which most weights are zero: learned with a mask, then kept and multiplied without the zeros.

Decides that the mask has the weight's own shape, is chosen once from the weights' sizes, and holds by masked gradients:
a forward pass changes nothing. Eight outputs may share an input's index (`rows=8`), so that one index is read for a
vector register's worth of weights; `rows=1` is CSR. Refuses a share outside [0, 1), and rows that do not divide the
outputs.

    layer = SparseLinear(1024, 1024, sparsity=0.9)
    ...                                     # learn
    layer.thin_out()                        # the smallest 90 % become zero, and stay zero
    ...                                     # learn again, with a new optimizer: an old one's moments move zeros
    fast = layer.freeze()                   # extra `sparse`; fast(x) == layer(x)
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewright.errors import InputError, MissingExtra

FloatArray = npt.NDArray[np.float32]
_ROWS = (1, 8)
_MAX_INPUTS = 1 << 16
"""Indices are 16 bits wide."""


class SparseLinear(nn.Module):
    """(…, in_features) => (…, out_features) float32.

    Args:
        sparsity: share of the weights that `thin_out` takes, in [0, 1).
        rows: outputs that keep and lose an input together, 1 or 8.
    """

    mask: Tensor

    def __init__(
        self, in_features: int, out_features: int, sparsity: float, *, bias: bool = True, rows: int = 1
    ) -> None:
        super().__init__()
        if not 0 <= sparsity < 1:
            raise InputError("not a share of weights", expected="from 0 to less than 1", got=sparsity)
        if rows not in _ROWS or out_features % rows or not 0 < in_features <= _MAX_INPUTS:
            raise InputError(
                "not a sparse layer's shape",
                expected=f"outputs in rows of 1 or 8, at most {_MAX_INPUTS} inputs",
                got=f"{in_features} => {out_features} in rows of {rows}",
            )
        dense = nn.Linear(in_features, out_features, bias=bias)
        self.weight = dense.weight
        self.bias: nn.Parameter | None = dense.bias
        self.sparsity, self.rows = sparsity, rows
        self.register_buffer("mask", torch.ones(out_features, in_features, dtype=torch.bool))
        self._hold()

    @classmethod
    def of(cls, linear: nn.Linear, *, sparsity: float, rows: int = 1) -> SparseLinear:
        """A layer with the weights of a dense one, none of them gone yet."""
        layer = cls(linear.in_features, linear.out_features, sparsity, bias=linear.bias is not None, rows=rows)
        layer.load_state_dict({**linear.state_dict(), "mask": layer.mask})
        return layer.to(linear.weight)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._hold()  # copies of a parameter have no hooks

    def _hold(self) -> None:
        self.weight.register_hook(lambda gradient: gradient * self.mask)

    @torch.no_grad()
    def thin_out(self) -> None:
        """Set the smallest weights to zero, in groups of `rows` by their norm; from now on their gradients are zero."""
        out, inside = self.weight.shape
        norms = self.weight.reshape(out // self.rows, self.rows, inside).norm(dim=1)
        gone = norms.flatten().argsort()[: round(self.sparsity * norms.numel())]
        kept = torch.ones(norms.numel(), dtype=torch.bool, device=norms.device)
        kept[gone] = False
        self.mask.copy_(kept.reshape(-1, 1, inside).expand(-1, self.rows, -1).reshape(out, inside))
        self.weight.mul_(self.mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def freeze(self) -> FrozenLinear:
        """The same function without the zeros.

        Raises:
            InputError: what was taken is there again: an optimizer of before moved it.
        """
        if bool((self.weight[~self.mask] != 0).any()):
            raise InputError("weights that were taken are not zero", next_step="learn with a new optimizer")
        out, inside = self.weight.shape
        weight = self.weight.detach().cpu().numpy().reshape(out // self.rows, self.rows, inside)
        there = self.mask.cpu().numpy().reshape(weight.shape)[:, 0]
        group, column = np.nonzero(there)
        return FrozenLinear(
            values=np.ascontiguousarray(weight[group, :, column], dtype=np.float32),
            columns=column.astype(np.uint16),
            starts=np.concatenate([[0], there.sum(axis=1).cumsum()]).astype(np.int64),
            bias=np.zeros(out, np.float32) if self.bias is None else self.bias.detach().cpu().numpy().copy(),
            in_features=inside,
        )


@dataclass(frozen=True)
class FrozenLinear:
    """(N, in_features) float32 => (N, out_features) float32, by the weights that are there. Block CSR.

    One input is multiplied as it is kept; the first batch makes a second copy of the weights for torch's own product.

    Attributes:
        values: (B, rows) float32: a block is an input's weights for `rows` outputs side by side.
        columns: (B,) uint16, the blocks' inputs.
        starts: (out_features / rows + 1,) int64: where each group of outputs begins in both.
    """

    values: FloatArray
    columns: npt.NDArray[np.uint16]
    starts: npt.NDArray[np.int64]
    bias: FloatArray
    in_features: int

    @property
    def parameters(self) -> int:
        """Weights and biases that are kept."""
        return self.values.size + self.bias.size

    @property
    def nbytes(self) -> int:
        """Of weights, biases and everything that says where they belong."""
        return self.values.nbytes + self.columns.nbytes + self.starts.nbytes + self.bias.nbytes

    def __call__(self, x: FloatArray) -> FloatArray:
        """Raises InputError for another shape, MissingExtra for one input without numba."""
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise InputError("not this layer's input", expected=f"(N, {self.in_features})", got=x.shape)
        x = np.ascontiguousarray(x, dtype=np.float32)
        if len(x) != 1:
            with torch.inference_mode():
                found = self._by_output @ torch.from_numpy(x).T.contiguous()
            return found.numpy().T + self.bias  # type: ignore[no-any-return]
        kernels = _kernels()
        weights = (self.values, self.columns, self.starts, self.bias)
        one = kernels.one if self.values.shape[1] == 1 else kernels.one_by_eight
        return one(x[0], *weights)[None]  # type: ignore[no-any-return]

    @cached_property
    def _by_output(self) -> Tensor:
        """(out_features, in_features) as torch's CSR, of which a product with many inputs is three times as fast as
        any written here (docs/LOG.md)."""
        rows, counts = self.values.shape[1], np.diff(self.starts)
        groups = [slice(*ends) for ends in zip(self.starts[:-1], self.starts[1:], strict=True)]
        values = [self.values[group, row] for group in groups for row in range(rows)]
        columns = [self.columns[group] for group in groups for _ in range(rows)]
        starts = np.concatenate([[0], counts.repeat(rows).cumsum()])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch calls its CSR a beta
            return torch.sparse_csr_tensor(
                torch.from_numpy(starts.astype(np.int32)),
                torch.from_numpy(np.concatenate(columns).astype(np.int32)),
                torch.from_numpy(np.concatenate(values)),
                size=(len(self.bias), self.in_features),
            )


@lru_cache(maxsize=1)
def _kernels() -> ModuleType:
    """Each is compiled at its first call."""
    try:
        from edgewright.sparse import kernels
    except ImportError as error:
        raise MissingExtra(
            "a frozen sparse layer needs numba", got=error, next_step="pip install 'edgewright[sparse]'"
        ) from error
    return kernels
