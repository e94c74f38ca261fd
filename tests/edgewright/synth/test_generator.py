"""The generator artifact of each method: what it holds, what opening it gives, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from edgewright.artifacts import Artifact, Content, Record, Store
from edgewright.data.dataset import Dataset
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.synth.generator import open_generator
from edgewright.synth.objects.samplers import FlowSampler, GanSampler

pytestmark = pytest.mark.usefixtures("one_thread")
Fit = Callable[..., Artifact]


@pytest.mark.parametrize(("method", "sampler"), [("gan", GanSampler), ("diffusion", FlowSampler)])
def test_the_same_inputs_give_the_same_artifact_and_it_opens(
    fit: Fit, dataset: Dataset, method: str, sampler: type
) -> None:
    artifact = fit(dataset, method=method, side_px=48)
    assert fit(dataset, method=method, side_px=48).ref.sha256 == artifact.ref.sha256
    assert f"{method}.safetensors" in artifact.files
    trained = open_generator(artifact)
    assert (trained.method, trained.level, trained.scenes) == (method, "object", None)
    assert isinstance(trained.sampler, sampler)
    assert (trained.sampler.side_px, trained.sampler.class_ids) == (48, (0, 1))
    crops = trained.sampler.sample([0, 1, 1], np.random.default_rng(0))
    assert [crop.shape for crop in crops] == [(48, 48, 4)] * 3


def test_solver_and_steps_reach_the_sampler(fit: Fit, dataset: Dataset) -> None:
    artifact = fit(dataset, method="diffusion")
    opened = open_generator(artifact, solver="euler", sampler_steps=7).sampler
    assert isinstance(opened, FlowSampler)
    assert (opened.solver, opened.steps) == ("euler", 7)
    painter = open_generator(
        fit(dataset, method="diffusion", level="scene", scene_px=64), solver="euler", sampler_steps=2
    ).scenes
    assert painter is not None
    assert (painter.solver, painter.steps, painter.scene_px) == ("euler", 2, 64)


@pytest.mark.parametrize(
    ("method", "loss"), [("gan", {"d_loss", "g_loss", "margin", "r1", "r2"}), ("diffusion", {"loss"})]
)
def test_the_history_is_flat_and_finite(fit: Fit, dataset: Dataset, method: str, loss: set[str]) -> None:
    history = json.loads(fit(dataset, method=method).path("history.json").read_bytes())
    assert [point.pop("step") for point in history] == [1, 2, 3, 4, 5, 6]
    assert all(set(point) == loss and all(np.isfinite(list(point.values()))) for point in history)


@pytest.mark.parametrize("level", ["object", "scene"])
def test_the_preview_shows_real_and_generated_side_by_side(fit: Fit, dataset: Dataset, level: str) -> None:
    artifact = fit(dataset, method="diffusion", level=level, scene_px=64)
    assert artifact.path("preview.png").stat().st_size > 1000
    trained = open_generator(artifact)
    assert (trained.sampler is None, trained.scenes is None) == (level == "scene", level == "object")


@pytest.mark.parametrize("method", ["gan", "diffusion"])
def test_too_few_objects_are_refused(fit: Fit, poor_dataset: Dataset, method: str) -> None:
    with pytest.raises(InputError, match=r"too few objects.*>= 8.*6"):
        fit(poor_dataset, method=method)


def test_weights_of_another_shape_are_corrupt(fit: Fit, dataset: Dataset, store: Store) -> None:
    artifact = fit(dataset, method="diffusion")
    with store.workspace() as work:
        for name in artifact.files:
            (work / name).write_bytes(artifact.path(name).read_bytes())
        described = json.loads((work / "generator.json").read_bytes())
        described["network"]["width"] = 16
        (work / "generator.json").write_text(json.dumps(described))
        other = store.open(store.publish(work, Content("generator", "train_generator"), Record()))
    with pytest.raises(ArtifactCorrupt, match="do not fit"):
        open_generator(other)
