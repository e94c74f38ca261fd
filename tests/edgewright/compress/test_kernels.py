"""Kernels that go back to float: all of them together are the float model again."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgewright.artifacts import Artifact
from edgewright.compress.calibrate import CalibrationImages
from edgewright.compress.emulate import exact_network
from edgewright.compress.export import export_onnx
from edgewright.compress.kernels import Kernel, drop_unused, kernels_of
from edgewright.compress.qdq import quantized_convs
from edgewright.compress.quantize import Int8Models, quantize_model
from edgewright.data.dataset import Dataset
from edgewright.detect.efficientdet.graph import graph_named
from edgewright.detect.efficientdet.network import EfficientDet
from edgewright.detect.network import load_module
from edgewright.recipe.compress import QuantizeConfig


@pytest.fixture(scope="module", params=["slim", "lite"])
def models(request: pytest.FixtureRequest, detector: Artifact, squares: Dataset) -> Int8Models:
    """ReLU and one kernel a convolution; ReLU6, sums, and a head's kernels that every level shares."""
    slim, spec = load_module(detector.path)
    lite = EfficientDet(graph_named("efficientdet-slim", n_classes=2)).eval()
    module = slim if request.param == "slim" else lite
    reader = CalibrationImages(squares, squares.select(split="train")[:4], input_name="images", input_px=spec.input_px)
    return quantize_model(export_onnx(module, input_px=spec.input_px), reader, QuantizeConfig())


def restored(models: Int8Models, kernels: list[Kernel]) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(models.whole)
    for kernel in kernels:
        kernel.restore(model.graph, roundings=True)
    drop_unused(model.graph)
    onnx.checker.check_model(model)
    return model


def test_all_of_them_are_the_float_model(models: Int8Models) -> None:
    model = restored(models, list(kernels_of(models.whole, models.prepared)))
    assert quantized_convs(model) == ()
    for tensor in models.watched[:2]:
        expected = exact_network(models.prepared)(tensor)
        assert np.abs(exact_network(model)(tensor) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_one_of_them_leaves_the_others(models: Int8Models) -> None:
    kernels = list(kernels_of(models.whole, models.prepared))
    chosen = max(kernels, key=lambda kernel: len(kernel.names))
    left = {conv.name for conv in quantized_convs(restored(models, [chosen]))}
    assert left == {name for kernel in kernels if kernel is not chosen for name in kernel.names}
