"""A wide network cut to a slim one: what was alive stays, number by number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgewright.detect.yolo.graphs import find_graph, slim_graph
from edgewright.detect.yolo.network import build_module
from edgewright.detect.yolo.slices import sliced
from edgewright.errors import InputError


def network(width: float, *, n_classes: int, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    module = build_module(slim_graph(width=width, n_classes=n_classes), n_classes=n_classes)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.1)
            part.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return module.eval()


def kill_all_but(wide: Any, slim: Any) -> None:
    """Channels that the slim one has no room for say nothing: gamma and beta 0. What is added keeps the same places."""
    pairs = zip(wide.named_modules(), slim.named_modules(), strict=True)
    for (_, big), (_, small) in pairs:
        if isinstance(big, nn.BatchNorm2d):
            alive = torch.randperm(len(big.weight))[: len(small.weight)]
            mask = torch.zeros(len(big.weight)).index_fill_(0, alive, 1.0)
            big.weight.data *= mask
            big.bias.data *= mask
    for big in wide.modules():
        if type(big).__name__ == "C3" and big.m[0].add:
            mask = (big.cv1.bn.weight.data != 0).float()
            for block in big.m:
                for value in (block.cv2.bn.weight.data, block.cv2.bn.bias.data):
                    value[:] = (value + 0.7 * (value == 0)) * mask


def test_where_the_rest_is_dead_the_features_are_equal() -> None:
    wide, slim = network(0.25, n_classes=5), network(0.1875, n_classes=3, seed=1)
    kill_all_but(wide, slim)
    result = slim.load_state_dict(sliced(wide, slim), strict=False)
    assert not result.unexpected_keys
    assert all(
        (".cv3." in name and name.rsplit(".", 2)[1] == "2") or "num_batches" in name for name in result.missing_keys
    )
    images = torch.rand(1, 3, 64, 64)
    seen: dict[str, list[torch.Tensor]] = {"wide": [], "slim": []}
    for name, module in (("wide", wide), ("slim", slim)):
        for branch in module.model[-1].cv2:
            branch.register_forward_hook(lambda _m, _i, output, to=seen[name]: to.append(output))
        with torch.no_grad():
            module(images)
    for big, small in zip(seen["wide"], seen["slim"], strict=True):
        torch.testing.assert_close(small, big, rtol=1e-3, atol=1e-3)


def test_the_same_width_is_a_copy_but_for_the_classes() -> None:
    wide, slim = network(0.1875, n_classes=3), network(0.1875, n_classes=3, seed=1)
    for name, value in sliced(wide, slim).items():
        assert torch.equal(value, wide.state_dict()[name]), name


def test_the_most_important_channels_stay() -> None:
    wide, slim = network(0.25, n_classes=1), network(0.1875, n_classes=1)
    gamma = wide.model[0].bn.weight.detach()
    kept = sliced(wide, slim)["model.0.bn.weight"]
    assert torch.equal(kept.sort().values, gamma.sort().values[-len(kept) :])


def test_another_topology_is_refused() -> None:
    other = build_module(find_graph("yolo11n.yaml", width=1, n_classes=1), n_classes=1)
    with pytest.raises(InputError, match="weights of another graph"):
        sliced(other, network(0.1875, n_classes=1))


def test_a_narrower_one_is_refused() -> None:
    with pytest.raises(InputError, match="narrower graph"):
        sliced(network(0.125, n_classes=1), network(0.1875, n_classes=1))
