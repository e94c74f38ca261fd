"""A published detector as a network again: safetensors and a graph of our table become a torch module.

Decides how float weights are evaluated: convolution and batch norm fused, in float32, through the same pre- and
post-processing as every other form. Refuses weights that do not fit the graph.

>>> from edgewright.detect.graphs import slim_graph
>>> layout_of(build_module(slim_graph(width=0.125, n_classes=2), n_classes=2))
'dense'
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from edgewright.detect.graphs import Graph, read_published_graph
from edgewright.detect.library import open_ultralytics
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.session import ModelSpec, Network

WEIGHTS_FILE, GRAPH_FILE, SPEC_FILE = "weights.safetensors", "graph.yaml", "spec.json"


def load_float_network(get_path: Callable[[str], Path], *, threads: int = 1) -> tuple[Network, ModelSpec]:
    """The float detector of an artifact. `get_path` gives the local path of one of its files.

    Raises:
        ArtifactCorrupt: the weights do not fit the graph.
    """
    torch.set_num_threads(threads)
    module, spec = load_module(get_path)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return as_network(module.to(device), device=device), spec


def load_module(get_path: Callable[[str], Path]) -> tuple[nn.Module, ModelSpec]:
    """The fused float32 module on CPU in inference mode, and how to read its output."""
    spec = ModelSpec.from_json(json.loads(get_path(SPEC_FILE).read_bytes()))
    module = build_module(read_published_graph(get_path(GRAPH_FILE)), n_classes=len(spec.classes))
    try:
        module.load_state_dict(load_file(get_path(WEIGHTS_FILE)))
    except (RuntimeError, SafetensorError) as error:
        raise ArtifactCorrupt("the weights do not fit the graph", got=error, where=get_path(WEIGHTS_FILE)) from error
    fused: nn.Module = module.float().eval().fuse(verbose=False)
    return fused.requires_grad_(False), spec


def build_module(graph: Graph, *, n_classes: int) -> Any:
    """The graph as an untrained ultralytics module. Raises InputError where it cannot be built."""
    model_class = open_ultralytics("nn.tasks").DetectionModel
    try:
        return prefer_end_to_end(model_class(dict(graph), ch=3, nc=n_classes, verbose=False))
    except (TypeError, KeyError, IndexError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
        raise InputError("the graph cannot be built", got=error) from error


def prefer_end_to_end(module: Any) -> Any:
    """A graph with two heads (YOLO26) trains both; on a device the one that needs no suppression is read."""
    if getattr(module.model[-1], "one2one_cv2", None) is not None:
        module.end2end = True
    return module


def layout_of(module: Any) -> str:
    """How `decode` must read the module's output."""
    return "end2end" if getattr(module, "end2end", False) else "dense"


def as_network(module: nn.Module, *, device: torch.device) -> Network:
    """A module in inference mode as a function of numpy arrays."""

    @torch.inference_mode()
    def run(tensor: FloatArray) -> FloatArray:
        output = module(torch.from_numpy(tensor).to(device))
        while isinstance(output, (tuple, list)):
            output = output[0]
        return np.asarray(output.float().cpu().numpy(), dtype=np.float32)

    return run
