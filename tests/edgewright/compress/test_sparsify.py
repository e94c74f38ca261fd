"""A detector made sparse: what is gone stays gone, what is published is read by what reads any detector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.artifacts import Artifact, Content, Record, Store
from edgewright.compress.quantize import quantize
from edgewright.compress.sparsify import FACTS_FILE, SparsityReport, sparsify
from edgewright.data.dataset import Dataset
from edgewright.detect.lesson import EpochReport
from edgewright.detect.network import WEIGHTS_FILE, load_float_network, load_learner
from edgewright.detect.train import train_detector
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.metrics import HISTORY_FILE, history_of
from edgewright.recipe.compress import CompressConfig, QuantizeConfig
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.runtime.session import load_network
from edgewright.sparse.masks import maskable

Thin = Callable[..., tuple[Artifact, SparsityReport]]


@pytest.fixture(scope="session")
def lite(store: Store, squares: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    config = TrainDetectorConfig(model="efficientdet-slim", init="none", image_px=64, batch=5, epochs=2, mosaic=0.0)
    scratch = tmp_path_factory.mktemp("lite")
    with store.workspace() as out:
        train_detector(squares, config, out=out, scratch=scratch, seed=0, threads=1, on_epoch=lambda _: None)
        content = Content(kind="detector", stage="train_detector", config=config.model_dump(mode="json"))
        return store.open(store.publish(out, content, Record()))


@pytest.fixture
def thin(store: Store, squares: Dataset, tmp_path: Path) -> Thin:
    """`thin(detector, method=…)`: the artifact, and what was said of it."""

    def make(
        detector: Artifact, on_epoch: Callable[[EpochReport], None] = lambda _: None, **fields: Any
    ) -> tuple[Artifact, SparsityReport]:
        config = CompressConfig(**{"epochs": 2, **fields})
        with store.workspace() as out:
            report = sparsify(
                detector, squares, config, out=out, scratch=tmp_path / "scratch", seed=0, threads=1, on_epoch=on_epoch
            )
            content = Content(kind="detector", stage="compress", config=config.model_dump(mode="json"))
            return store.open(store.publish(out, content, Record())), report

    return make


@pytest.mark.parametrize("family", ["detector", "lite"])
def test_fewer_channels_are_a_smaller_detector_that_everything_reads(
    family: str, thin: Thin, squares: Dataset, store: Store, request: pytest.FixtureRequest
) -> None:
    whole: Artifact = request.getfixturevalue(family)
    smaller, report = thin(whole, method="channels", share=0.4)
    assert report.parameters_after < 0.8 * report.parameters_before
    assert report.multiplications_after < 0.8 * report.multiplications_before
    assert smaller.json(FACTS_FILE)["parameters_after"] == report.parameters_after
    network, _ = load_float_network(smaller.path)
    image = np.zeros((1, 3, 64, 64), np.float32)
    wide, _ = load_float_network(whole.path)
    assert network(image).shape == wide(image).shape
    with store.workspace() as out:
        quantize(smaller, squares, QuantizeConfig(calibration_images=8, max_drop=None), out=out, seed=0, threads=1)
        found = load_network(out / "model.onnx", threads=1)(image)
    assert found.shape == network(image).shape
    with pytest.raises(InputError, match="sparse already"):
        thin(smaller, method="channels")


@pytest.mark.parametrize(("method", "share"), [("unstructured", 0.8), ("two_of_four", 0.5)])
@pytest.mark.parametrize("family", ["detector", "lite"])
def test_zeros_are_still_there_after_learning(
    family: str, method: str, share: float, thin: Thin, request: pytest.FixtureRequest
) -> None:
    whole: Artifact = request.getfixturevalue(family)
    thinned, report = thin(whole, method=method, share=share)
    assert report.parameters_after == report.parameters_before
    assert report.multiplications_after == report.multiplications_before, "a processor multiplies zeros too"
    assert report.compressed_bytes < report.stored_bytes * (1 - share / 2)
    before, after = (maskable(load_learner(one.path)[0]) for one in (whole, thinned))
    masked = {name: weight for name, weight in after.items() if name not in report.dense}
    zeros = sum(int((weight == 0).sum()) for weight in masked.values())
    assert zeros / sum(weight.numel() for weight in masked.values()) == pytest.approx(share, abs=0.005)
    assert any((masked[name] != before[name])[masked[name] != 0].any() for name in masked), "the rest learned"
    assert bool(report.dense) == (method == "two_of_four")


def test_a_killed_one_goes_on(detector: Artifact, thin: Thin) -> None:
    def kill(epoch: EpochReport) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        thin(detector, kill, method="channels", epochs=3)
    seen: list[int] = []
    smaller, _ = thin(detector, lambda epoch: seen.append(epoch.epoch), method="channels", epochs=3)
    assert 1 not in seen
    assert [epoch for epoch, _ in history_of(smaller.path(HISTORY_FILE))] == [1, 2, 3]


@pytest.mark.parametrize("family", ["detector", "lite"])
def test_a_teacher_bears_on_what_is_learned(family: str, thin: Thin, request: pytest.FixtureRequest) -> None:
    """How is `distill.distance`'s to say: these know too little for a pupil to come nearer for certain."""
    whole: Artifact = request.getfixturevalue(family)
    weights = [
        thin(whole, method="channels", epochs=1, teacher_weight=weight)[0].path(WEIGHTS_FILE).read_bytes()
        for weight in (0.0, 30.0)
    ]
    assert weights[0] != weights[1]


def test_what_is_refused(detector: Artifact, thin: Thin, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to do"):
        thin(detector, method="none")
    smaller, _ = thin(detector, method="channels", epochs=1)
    for name in smaller.manifest.content.files:
        (tmp_path / name).write_bytes(smaller.path(name).read_bytes())
    (tmp_path / "graph.yaml").write_bytes(detector.path("graph.yaml").read_bytes())
    with pytest.raises(ArtifactCorrupt, match="do not fit the graph"):
        load_learner(lambda name: tmp_path / name)
