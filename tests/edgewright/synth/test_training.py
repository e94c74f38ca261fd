"""The laws that hold for every learned method: what each field of the recipe changes, and what is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from edgewright.errors import InputError, StageFailed
from edgewright.learning.loop import Method, Trained, train
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.methods import curve, shape_of
from edgewright.synth.networks.batches import CropBatches, CropSet
from edgewright.synth.networks.train_flow import Flow
from edgewright.synth.networks.train_gan import Gan
from edgewright.synth.objects.samplers import crop_sampler

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"steps": 8, "batch": 8, "width": 8, "latent": 8}
METHODS: dict[str, type[Method[Any]]] = {"gan": Gan, "diffusion": Flow}


def begin(crops: CropSet, config: TrainGeneratorConfig) -> Method[Any]:
    rng = torch.Generator().manual_seed(3)
    batches = CropBatches(crops, torch.device("cpu"))
    shape = shape_of(config, n_classes=2)
    return METHODS[config.method](batches, shape, config, rng=rng, seed=3)  # type: ignore[call-arg]


def learn(crops: CropSet, *, method: str, **changes: object) -> Trained:
    config = TrainGeneratorConfig.model_validate({**SMALL, "method": method, **changes})
    return train(begin(crops, config), steps=config.steps)


def weights(trained: Trained) -> bytes:
    return b"".join(value.numpy().tobytes() for _, value in sorted(trained.network.state_dict().items()))


def test_what_the_last_update_broke_is_not_published(crops: CropSet) -> None:
    """The only loss that training sees is that of the untouched network."""
    with pytest.raises(StageFailed, match=r"Diffusion diverged in its last steps.*learning_rate"):
        learn(crops, method="diffusion", learning_rate=1e30, steps=1)


@pytest.mark.parametrize("method", METHODS)
def test_finite_weights_alone_make_no_picture(crops: CropSet, method: str) -> None:
    made = begin(crops, TrainGeneratorConfig.model_validate({**SMALL, "method": method}))
    for value in made.network.parameters():
        value.fill_(1e30)
    assert not np.isfinite(made.judge(0))


@pytest.mark.parametrize(("method", "advice"), [("gan", "r1_gamma"), ("diffusion", "learning_rate")])
def test_a_diverging_loss_ends_with_the_step(crops: CropSet, method: str, advice: str) -> None:
    with pytest.raises(StageFailed, match=rf"step \d+ of 60.*{advice}"):
        learn(crops, method=method, learning_rate=1e20, steps=60)


CHANGES = [{"learning_rate": 3e-4}, {"augment": False}, {"ema_decay": 0.05}, {"batch": 12}, {"width": 16}]
CHANGES += [{"steps": 9}, {"precision": "bf16"}]


@pytest.mark.parametrize(
    ("method", "change"),
    [(method, change) for method in METHODS for change in CHANGES]
    + [("gan", {"r1_gamma": 7.0}), ("gan", {"penalty_every": 2}), ("gan", {"latent": 16})],
)
def test_every_field_changes_the_weights(crops: CropSet, method: str, change: dict[str, object]) -> None:
    changed = learn(crops, method=method, **change)
    assert weights(changed) != weights(learn(crops, method=method))


@pytest.mark.trains
@pytest.mark.parametrize("method", METHODS)
def test_gradient_checkpointing_forgets_what_is_inside_blocks_and_changes_no_loss(
    crops: CropSet, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    forgotten: list[object] = []

    def forget(block: Any, *inputs: Any, **how: Any) -> Any:
        forgotten.append(block)
        return checkpoint(block, *inputs, **how)

    monkeypatch.setattr("edgewright.learning.precision.checkpoint", forget)
    plain = learn(crops, method=method)
    assert not forgotten
    frugal = learn(crops, method=method, gradient_checkpointing=True)
    assert len(forgotten) >= 8  # in every step
    assert list(frugal.losses) == [pytest.approx(losses) for losses in plain.losses]


@pytest.mark.trains
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_losses_stay_near_those_of_float32(crops: CropSet, method: str) -> None:
    full, half = (learn(crops, method=method, precision=name) for name in ("fp32", "bf16"))
    name = "g_loss" if method == "gan" else "loss"
    for left, right in zip(full.losses[:3], half.losses[:3], strict=True):
        assert right[name] == pytest.approx(left[name], rel=0.05)
    assert {value.dtype for value in half.network.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("precision", ["tf32", "fp16"])
@pytest.mark.parametrize("method", METHODS)
def test_a_precision_that_the_machine_lacks_is_refused(crops: CropSet, method: str, precision: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(InputError, match=f"fp32 or bf16.*{precision}.*bf16"):
        learn(crops, method=method, precision=precision)


@pytest.mark.trains
@pytest.mark.parametrize("method", METHODS)
def test_it_learns_the_colors_of_its_classes(crops: CropSet, method: str) -> None:
    trained = learn(crops, method=method, steps=120, batch=16, ema_decay=0.9)
    sampler = crop_sampler(trained.network.eval(), (4, 7))
    made = np.stack(sampler.sample([4, 7] * 16, np.random.default_rng(0))).astype(float) / 127.5 - 1
    middle = made[:, 12:20, 12:20].mean(axis=(1, 2))
    redness = middle[:, 0] - middle[:, 2]
    assert redness[0::2].mean() > redness[1::2].mean() + 0.3
    assert made[:, 14:18, 14:18, 3].mean() > made[:, :3, :, 3].mean() + 0.3, "opaque in the middle, clear at the rim"


@pytest.mark.trains
def test_the_flow_loss_falls_and_its_samples_near_the_data(crops: CropSet) -> None:
    def distance(trained: Trained) -> float:
        sampler = crop_sampler(trained.network.eval(), (0, 1))
        made = np.stack(sampler.sample([0] * 16, np.random.default_rng(0))).astype(float)
        real = crops.pixels[crops.class_index == 0].astype(float)
        return float(np.abs(made[:, None] - real[None]).mean(axis=(2, 3, 4)).min(axis=1).mean())

    early, late = (learn(crops, method="diffusion", steps=steps, batch=16, ema_decay=0.9) for steps in (5, 150))
    assert late.losses[-1]["loss"] < 0.5 * late.losses[0]["loss"]
    assert distance(late) < 0.75 * distance(early)


@pytest.mark.parametrize(("steps", "points"), [(1, 1), (30, 30), (250, 125), (255, 128)])
def test_a_curve_holds_the_mean_of_each_loss_since_the_point_before(steps: int, points: int) -> None:
    found = curve([{"loss": float(step), **({"r1": 7.0} if step % 50 == 0 else {})} for step in range(steps)])
    assert (len(found), found[-1].step) == (points, steps)
    assert {point.losses["r1"] for point in found} == {7.0}, "the last that was taken"
    if steps == 255:
        assert [point.losses["loss"] for point in found[:2]] == [0.5, 2.5]
        assert found[-1].losses["loss"] == 254
