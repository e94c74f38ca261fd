"""The laws that hold for every method: the loop, its checkpoints, and what each field of the recipe changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from edgewright.errors import InputError, StageFailed
from edgewright.progress import OnProgress, silent
from edgewright.sections import TrainGeneratorConfig
from edgewright.synth.batches import CropBatches, CropSet
from edgewright.synth.learning import shape_of
from edgewright.synth.samplers import crop_sampler
from edgewright.synth.train_flow import Flow
from edgewright.synth.train_gan import Gan
from edgewright.synth.training import Method, Schedule, Trained, train

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"steps": 8, "batch": 8, "width": 8, "latent": 8, "checkpoint_every": 3}
METHODS: dict[str, type[Method]] = {"gan": Gan, "diffusion": Flow}


def learn(
    crops: CropSet,
    scratch: Path,
    *,
    method: str,
    work_id: str = "w",
    on_progress: OnProgress = silent,
    **changes: object,
) -> Trained:
    config = TrainGeneratorConfig.model_validate({**SMALL, "method": method, **changes})
    rng = torch.Generator().manual_seed(3)
    batches = CropBatches(crops, torch.device("cpu"))
    made = METHODS[method](batches, shape_of(config, n_classes=2), config, rng=rng, seed=3)  # type: ignore[call-arg]
    schedule = Schedule(config.steps, config.checkpoint_every)
    return train(made, rng, schedule, scratch=scratch, work_id=work_id, on_progress=on_progress)


def weights(trained: Trained) -> bytes:
    return b"".join(value.numpy().tobytes() for _, value in sorted(trained.network.state_dict().items()))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_interrupted_training_gives_the_same_bytes(
    crops: CropSet, tmp_path: Path, *, method: str, precision: str
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    whole = learn(crops, tmp_path / "whole", method=method, precision=precision)

    class Killed(Exception):
        pass

    def die(done: int, total: int, what: str) -> None:
        raise Killed

    with pytest.raises(Killed):
        learn(crops, tmp_path / "broken", method=method, precision=precision, on_progress=die)
    resumed = learn(crops, tmp_path / "broken", method=method, precision=precision)
    assert (whole.resumed_from, resumed.resumed_from) == (0, 6)
    assert weights(resumed) == weights(whole)
    assert resumed.history == whole.history


@pytest.mark.parametrize("kept_bytes", [0, 100, 5000, -20])
def test_a_damaged_checkpoint_is_begun_anew(crops: CropSet, tmp_path: Path, kept_bytes: int) -> None:
    whole = learn(crops, tmp_path, method="diffusion")
    file = tmp_path / "diffusion.pt"
    file.write_bytes(file.read_bytes()[:kept_bytes])
    again = learn(crops, tmp_path, method="diffusion")
    assert again.resumed_from == 0
    assert weights(again) == weights(whole)


def test_what_the_last_update_broke_is_not_published(crops: CropSet, tmp_path: Path) -> None:
    """The only loss that training sees is that of the untouched network."""
    with pytest.raises(StageFailed, match=r"Diffusion diverged in its last steps.*learning_rate"):
        learn(crops, tmp_path, method="diffusion", learning_rate=1e30, steps=1)


@pytest.mark.parametrize("method", METHODS)
def test_a_judgement_is_finite_and_trains_nothing(crops: CropSet, method: str) -> None:
    config = TrainGeneratorConfig.model_validate({**SMALL, "method": method})
    batches, rng = CropBatches(crops, torch.device("cpu")), torch.Generator().manual_seed(3)
    made = METHODS[method](batches, shape_of(config, n_classes=2), config, rng=rng, seed=3)  # type: ignore[call-arg]
    before = [value.clone() for value in made.average.parameters()]
    assert np.isfinite(made.judge())
    assert all(bool((old == new).all()) for old, new in zip(before, made.average.parameters(), strict=True))
    for value in made.average.parameters():
        value.fill_(1e30)
    assert not np.isfinite(made.judge()), "finite weights alone make no picture"


@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_of_other_work_is_not_continued(crops: CropSet, tmp_path: Path, method: str) -> None:
    learn(crops, tmp_path, method=method)
    assert learn(crops, tmp_path, method=method, work_id="other").resumed_from == 0


@pytest.mark.parametrize(("method", "advice"), [("gan", "r1_gamma"), ("diffusion", "learning_rate")])
def test_a_diverging_loss_ends_with_the_step(crops: CropSet, tmp_path: Path, method: str, advice: str) -> None:
    with pytest.raises(StageFailed, match=rf"at step \d+.*{advice}"):
        learn(crops, tmp_path, method=method, learning_rate=1e20, steps=60)


CHANGES = [{"learning_rate": 3e-4}, {"augment": False}, {"ema_decay": 0.05}, {"batch": 12}, {"width": 16}]
CHANGES += [{"steps": 9}, {"precision": "bf16"}]


@pytest.mark.parametrize(
    ("method", "change"),
    [(method, change) for method in METHODS for change in CHANGES]
    + [("gan", {"r1_gamma": 7.0}), ("gan", {"penalty_every": 2}), ("gan", {"latent": 16})],
)
def test_every_field_changes_the_weights(
    crops: CropSet, tmp_path: Path, method: str, change: dict[str, object]
) -> None:
    changed = learn(crops, tmp_path, method=method, work_id="changed", **change)
    assert weights(changed) != weights(learn(crops, tmp_path, method=method))


@pytest.mark.trains
@pytest.mark.parametrize("method", METHODS)
def test_gradient_checkpointing_forgets_what_is_inside_blocks_and_changes_no_loss(
    crops: CropSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    forgotten: list[object] = []

    def forget(block: Any, *inputs: Any, **how: Any) -> Any:
        forgotten.append(block)
        return checkpoint(block, *inputs, **how)

    monkeypatch.setattr("edgewright.synth.precision.checkpoint", forget)
    plain = learn(crops, tmp_path, method=method)
    assert not forgotten
    frugal = learn(crops, tmp_path, method=method, work_id="frugal", gradient_checkpointing=True)
    assert len(forgotten) >= 8  # in every step
    assert [point.losses for point in frugal.history] == [pytest.approx(point.losses) for point in plain.history]


@pytest.mark.trains
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_losses_stay_near_those_of_float32(crops: CropSet, tmp_path: Path, method: str) -> None:
    full, half = (learn(crops, tmp_path, method=method, work_id=name, precision=name) for name in ("fp32", "bf16"))
    name = "g_loss" if method == "gan" else "loss"
    for left, right in zip(full.history[:3], half.history[:3], strict=True):
        assert right.losses[name] == pytest.approx(left.losses[name], rel=0.05)
    assert {value.dtype for value in half.network.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("precision", ["tf32", "fp16"])
@pytest.mark.parametrize("method", METHODS)
def test_a_precision_that_the_machine_lacks_is_refused(
    crops: CropSet, tmp_path: Path, method: str, precision: str
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(InputError, match=f"fp32 or bf16.*{precision}.*bf16"):
        learn(crops, tmp_path, method=method, precision=precision)


@pytest.mark.trains
@pytest.mark.parametrize("method", METHODS)
def test_it_learns_the_colors_of_its_classes(crops: CropSet, tmp_path: Path, method: str) -> None:
    trained = learn(crops, tmp_path, method=method, steps=120, batch=16, ema_decay=0.9, checkpoint_every=1000)
    sampler = crop_sampler(trained.network.eval(), (4, 7))
    made = np.stack(sampler.sample([4, 7] * 16, np.random.default_rng(0))).astype(float) / 127.5 - 1
    middle = made[:, 12:20, 12:20].mean(axis=(1, 2))
    redness = middle[:, 0] - middle[:, 2]
    assert redness[0::2].mean() > redness[1::2].mean() + 0.3
    assert made[:, 14:18, 14:18, 3].mean() > made[:, :3, :, 3].mean() + 0.3, "opaque in the middle, clear at the rim"


@pytest.mark.trains
def test_the_flow_loss_falls_and_its_samples_near_the_data(crops: CropSet, tmp_path: Path) -> None:
    def distance(trained: Trained) -> float:
        sampler = crop_sampler(trained.network.eval(), (0, 1))
        made = np.stack(sampler.sample([0] * 16, np.random.default_rng(0))).astype(float)
        real = crops.pixels[crops.class_index == 0].astype(float)
        return float(np.abs(made[:, None] - real[None]).mean(axis=(2, 3, 4)).min(axis=1).mean())

    early, late = (
        learn(
            crops, tmp_path, method="diffusion", steps=steps, batch=16, ema_decay=0.9, checkpoint_every=1000, work_id=w
        )
        for steps, w in ((5, "early"), (150, "late"))
    )
    assert late.history[-1].losses["loss"] < 0.5 * late.history[0].losses["loss"]
    assert distance(late) < 0.75 * distance(early)
