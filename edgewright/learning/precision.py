"""Which numbers a network is trained in, and what is kept between its forward and its backward pass.

Decides what the words of the recipe mean: `fp32` and `tf32` set how an accelerator multiplies float32 matrices, for the
duration of the training alone; `bf16` and `fp16` are autocast (Micikevicius et al. 2018, arXiv 1710.03740), the latter
with a loss scale. Weights, losses, penalties and averages are float32 always. Refuses `tf32` and `fp16` on a CPU, which
would silently be something else there.

    precision = Precision.on("bf16", torch.device("cpu"), field="train_generator.precision")
    with precision.matmuls(), precision.autocast():
        prediction = network(x)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edgewright.errors import InputError

_CAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
_CPU_PRECISIONS = ("fp32", "bf16")
_AS_SET = "as set"


@dataclass(frozen=True)
class Precision:
    """One of `fp32`, `tf32`, `bf16`, `fp16` on one device, or float32 as the machine is set to multiply it."""

    name: str
    device: torch.device

    @classmethod
    def on(cls, name: str, device: torch.device, *, field: str) -> Precision:
        """Raises InputError where the device does not compute in it; it names the recipe's `section.field`."""
        if device.type == "cpu" and name not in _CPU_PRECISIONS:
            raise InputError(
                "this precision needs an accelerator",
                expected=" or ".join(_CPU_PRECISIONS),
                got=name,
                where=field,
                next_step=f"set {field}=bf16, or run this stage on a GPU worker",
            )
        return cls(name, device)

    @classmethod
    def as_set(cls, device: torch.device) -> Precision:
        """No cast, no loss scale, and matrix products as they are outside."""
        return cls(_AS_SET, device)

    def autocast(self, *, active: bool = True) -> AbstractContextManager[None]:
        """Convolutions and matrix products inside run in 16 bits, where this precision has them."""
        dtype = _CAST.get(self.name)
        return torch.autocast(self.device.type, dtype=dtype, enabled=active and dtype is not None)

    def cast(self, network: nn.Module) -> Callable[..., Any]:
        """The network, called in this precision."""

        def forward(*inputs: Any) -> Any:
            with self.autocast():
                return network(*inputs)

        return forward

    @contextmanager
    def matmuls(self) -> Iterator[None]:
        """TF32 on CUDA allowed inside for `tf32`, forbidden for every other; as before afterwards."""
        if self.name == _AS_SET:
            yield
            return
        before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        _allow_tf32(self.name == "tf32", self.name == "tf32")
        try:
            yield
        finally:
            _allow_tf32(*before)

    def scaler(self) -> torch.amp.GradScaler:
        """The loss scale that float16's small range needs; for every other precision it does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")


def run_block(block: Callable[..., Tensor], *inputs: Tensor | None, recompute: bool) -> Tensor:
    """block(*inputs), whose inside is computed anew in the backward pass where `recompute` (Chen et al. 2016,
    arXiv 1604.06174): the same values, less memory, about a third more work.
    """
    if not recompute:
        return block(*inputs)
    made: Tensor = checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    return made


def _allow_tf32(matmul: bool, convolution: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = matmul
    torch.backends.cudnn.allow_tf32 = convolution
