"""Files of pretrained weights that the user brought: read without running anything that stands in them.

Decides how such a file is read: safetensors, or a PyTorch file of plain tensors (`weights_only`). Refuses everything
else, and a file that is not there: nothing is downloaded.

    found = read_weights("weights.pth", kind="inception", source="where it can be had")
    found.tensors, found.digest
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.artifacts import sha256_bytes
from edgewright.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

MAX_BYTES = 4_000_000_000


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and the SHA-256 of the file they came from."""

    tensors: Mapping[str, Tensor]
    digest: str


def read_weights(path: str, *, kind: str, source: str) -> Weights:
    """Raises InputError: no path, no such file, too large, or anything but named tensors in it."""
    next_step = f"download the weights ({source}) and name the file: gate_data.features_weights=FILE"
    file = Path(path)
    if not path or not file.is_file():
        raise InputError(
            f"gate_data.features is {kind}, which needs a file of weights",
            expected="a .pth or .safetensors file",
            got=path or "gate_data.features_weights is empty",
            next_step=next_step,
        )
    if file.stat().st_size > MAX_BYTES:
        raise InputError("a file of weights is too large", expected=f"<= {MAX_BYTES} bytes", where=path)
    payload = file.read_bytes()
    return Weights(_tensors(payload, path=path, next_step=next_step), sha256_bytes(payload))


def _tensors(payload: bytes, *, path: str, next_step: str) -> Mapping[str, Tensor]:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        if path.endswith(".safetensors"):
            return load(payload)
        found = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            "a file of weights that cannot be read safely", got=str(error)[:200], where=path, next_step=next_step
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise InputError("not a state dict", expected="tensors by name", got=type(found).__name__, where=path)
    return found
