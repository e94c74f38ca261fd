"""The rule to the letter, FID < 50 and recall > 0.7, from pictures to a verdict."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data.dataset import Dataset
from edgewright.errors import InputError
from edgewright.gates.data_gate import decide_data, with_fid_recall
from edgewright.gates.evidence import DataEvidence
from edgewright.gates.measure.metrics import Features
from edgewright.gates.measure.tiles import Tiles
from edgewright.gates.selftest.controls import Scene, noisy
from edgewright.gates.verdict import Outcome
from edgewright.progress import silent
from edgewright.recipe.gates import GateDataConfig
from tests.gated import Publish, changed, scenes


class _Means:
    """Sixteen features: mean light of the cells of a 4 × 4 grid."""

    digest = "means"

    def __call__(self, tiles: Tiles) -> Features:
        side = tiles.shape[1] // 4
        cells = tiles[:, : 4 * side, : 4 * side].reshape(len(tiles), 4, side, 4, side, 3)
        return np.asarray(cells.mean(axis=(2, 4, 5), dtype=np.float64).reshape(len(tiles), 16) / 16)


@pytest.mark.parametrize(
    ("made", "outcome", "n"),
    [
        (changed(scenes(40, seed=1), lambda image: noisy(image, sd=2, rng=np.random.default_rng(0))), Outcome.PASS, 40),
        (scenes(10, seed=3), Outcome.NOT_EVALUABLE, 10),  # fewer than features
        ([Scene(np.minimum(member.image, 90), member.labels) for member in scenes(60, seed=3)], Outcome.REFUSE, 40),
    ],
)
def test_the_literal_rule_is_reached_with_enough_pictures(
    real: Dataset, publish: Publish, made: list[Scene], outcome: Outcome, n: int
) -> None:
    """Pictures to verdict, through a space of 16 features that stands in for Inception's 2,048."""
    synthetic, config = publish({"train": made}, origin="synthetic"), GateDataConfig(rule="fid_recall")
    evidence = DataEvidence(60, 40, len(made), feature_kind="inception")
    found = with_fid_recall(evidence, real, synthetic, config, _Means(), on_progress=silent)
    assert (found.fid_width, found.measurement("fid").n) == (16, n)
    verdict = decide_data(found, config)
    assert verdict.outcome is outcome, verdict.reasons


class _Blind(_Means):
    """Untrained weights: nearly the same for every picture."""

    def __call__(self, tiles: Tiles) -> Features:
        return 1.0 + 1e-6 * super().__call__(tiles)


def test_a_network_that_tells_no_picture_from_another_is_refused(real: Dataset, publish: Publish) -> None:
    """FID would be 0 and recall 1."""
    synthetic = publish({"train": scenes(20, seed=3)}, origin="synthetic")
    with pytest.raises(InputError, match="the same for every held-out photograph"):
        with_fid_recall(DataEvidence(60, 40, 20), real, synthetic, GateDataConfig(), _Blind(), on_progress=silent)


def test_all_pictures_are_looked_at_by_the_literal_rule(real: Dataset, publish: Publish) -> None:
    """Not the `max_images` of the other checks; and no training picture."""
    synthetic = publish({"train": scenes(70, seed=3)}, origin="synthetic")
    reports: list[tuple[int, int, str]] = []
    config = GateDataConfig(max_images=12)
    with_fid_recall(
        DataEvidence(60, 40, 70), real, synthetic, config, _Means(), on_progress=lambda *report: reports.append(report)
    )
    assert reports[-1][:2] == (110, 110)
