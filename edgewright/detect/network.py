"""A published detector as a network again: safetensors and a graph become a torch module, whatever its family.

Decides how float weights are evaluated: convolution and batch norm fused, in float32, through the same pre- and
post-processing as every other form. Refuses weights that do not fit the graph.

    network, spec = load_float_network(artifact.path, threads=2)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from edgewright.detect.efficientdet.graph import FAMILY as EFFICIENTDET
from edgewright.detect.forward import as_network
from edgewright.detect.graph_file import read_graph
from edgewright.detect.lesson import CUT
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.runtime.session import MAX_FEATURE, ModelSpec, Network
from edgewright.sparse.cut import take_shapes

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
    module, spec = load_learner(get_path)
    return fused(module.float().eval()).requires_grad_(False), spec


def load_learner(get_path: Callable[[str], Path]) -> tuple[nn.Module, ModelSpec]:
    """The module as it was published, batch norms and all, on CPU; and how to read its output.

    Raises:
        ArtifactCorrupt: the weights do not fit the graph.
    """
    spec = ModelSpec.from_json(json.loads(get_path(SPEC_FILE).read_bytes()))
    graph = read_graph(get_path(GRAPH_FILE))
    cut = bool(graph.pop(CUT, False))
    module = _built(graph, n_classes=len(spec.classes))
    try:
        weights = load_file(get_path(WEIGHTS_FILE))
        if cut:
            take_shapes(module, weights)
        module.load_state_dict(weights)
    except (RuntimeError, KeyError, InputError, SafetensorError) as error:
        raise ArtifactCorrupt("the weights do not fit the graph", got=error, where=get_path(WEIGHTS_FILE)) from error
    return module, spec


@contextmanager
def as_exported(module: nn.Module, *, feature: bool = False) -> Iterator[None]:
    """Inside, the module gives the one output that a file is to have, and where it is asked for its feature.

    Raises:
        InputError: a feature is asked for, and the network has none that a device takes.
    """
    from edgewright.detect.efficientdet.network import EfficientDet

    size = module.feature_size if isinstance(module, EfficientDet) else 0
    if feature and not 1 <= size <= MAX_FEATURE:
        raise InputError(
            "this network gives no feature",
            expected=f"an efficientdet of at most {MAX_FEATURE} last channels",
            got=f"one of {size}" if size else "another family",
            next_step="quantize.feature=false",
        )
    if isinstance(module, EfficientDet):
        module.gives_feature = feature
        try:
            yield
        finally:
            module.gives_feature = False
        return
    head: Any = module.model[-1]  # type: ignore[index]
    head.export, head.format = True, "onnx"
    try:
        yield
    finally:
        head.export = False


def _built(graph: Mapping[str, Any], *, n_classes: int) -> nn.Module:
    if graph.get("family") == EFFICIENTDET:
        from edgewright.detect.efficientdet.graph import LiteGraph
        from edgewright.detect.efficientdet.network import EfficientDet

        return EfficientDet(LiteGraph.from_json({**graph, "n_classes": n_classes}))
    from edgewright.detect.yolo.graphs import require_graph
    from edgewright.detect.yolo.network import build_module

    return build_module(require_graph(dict(graph)), n_classes=n_classes)  # type: ignore[no-any-return]


def fused(module: nn.Module) -> nn.Module:
    """Convolution and batch norm as one; EfficientDet's heads share convolutions and stay as they are."""
    fuse: Any = getattr(module, "fuse", None)
    return fuse(verbose=False) if callable(fuse) else module
