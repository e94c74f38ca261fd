"""A network with one convolution that INT8 ruins: it is named, and goes back to float alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgewright.compress.calibrate import CalibrationImages
from edgewright.compress.emulate import exact_network
from edgewright.compress.export import export_onnx, minify
from edgewright.compress.kernels import kernels_of
from edgewright.compress.qdq import quantized_convs
from edgewright.compress.quantize import Int8Models, quantize_model
from edgewright.compress.sensitivity import Alone, last_convolutions, search
from edgewright.data.dataset import Dataset
from edgewright.recipe.compress import QuantizeConfig

RUINED = "/model/model.2/Conv"
PX = 64


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.model(x).sigmoid()  # boxes and scores are made in float
        return found


@pytest.fixture(scope="module")
def models(squares: Dataset) -> Int8Models:
    """Its first convolution says one channel thirty thousand times as loud, which its second hears as softly: the same
    function, until eight bits have to hold both."""
    torch.manual_seed(0)
    module = Net().eval()
    net = module.model
    with torch.no_grad():
        net[0].weight[0] *= 30_000
        net[0].bias[0] = net[0].bias[0].abs() * 30_000
        net[2].weight[:, 0] /= 30_000
    reader = CalibrationImages(squares, squares.select(split="train"), input_name="images", input_px=PX)
    return quantize_model(export_onnx(module, input_px=PX), reader, QuantizeConfig(bias_correction=False))


@pytest.fixture(scope="module")
def drop_of(models: Int8Models) -> Callable[[onnx.ModelProto], float]:
    """The relative error of what it says."""
    tensors = models.watched
    whole = exact_network(models.prepared)

    def measure(model: onnx.ModelProto) -> float:
        network = exact_network(model)
        return max(float(np.linalg.norm(network(x) - whole(x)) / np.linalg.norm(whole(x))) for x in tensors)

    return measure


def test_the_culprit_is_named_and_goes_back_alone(
    models: Int8Models, drop_of: Callable[[onnx.ModelProto], float]
) -> None:
    before = drop_of(models.whole)
    found = search(
        models.whole, Alone(models.prepared, models.watched), drop_of=drop_of, max_drop=before / 4, max_bytes=2_000_000
    )
    assert (found.layers[0].names, found.layers[0].in_float) == ((RUINED,), True)
    assert not any(layer.in_float for layer in found.layers[1:])
    assert found.met
    assert found.drop == drop_of(found.model) <= before / 4
    assert {conv.name for conv in quantized_convs(found.model)} == {"/model/model.0/Conv", "/model/model.4/Conv"}
    onnx.checker.check_model(found.model)
    grown = minify(found.model).ByteSize() - minify(models.whole).ByteSize()
    culprit = next(kernel for kernel in kernels_of(models.whole, models.prepared) if kernel.names == [RUINED])
    assert grown <= culprit.added_bytes


def test_what_holds_already_stays_whole(models: Int8Models) -> None:
    found = search(
        models.whole, Alone(models.prepared, models.watched), drop_of=lambda _: 0.0, max_drop=0.0, max_bytes=2_000_000
    )
    assert found.model is models.whole
    assert found.met
    assert not any(layer.in_float for layer in found.layers)


def test_where_the_file_has_no_room_it_says_so(models: Int8Models, drop_of: Callable[[onnx.ModelProto], float]) -> None:
    full = minify(models.whole).ByteSize()
    found = search(models.whole, Alone(models.prepared, models.watched), drop_of=drop_of, max_drop=0.0, max_bytes=full)
    assert not found.met
    assert found.model is models.whole
    roomy = search(
        models.whole, Alone(models.prepared, models.watched), drop_of=drop_of, max_drop=-1.0, max_bytes=10**9
    )
    assert not roomy.met
    assert roomy.drop < drop_of(models.whole) / 4, "the best of what was tried"


@pytest.mark.parametrize("needed", range(4))
def test_no_more_go_back_than_it_takes(models: Int8Models, needed: int) -> None:
    """Where the loss falls with every kernel, the fewest are found."""

    def by_count(model: onnx.ModelProto) -> float:
        return float(len(quantized_convs(model)))

    found = search(
        models.whole, Alone(models.prepared, models.watched), drop_of=by_count, max_drop=3.0 - needed, max_bytes=10**9
    )
    assert sum(layer.in_float for layer in found.layers) == needed


def test_one_alone_is_measured_at_the_end_of_the_network(models: Int8Models) -> None:
    assert last_convolutions(models.prepared) == ["/model/model.4/Conv"]
    errors = {kernel.names[0]: error for kernel, error in Alone(models.prepared, models.watched).errors(models.whole)}
    assert errors[RUINED] > 5 * max(error for name, error in errors.items() if name != RUINED)
