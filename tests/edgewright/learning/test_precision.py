"""What the precisions of the recipe mean, and what recomputing costs and saves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgewright.errors import InputError
from edgewright.learning.precision import Precision, run_block

CPU = torch.device("cpu")
FIELD = "train_generator.precision"


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_cpu_computes_in(name: str, dtype: torch.dtype) -> None:
    layer, x = nn.Linear(4, 4), torch.randn(2, 4)
    precision = Precision.on(name, CPU, field=FIELD)
    with precision.autocast():
        assert layer(x).dtype == dtype
    with precision.autocast(active=False):
        assert layer(x).dtype == torch.float32
    assert not precision.scaler().is_enabled()


@pytest.mark.parametrize("name", ["tf32", "fp16"])
def test_what_a_cpu_does_not_have_is_refused_and_what_has_it_is_not(name: str) -> None:
    with pytest.raises(InputError, match=rf"accelerator.*fp32 or bf16.*{name}.*train_generator.precision=bf16"):
        Precision.on(name, CPU, field=FIELD)
    assert Precision.on(name, torch.device("cuda"), field=FIELD).name == name


def test_a_cast_network_is_called_in_the_precision() -> None:
    layer, x = nn.Linear(4, 4), torch.randn(2, 4)
    assert Precision.on("bf16", CPU, field=FIELD).cast(layer)(x).dtype == torch.bfloat16
    assert (Precision.as_set(CPU).cast(layer)(x) == layer(x)).all()


@pytest.mark.parametrize("before", [True, False])
def test_as_the_machine_is_set_nothing_is_touched(before: bool) -> None:
    was = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = before
        with Precision.as_set(torch.device("cuda")).matmuls():
            assert torch.backends.cudnn.allow_tf32 is before
    finally:
        torch.backends.cudnn.allow_tf32 = was


@pytest.mark.parametrize(("name", "allowed"), [("tf32", True), ("fp32", False), ("bf16", False)])
@pytest.mark.parametrize("before", [True, False])
def test_tf32_is_allowed_inside_alone(name: str, allowed: bool, before: bool) -> None:
    was = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = before
        with Precision(name, torch.device("cuda")).matmuls():
            assert torch.backends.cuda.matmul.allow_tf32 is allowed
            assert torch.backends.cudnn.allow_tf32 is allowed
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (before, before)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = was


def test_a_recomputed_block_gives_the_same_values_and_gradients_and_runs_twice() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 3), torch.randn(2, 3, requires_grad=True)
    calls = []

    def block(value: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return torch.tanh(layer(value))

    made, gradients = [], []
    for recompute in (False, True):
        calls.clear()
        out = run_block(block, x, recompute=recompute)
        gradients.append(torch.autograd.grad(out.square().sum(), [x, layer.weight]))
        made.append(out.detach())
        assert len(calls) == 1 + recompute
    assert (made[0] == made[1]).all()
    assert all((left == right).all() for left, right in zip(*gradients, strict=True))
