"""What a labeler's confidence is worth: its temperature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor, nn

from edgewright.artifacts import Artifact
from edgewright.data.dataset import Dataset
from edgewright.label.network.batches import load_examples
from edgewright.label.network.net import Labeler
from edgewright.label.outline.outlines import leave_boxes
from edgewright.label.train import LabelerReport, trusted_rows
from edgewright.label.trust.score import HeldOut, calibrate


class Louder(nn.Module):
    """The same opinions, more or less sure of them."""

    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * self.factor


@pytest.fixture
def held_out(
    trained: tuple[LabelerReport, Path], photographs: Dataset, publish_labeler: Callable[[Path], Artifact]
) -> HeldOut:
    labeler = Labeler.open(publish_labeler(trained[1]))
    rows = trusted_rows(photographs, "val")
    examples = load_examples(photographs, rows, image_px=labeler.spec.image_px, shape="ellipse", outliner=leave_boxes)
    return HeldOut(labeler, tuple(rows), examples)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_temperature_undoes_how_sure_a_net_speaks(held_out: HeldOut, factor: float) -> None:
    """The softmax of k z / (k T) is that of z / T, so the best T is k times as high, up to the grid's step."""

    def temperature(loudness: float) -> float:
        louder = Labeler(held_out.labeler.spec, Louder(held_out.labeler.net, loudness))
        return calibrate([HeldOut(louder, held_out.rows, held_out.examples)])

    assert 0.5 < temperature(6.0) < 2  # it is surer of these scenes than it says
    assert temperature(6.0 * factor) / temperature(6.0) == pytest.approx(factor, rel=0.07)


def test_without_a_photograph_nothing_is_calibrated(held_out: HeldOut, photographs: Dataset) -> None:
    none = load_examples(photographs, [], image_px=64, shape="ellipse", outliner=leave_boxes)
    assert calibrate([HeldOut(held_out.labeler, (), none)]) == calibrate([]) == 1.0
