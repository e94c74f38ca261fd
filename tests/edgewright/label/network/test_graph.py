"""Both graphs answer for every pixel, and the encoder's packaged weights fit to the last one."""

from __future__ import annotations

import pytest
import torch

from edgewright.label.network.graph import BLOCKS, network_named
from edgewright.learning.efficientnet import from_published
from edgewright.learning.starts import package_start


@pytest.mark.parametrize("name", ["unet", "efficientnet"])
@pytest.mark.parametrize("side_px", [32, 48, 96])
def test_a_logit_a_class_and_pixel(name: str, side_px: int) -> None:
    net = network_named(name, n_classes=3, width=8).eval()
    with torch.inference_mode():
        assert net(torch.rand(2, 3, side_px, side_px)).shape == (2, 5, side_px, side_px)


@pytest.mark.parametrize("name", ["unet", "efficientnet"])
def test_everything_learns(name: str) -> None:
    net = network_named(name, n_classes=2, width=8)
    net(torch.rand(2, 3, 64, 64)).square().mean().backward()
    still = [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert still == []


def test_the_packaged_weights_are_the_whole_encoder() -> None:
    published = from_published(package_start().tensors, blocks=BLOCKS)
    backbone = network_named("efficientnet", n_classes=2, width=8).get_submodule("backbone")
    own = {name for name in backbone.state_dict() if not name.endswith("num_batches_tracked")}
    assert own == set(published)
    assert all(backbone.state_dict()[name].shape == value.shape for name, value in published.items())
