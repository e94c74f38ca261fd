"""The graphs are the published ones, and what comes out is what the decoder reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgewright.compress.export import export_onnx, minify
from edgewright.detect.efficientdet.graph import GRAPHS, LiteGraph, graph_named
from edgewright.detect.efficientdet.network import EfficientDet, place_boxes, priors_of
from edgewright.detect.forward import as_network
from edgewright.errors import InputError
from edgewright.runtime.decode import decode
from edgewright.runtime.session import load_network


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        # rwightman/efficientdet-pytorch, README: parameters (M) with COCO's 90 classes
        ("efficientdet-lite0", 3.24),
        ("efficientdet-lite1", 4.25),
        ("efficientdet-lite2", 5.25),
        ("efficientdet-lite3", 8.35),
        ("efficientdet-lite4", 15.13),
    ],
)
def test_the_published_sizes(name: str, millions: float) -> None:
    with torch.device("meta"):
        module = EfficientDet(graph_named(name, n_classes=90))
    assert round(sum(parameter.numel() for parameter in module.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_is_read_back(name: str) -> None:
    graph = graph_named(name, n_classes=5)
    assert LiteGraph.from_json(graph.to_json()) == graph


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 10_000},
        {"channels": "os.system('x')"},
        {"levels": [1]},
        {"priors": 2},
        {"kernel_px": 4},
        {"levels": None},
    ],
)
def test_what_is_no_graph_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="not an EfficientDet graph"):
        LiteGraph.from_json({**graph_named("efficientdet-slim", n_classes=3).to_json(), **change})


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown EfficientDet graph .*efficientdet-slim"):
        graph_named("efficientdet-d7", n_classes=3)


@pytest.mark.parametrize(
    ("name", "places"), [("efficientdet-slim", 84), ("efficientdet-lite0", 9 * (64 + 16 + 4 + 1 + 1))]
)
def test_before_anything_is_learned_boxes_are_near_their_priors_and_scores_low(name: str, places: int) -> None:
    torch.manual_seed(0)
    module = EfficientDet(graph_named(name, n_classes=3)).eval()
    with torch.no_grad():
        out = module(torch.rand(1, 3, 64, 64))
    assert out.shape == (1, 4 + 3, places)
    assert out[:, 4:].max() < 0.2
    priors = priors_of(module.graph, 64)
    assert (out[0, 2:4].T / priors[:, 2:]).log().abs().max() < 1.5


def test_priors_stand_in_the_order_of_the_heads() -> None:
    graph = graph_named("efficientdet-slim", n_classes=1)
    priors = priors_of(graph, 64)
    assert priors[0].tolist() == [4, 4, 32, 32]
    assert priors[1].tolist() == [12, 4, 32, 32], "along a row first"
    assert priors[64].tolist() == [8, 8, 64, 64], "then the next level"
    assert priors[-1].tolist() == [48, 48, 128, 128]


def test_boxes_are_shifts_and_growths_of_priors() -> None:
    priors = torch.tensor([[10.0, 20.0, 8.0, 4.0]])
    assert place_boxes(torch.zeros(1, 4), priors).tolist() == priors.tolist()
    moved = place_boxes(torch.tensor([[0.5, -1.0, float(np.log(2)), 99.0]]), priors)[0]
    assert moved[:3].tolist() == pytest.approx([14, 16, 16])
    assert moved[3] == pytest.approx(4 * np.exp(4)), "an unlearned head does not overflow"


@pytest.mark.parametrize("name", ["efficientdet-slim", "efficientdet-lite0"])
def test_the_file_gives_what_the_module_gives(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = EfficientDet(graph_named(name, n_classes=2))
    for norm in module.modules():  # statistics as after learning: folding them must not be trivial
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
            norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    module.eval()
    (tmp_path / "it.onnx").write_bytes(minify(export_onnx(module, input_px=64)).SerializeToString())
    tensor = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    expected = as_network(module, device=torch.device("cpu"))(tensor)
    found = load_network(tmp_path / "it.onnx")(tensor)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3)
    assert len(decode(found, layout="dense", score_threshold=0.001, iou_threshold=0.6)) > 0


def test_places_that_an_evaluation_made_first_are_trained_with() -> None:
    """They are kept for the process: what inference makes cannot be saved for a backward."""
    graph = graph_named("efficientdet-slim", n_classes=7)
    with torch.inference_mode():
        priors = priors_of(graph, 64)
    assert not priors.is_inference()
    assert priors_of(graph, 64) is priors
