"""Groups of channels: what goes together, what is frozen, and that a cut network is one whose channels are zero."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewright.detect.efficientdet.graph import graph_named
from edgewright.detect.efficientdet.network import EfficientDet
from edgewright.detect.yolo.graphs import find_graph, slim_graph
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.errors import InputError
from edgewright.sparse.cut import cut, kept_by_share, multiplications, take_shapes
from edgewright.sparse.groups import Layer, layers_of

PICTURE = torch.rand(2, 3, 64, 64)


def yolo(graph: dict[str, object] | str) -> nn.Module:
    open_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    return DetectionModel(graph, nc=3, verbose=False)  # type: ignore[no-any-return]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "efficientdet-slim": lambda: EfficientDet(graph_named("efficientdet-slim", n_classes=3)),
    "yolo11-slim": lambda: yolo(find_graph("yolo11-slim", width=0.125, n_classes=3)),
    "yolo26-slim": lambda: yolo(find_graph("yolo26-slim", width=0.125, n_classes=3)),
    "edgewright-slim": lambda: yolo(slim_graph(width=0.1875, n_classes=3)),
    "yolov8n, halves": lambda: yolo("yolov8n.yaml"),
    "yolo11n, attention": lambda: yolo("yolo11n.yaml"),
    "yolo26n, two heads": lambda: yolo("yolo26n.yaml"),
}


def unlike_zero(module: nn.Module) -> nn.Module:
    """With statistics as if it had learned something."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low, high in ((part.running_mean, -0.2, 0.2), (part.running_var, 0.5, 1.5)):
                assert tensor is not None
                tensor.uniform_(low, high)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.uniform_(-0.3, 0.3)
    return module.eval()


def without(module: nn.Module, layers: list[Layer], kept: list[np.ndarray]) -> nn.Module:
    """The same network with zeros wherever a channel that goes is made or read."""
    masked = copy.deepcopy(module)
    tensors = masked.state_dict()
    for layer, stays in zip(layers, kept, strict=True):
        goes = np.setdiff1d(np.arange(layer.size), stays)
        for part in layer.slices:
            tensors[part.tensor].index_fill_(part.dim, torch.from_numpy(part.index[goes].reshape(-1)), 0.0)
    return masked


def said(module: nn.Module) -> Tensor:
    with torch.no_grad():
        output = module(PICTURE)
    while isinstance(output, (tuple, list)):
        output = output[0]
    return output  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_cut_network_is_one_whose_channels_are_zero(name: str) -> None:
    module = unlike_zero(NETWORKS[name]())
    layers = layers_of(module, PICTURE)
    kept = kept_by_share(module.state_dict(), layers, share=0.3)
    smaller = cut(module, layers, kept)
    assert torch.allclose(said(smaller), said(without(module, layers, kept)), rtol=1e-4, atol=1e-3)
    assert not torch.allclose(said(smaller), said(module), rtol=1e-4, atol=1e-3)
    smaller.train()(PICTURE)  # with every head that learns
    assert 0.45 < multiplications(smaller, PICTURE) / multiplications(module, PICTURE) < 0.7
    assert all(len(stays) % 8 == 0 or len(stays) == layer.size for layer, stays in zip(layers, kept, strict=True))


def test_what_is_made_once_and_read_twice_is_one_layer() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.made = nn.Conv2d(3, 16, 3)
            self.first, self.second = nn.Conv2d(16, 2, 1), nn.Conv2d(32, 2, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.made(x)
            return self.first(x), self.second(torch.cat([x, x.relu()], dim=1))

    (layer,) = layers_of(Twice().eval(), PICTURE)
    places = {(part.tensor, part.dim): part.index.shape for part in layer.slices}
    assert places == {
        ("made.weight", 0): (16, 1),
        ("made.bias", 0): (16, 1),
        ("first.weight", 1): (16, 1),
        ("second.weight", 1): (16, 2),
    }


def test_what_is_mixed_or_given_away_stays() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1, groups=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x)).flatten(1)

    assert layers_of(Mixed().eval(), PICTURE) == []


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_no_share(share: float) -> None:
    with pytest.raises(InputError, match="not a share of channels"):
        kept_by_share({}, [], share=share)


def test_wider_weights_are_no_narrower_network() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1))
    with pytest.raises(InputError, match="not a narrower layer"):
        take_shapes(module, {"0.weight": torch.zeros(9, 3, 1, 1)})
