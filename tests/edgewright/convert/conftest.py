"""Detectors of each family with random weights: what is converted need not find anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgewright.artifacts import canonical_json
from edgewright.detect.efficientdet.graph import FAMILY, graph_named
from edgewright.detect.efficientdet.network import EfficientDet
from edgewright.detect.graph_file import write_graph
from edgewright.detect.network import GRAPH_FILE, SPEC_FILE, WEIGHTS_FILE
from edgewright.detect.yolo.graphs import find_graph
from edgewright.detect.yolo.network import build_module, layout_of
from edgewright.runtime.session import ModelSpec

PX = 64


@pytest.fixture(scope="session")
def publish_random(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`publish_random(model)`: a folder with a detector's files."""

    def publish(model: str) -> Path:
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp(model)
        if model.startswith(FAMILY):
            graph = graph_named(model, n_classes=2)
            module, layout = EfficientDet(graph), "dense"
            write_graph(graph.to_json(), folder / GRAPH_FILE)
        else:
            yolo = find_graph(model, width=0.125, n_classes=2)
            module = build_module(yolo, n_classes=2)
            layout = layout_of(module)
            write_graph(yolo, folder / GRAPH_FILE)
        save_file(module.state_dict(), folder / WEIGHTS_FILE)
        spec = ModelSpec(("red", "green"), PX, layout, 0.25, 0.5)
        (folder / SPEC_FILE).write_bytes(canonical_json(spec.to_json()))
        return folder

    return publish
