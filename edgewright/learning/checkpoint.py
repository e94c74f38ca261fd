"""A training cut short, as one file: every tensor and number that changes from step to step, and of which work.

Law: `load() == state` after `save(state)`, tensor by tensor and bit for bit (mappings keep their keys, tuples become
lists). Written in one step: a reader finds the old file or the new one. No pickle: the file is the SHA-256 of what
follows, then safetensors, whose tensor `tree` is the rest as JSON. Refuses nothing: a file that is torn, damaged or of
other work is none, and the training begins anew.

    keep = Checkpoint(scratch / "gan.checkpoint", work_id=digest_of_config_seed_and_data, every=100)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import torch as safetensors
from torch import Tensor

from edgewright.files import write_atomically

_TREE = "tree"
_DIGEST_BYTES = hashlib.sha256().digest_size


class Stateful(Protocol):
    """Modules, optimizers, loss scales, streams. Their states are mappings, lists, plain numbers, text and tensors."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state_dict: Any, /) -> Any: ...


@dataclass(frozen=True)
class Checkpoint:
    """Where a training is kept, and how often.

    Attributes:
        work_id: names the inputs (data, config, seed): what other inputs left there is not continued.
        every: so many steps.
        writes: whether this process keeps it, or reads what another one kept.
    """

    path: Path
    work_id: str
    every: int
    writes: bool = True

    def save(self, state: Mapping[str, Any]) -> None:
        if not self.writes:
            return
        tensors: dict[str, Tensor] = {}
        tree = json.dumps({"work_id": self.work_id, "state": _pack(state, "", tensors)})
        tensors[_TREE] = torch.frombuffer(bytearray(tree.encode()), dtype=torch.uint8)
        content = safetensors.save(tensors)
        write_atomically(self.path, hashlib.sha256(content).digest() + content)

    def load(self) -> dict[str, Any] | None:
        """None where there is none to go on from."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            return None
        tensors = safetensors.load(content)
        found = json.loads(tensors[_TREE].numpy().tobytes())
        return _unpack(found["state"], tensors) if found["work_id"] == self.work_id else None


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """=> JSON, in which a tensor is its name. Keys may be numbers, as an optimizer's are: a mapping is its items."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().clone().contiguous()  # cloned, for safetensors refuses shared memory
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"items": [[key, _pack(item, f"{name}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_pack(item, f"{name}/{index}", tensors) for index, item in enumerate(value)]
    return value


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    return {key: _unpack(item, tensors) for key, item in value["items"]}
