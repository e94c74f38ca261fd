"""Networks, losses, augmentation and the training loop, on crops made here."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.errors import StageFailed
from edgewright.progress import silent
from edgewright.recipe import TrainGeneratorConfig
from edgewright.synth.augment import diff_augment
from edgewright.synth.ema import update_ema
from edgewright.synth.losses import discriminator_loss, generator_loss, gradient_penalty
from edgewright.synth.nets import Discriminator, Generator, NetShape, from_pixels, to_pixels
from edgewright.synth.train_gan import CropSet, TrainedGan, train_gan

SMALL = {"steps": 8, "batch": 8, "width": 8, "latent": 8, "checkpoint_every": 3}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def crops() -> CropSet:
    """Class 0: 40 red squares; class 1: 6 blue ones; on gray, opaque where colored."""
    rng = np.random.default_rng(0)
    pixels = np.full((46, 32, 32, 4), 120, np.uint8)
    pixels[..., 3] = 0
    index = np.array([0] * 40 + [1] * 6)
    for crop, which in zip(pixels, index, strict=True):
        half = rng.integers(7, 11)
        crop[16 - half : 16 + half, 16 - half : 16 + half] = (220, 40, 40, 255) if which == 0 else (40, 40, 220, 255)
    return CropSet(pixels, index)


def train(crops: CropSet, scratch: object, **changes: object) -> TrainedGan:
    config = TrainGeneratorConfig.model_validate({**SMALL, **changes})
    return train_gan(crops, config, scratch=scratch, work_id="w", seed=3, on_progress=silent)  # type: ignore[arg-type]


def weights(trained: TrainedGan) -> bytes:
    return b"".join(value.numpy().tobytes() for _, value in sorted(trained.generator.state_dict().items()))


@pytest.mark.parametrize("crop_px", [32, 48, 64])
def test_shapes(crop_px: int) -> None:
    shape = NetShape(crop_px, 8, 8, 2)
    made = Generator(shape)(torch.randn(3, 8), torch.tensor([0, 1, 1]))
    assert made.shape == (3, 4, crop_px, crop_px)
    assert made.abs().max() <= 1
    assert Discriminator(shape)(made, torch.tensor([0, 1, 1])).shape == (3,)


def test_pixels_round_trip() -> None:
    pixels = torch.randint(0, 256, (2, 8, 8, 4), dtype=torch.uint8)
    assert (to_pixels(from_pixels(pixels)) == pixels).all()


def test_losses_at_equal_logits_are_log_two_and_mirror_each_other() -> None:
    real, fake = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])
    assert float(discriminator_loss(real, fake)) == pytest.approx(np.log(2))
    assert float(discriminator_loss(real + 3, fake)) == pytest.approx(float(generator_loss(real, fake + 3)))
    assert discriminator_loss(real + 3, fake) < discriminator_loss(real, fake)


def test_the_penalty_of_a_linear_discriminator_is_half_its_squared_slope() -> None:
    crops = torch.randn(5, 4, 8, 8, requires_grad=True)
    penalty = gradient_penalty((crops * 0.5).sum(dim=(1, 2, 3)), crops)
    assert float(penalty.detach()) == pytest.approx(0.5 * 0.25 * 4 * 64)


def test_augmentation_is_differentiable_reproducible_and_leaves_opacity_uncolored() -> None:
    crops = torch.rand(6, 4, 32, 32, requires_grad=True)
    first, second = (diff_augment(crops, torch.Generator().manual_seed(4)) for _ in range(2))
    assert (first == second).all() and first.shape == crops.shape
    first.sum().backward()
    assert crops.grad is not None and crops.grad.abs().sum() > 0
    opacity = set(first[:, 3].detach().flatten().tolist())
    assert opacity <= {0.0, *crops[:, 3].detach().flatten().tolist()}


def test_the_average_follows_fast_at_first_and_slowly_later() -> None:
    average, current = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    for network, value in ((average, 0.0), (current, 1.0)):
        torch.nn.init.constant_(network.weight, value)
    update_ema(average, current, decay=0.99, step=0)
    assert average.weight.item() == pytest.approx(0.9)
    torch.nn.init.constant_(average.weight, 0.0)
    update_ema(average, current, decay=0.99, step=10_000)
    assert average.weight.item() == pytest.approx(0.01)


def test_interrupted_training_gives_the_same_bytes(crops: CropSet, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = train(crops, tmp_path_factory.mktemp("whole"))

    class Killed(Exception):
        pass

    def die(done: int, total: int, what: str) -> None:
        raise Killed

    broken = tmp_path_factory.mktemp("broken")
    config = TrainGeneratorConfig.model_validate({**SMALL, "steps": 8})
    with pytest.raises(Killed):
        train_gan(crops, config, scratch=broken, work_id="w", seed=3, on_progress=die)
    resumed = train(crops, broken)
    assert (whole.resumed_from, resumed.resumed_from) == (0, 6)
    assert weights(resumed) == weights(whole)
    assert resumed.history == whole.history


def test_a_checkpoint_of_other_work_is_not_continued(crops: CropSet, tmp_path: object) -> None:
    config = TrainGeneratorConfig.model_validate(SMALL)
    train(crops, tmp_path)
    other = train_gan(crops, config, scratch=tmp_path, work_id="other", seed=3, on_progress=silent)  # type: ignore[arg-type]
    assert other.resumed_from == 0


def test_a_diverging_loss_ends_with_the_step(crops: CropSet, tmp_path: object) -> None:
    with pytest.raises(StageFailed, match=r"at step \d+.*learning_rate"):
        train(crops, tmp_path, learning_rate=1e12, steps=60)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 1e-3},
        {"r1_gamma": 7.0},
        {"penalty_every": 2},
        {"augment": False},
        {"ema_decay": 0.2},
        {"batch": 12},
        {"steps": 9},
    ],
)
def test_every_field_changes_the_weights(crops: CropSet, tmp_path: object, change: dict[str, object]) -> None:
    assert weights(train(crops, tmp_path, **change, checkpoint_every=100)) != weights(
        train(crops, tmp_path, checkpoint_every=100)
    )


def test_the_generator_learns_the_colors_of_its_classes(crops: CropSet, tmp_path: object) -> None:
    trained = train(crops, tmp_path, steps=120, batch=16, width=8, ema_decay=0.9, checkpoint_every=1000)
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        made = trained.generator(torch.randn(32, 8, generator=generator), torch.tensor([0, 1] * 16))
    middle = made[:, :3, 12:20, 12:20].mean(dim=(2, 3))
    redness = middle[:, 0] - middle[:, 2]
    assert redness[0::2].mean() > redness[1::2].mean() + 0.3
    assert made[:, 3, 14:18, 14:18].mean() > made[:, 3, :3].mean() + 0.3, "opaque in the middle, clear at the rim"
