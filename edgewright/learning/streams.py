"""Random streams whose state a checkpoint holds, for data whose order is one stream and not a function of the step.

streams = {"rng": TorchStream(torch.Generator().manual_seed(0))}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


class TorchStream:
    """A torch generator."""

    def __init__(self, rng: torch.Generator) -> None:
        self._rng = rng

    def state_dict(self) -> dict[str, Any]:
        return {"state": self._rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._rng.set_state(state["state"])


class NumpyStream:
    """A numpy generator; its state is plain (big) numbers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def state_dict(self) -> dict[str, Any]:
        return {"state": self._rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._rng.bit_generator.state = state["state"]
