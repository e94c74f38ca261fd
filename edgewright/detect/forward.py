"""A torch module as the function of arrays that the one evaluator calls."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.session import Network


def as_network(module: nn.Module, *, device: torch.device) -> Network:
    """A module in inference mode as a function of numpy arrays; of several outputs the first is read."""

    @torch.inference_mode()
    def run(tensor: FloatArray) -> FloatArray:
        output = module(torch.from_numpy(tensor).to(device))
        while isinstance(output, (tuple, list)):
            output = output[0]
        return np.asarray(output.float().cpu().numpy(), dtype=np.float32)

    return run
