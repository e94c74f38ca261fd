"""A sparse linear layer: what stays zero while it learns, and that what is kept is the same function."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from edgewright.errors import InputError
from edgewright.sparse.linear import SparseLinear


def learned(layer: SparseLinear, *, steps: int = 30) -> float:
    """Fit a fixed random map; the loss at the end."""
    torch.manual_seed(1)
    wanted = torch.randn(layer.weight.shape[1], layer.weight.shape[0]) / layer.weight.shape[1] ** 0.5
    moves = torch.optim.AdamW(layer.parameters(), lr=1e-2)
    for _ in range(steps):
        x = torch.randn(64, layer.weight.shape[1])
        loss = (layer(x) - x @ wanted).square().mean()
        moves.zero_grad()
        loss.backward()
        moves.step()
    return float(loss.detach())


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("sparsity", [0.9, 0.95])
def test_what_was_taken_stays_away_and_the_rest_learns(sparsity: float, rows: int) -> None:
    torch.manual_seed(0)
    layer = SparseLinear(64, 32, sparsity, rows=rows)
    learned(layer)
    layer.thin_out()
    before, thin = layer.weight.detach().clone(), learned(layer, steps=1)
    after = learned(layer)
    assert after < thin
    assert float((layer.weight == 0).float().mean()) == pytest.approx(sparsity, abs=0.01)
    assert (layer.weight[~layer.mask] == 0).all()
    assert (layer.weight[layer.mask] != before[layer.mask]).all()
    together = layer.mask.reshape(-1, rows, 64)
    assert (together == together[:, :1]).all(), "outputs keep an input together"


def test_a_forward_pass_changes_nothing() -> None:
    layer = SparseLinear(8, 4, 0.5)
    layer.thin_out()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer(torch.randn(3, 8))
    assert all((value == before[name]).all() for name, value in layer.state_dict().items())


@pytest.mark.parametrize("n", [1, 2, 33])
@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("bias", [True, False])
def test_frozen_it_is_the_same_function(n: int, rows: int, bias: bool) -> None:
    pytest.importorskip("numba")
    torch.manual_seed(0)
    layer = SparseLinear.of(nn.Linear(200, 64, bias=bias), sparsity=0.9, rows=rows)
    layer.thin_out()
    frozen, x = layer.freeze(), torch.randn(n, 200)
    assert np.allclose(frozen(x.numpy()), layer(x).detach().numpy(), atol=1e-5)
    assert frozen.parameters == int(layer.mask.sum()) + 64
    assert frozen.nbytes == frozen.values.size * 4 + len(frozen.columns) * 2 + (64 // rows + 1) * 8 + 64 * 4


def test_an_output_without_inputs_is_its_bias() -> None:
    pytest.importorskip("numba")
    layer = SparseLinear(16, 4, 0.75)
    with torch.no_grad():
        layer.weight[:] = 1e-3
        layer.weight[0] = 1.0
    layer.thin_out()
    found = layer.freeze()(np.ones((1, 16), np.float32))[0]
    assert layer.bias is not None
    assert found == pytest.approx((layer.bias.detach() + torch.tensor([16.0, 0, 0, 0])).numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("shape", "sparsity", "rows"),
    [((8, 8), 1.0, 1), ((8, 8), -0.1, 1), ((8, 12), 0.5, 8), ((8, 8), 0.5, 4), ((70_000, 8), 0.5, 1)],
)
def test_what_is_no_sparse_layer(shape: tuple[int, int], sparsity: float, rows: int) -> None:
    with pytest.raises(InputError):
        SparseLinear(*shape, sparsity, rows=rows)


def test_an_old_optimizer_that_moves_zeros_is_noticed() -> None:
    layer = SparseLinear(8, 8, 0.5)
    moves = torch.optim.AdamW(layer.parameters(), lr=0.1)
    for step in range(4):
        layer(torch.randn(4, 8)).square().sum().backward()
        moves.step()
        if step == 1:
            layer.thin_out()
    with pytest.raises(InputError, match="not zero"):
        layer.freeze()


def test_a_copy_keeps_its_zeros_too() -> None:
    layer = SparseLinear(16, 16, 0.5)
    layer.thin_out()
    other = copy.deepcopy(layer)
    learned(other, steps=3)
    assert (other.weight[~other.mask] == 0).all()
    assert (other.weight != layer.weight).any()


def test_another_input_is_refused() -> None:
    pytest.importorskip("numba")
    frozen = SparseLinear(8, 4, 0.5).freeze()
    with pytest.raises(InputError, match="not this layer's input"):
        frozen(np.zeros((1, 9), np.float32))
