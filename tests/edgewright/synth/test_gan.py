"""The GAN's networks, losses and augmentation, on hand-made tensors."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.synth.networks.augment import apart, diff_augment, joint, told_augment
from edgewright.synth.networks.losses import discriminator_loss, generator_loss, gradient_penalties, gradient_penalty
from edgewright.synth.networks.nets import Discriminator, Generator, NetShape, from_pixels, to_pixels


@pytest.mark.parametrize("side_px", get_args(TrainGeneratorConfig.model_fields["side_px"].annotation))
def test_shapes(side_px: int) -> None:
    shape = NetShape(side_px, 8, 8, 2)
    made = Generator(shape)(torch.randn(3, 8), torch.tensor([0, 1, 1]))
    assert made.shape == (3, 4, side_px, side_px)
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


def test_the_penalties_of_one_pass_are_those_of_two() -> None:
    real, fake = torch.randn(5, 4, 8, 8), torch.randn(5, 4, 8, 8)
    pairs = torch.cat([real, fake]).requires_grad_()
    apart_ = [images.clone().requires_grad_() for images in (real, fake)]
    expected = [gradient_penalty(images.pow(3).sum(dim=(1, 2, 3)), images) for images in apart_]
    penalties = gradient_penalties(pairs.pow(3).sum(dim=(1, 2, 3)), pairs)
    torch.testing.assert_close(list(penalties), expected)


def test_augmentation_is_differentiable_reproducible_and_leaves_opacity_uncolored() -> None:
    crops = torch.rand(6, 4, 32, 32, requires_grad=True)
    first, second = (diff_augment(crops, torch.Generator().manual_seed(4)) for _ in range(2))
    assert (first == second).all() and first.shape == crops.shape
    first.sum().backward()
    assert crops.grad is not None and crops.grad.abs().sum() > 0
    opacity = set(first[:, 3].detach().flatten().tolist())
    assert opacity <= {0.0, *crops[:, 3].detach().flatten().tolist()}


def test_a_layout_moves_with_its_picture_and_keeps_its_colors() -> None:
    images, layout = torch.rand(40, 3, 16, 16), torch.zeros(40, 2, 16, 16)
    layout[:, 0, 4:9, 5:11] = 1
    images[:, 0] += 3 * layout[:, 0]  # the object is the brightest red
    moved, where = apart(diff_augment(joint(images, layout), torch.Generator().manual_seed(0)), layout)
    assert set(where.unique().tolist()) == {0.0, 1.0}
    changed = (where != layout).flatten(1).any(dim=1)
    assert 5 < int(changed.sum()) < 30
    for image, place in zip(moved[changed], where[changed], strict=True):
        if place[0].any():
            assert image[0][place[0] > 0].mean() > image[0][place[0] == 0].mean() + 1


def test_told_augmentation_says_which_examples_it_changed_and_cuts_nothing_out() -> None:
    images = torch.rand(40, 4, 16, 16) * 0.5 + 0.5
    seen, changed = told_augment(images, torch.Generator().manual_seed(0))
    assert 8 < int(changed.sum()) < 25
    assert (seen[~changed] == images[~changed]).all()
    assert (seen[changed] != images[changed]).flatten(1).any(dim=1).all()
    assert seen[:, 3].min() >= 0.5
