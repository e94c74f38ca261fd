"""A file of weights: named tensors, read without running anything that stands in it.

Decides how such a file is read: safetensors, or a PyTorch file of plain tensors (`weights_only`). Refuses everything
else, and tensors that are not finite. Nothing is downloaded here.

    found = read_weights_file(Path("weights.pth"), next_step="download it from …")
    found.tensors, found.sha256
"""

from __future__ import annotations

import io
import pickle
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from edgewright.artifacts import sha256_bytes
from edgewright.errors import InputError

MAX_BYTES = 4_000_000_000


@dataclass(frozen=True)
class WeightsFile:
    """Tensors by name, and the SHA-256 of the file they came from."""

    tensors: Mapping[str, Tensor]
    sha256: str


def read_weights_file(path: Path, *, next_step: str, sha256: str = "") -> WeightsFile:
    """Read it.

    Args:
        sha256: what the file must hash to; empty: anything.

    Raises:
        InputError: no such file, too large, another file than the one that is pinned, anything but named tensors in
            it, or a number that is not finite.
    """
    try:
        size = path.stat().st_size
        payload = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InputError(
            "a file of weights cannot be read", got=error.strerror, where=path, next_step=next_step
        ) from error
    if size > MAX_BYTES:
        raise InputError("a file of weights is too large", expected=f"<= {MAX_BYTES} bytes", got=size, where=path)
    found = sha256_bytes(payload)
    if sha256 and found != sha256:
        raise InputError(
            "not the weights that are meant", expected=f"sha256 {sha256}", got=found, where=path, next_step=next_step
        )
    tensors = _read_tensors(payload, path=path, next_step=next_step)
    require_finite(tensors, where=path, next_step=next_step)
    return WeightsFile(tensors, found)


def require_finite(tensors: Mapping[str, Tensor], *, where: Path, next_step: str) -> None:
    """Raises InputError for weights that are not finite numbers."""
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise InputError(
            "weights that are not finite numbers", got=", ".join(broken[:3]), where=where, next_step=next_step
        )


def _read_tensors(payload: bytes, *, path: Path, next_step: str) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.load(payload)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, before it refuses or reads them
            found = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        struct.error,
    ) as error:
        raise InputError(
            "a file of weights that cannot be read safely", got=str(error)[:200], where=path, next_step=next_step
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError("not a state dict", expected="tensors by name", got=type(found).__name__, where=path)
    return found
