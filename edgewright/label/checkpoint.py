"""A training cut short, as one safetensors file: weights, the optimizer's moments, step, history, and of which plan.

Law: what `load_checkpoint` restores continues exactly as the training that `save_checkpoint` wrote would have.
Written in one step: a reader finds the old file or the new one. No pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgewright.files import write_atomically


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stands.

    Attributes:
        plan: digest of data, config and seed.
        step: steps done.
        history: (step, loss).
    """

    plan: str
    step: int
    history: tuple[tuple[int, float], ...]


def save_checkpoint(path: Path, net: nn.Module, optimizer: torch.optim.Optimizer, *, state: Checkpoint) -> None:
    tensors = {f"net/{name}": value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer/{index}/{name}"] = value.detach().cpu().contiguous()
    metadata = {"plan": state.plan, "step": str(state.step), "history": json.dumps(state.history)}
    write_atomically(path, save(tensors, metadata=metadata))


def load_checkpoint(path: Path, net: nn.Module, optimizer: torch.optim.Optimizer, *, plan: str) -> Checkpoint:
    """Restores net and optimizer; step 0 and nothing restored where the file is missing, torn or of another plan."""
    fresh = Checkpoint(plan, 0, ())
    if not path.is_file():
        return fresh
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError):
        return fresh
    if metadata.get("plan") != plan:
        return fresh
    net.load_state_dict(_below(tensors, "net/"))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer/").items():
        index, key = name.split("/")
        moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    history = tuple((int(step), float(loss)) for step, loss in json.loads(metadata["history"]))
    return Checkpoint(plan, int(metadata["step"]), history)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
