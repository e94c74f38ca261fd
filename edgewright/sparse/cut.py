"""Channels that matter least, taken out: a network, how many to keep => a smaller network of the same modules.

Decides importance by the norm of everything that a channel has, in shares of its layer's mean (Li et al. 2017, arXiv
1608.08710, for one filter; Fang et al. 2023, arXiv 2301.12900, for a group). What is kept of a layer is a multiple of
CHANNELS_BY, by which vector instructions read. Refuses a network of which nothing can be cut, and weights of other
shapes than the network can take.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgewright.errors import InputError
from edgewright.sparse.groups import IntArray, Layer

DoubleArray = npt.NDArray[np.float64]

CHANNELS_BY = 8


def importance(tensors: Mapping[str, Tensor], layer: Layer) -> DoubleArray:
    """(size,) of a layer's channels, 1 on average: weights alone count, for statistics have other units."""
    total = np.zeros(layer.size)
    for part in layer.slices:
        value = tensors[part.tensor].detach().double()
        if value.ndim == 1:
            continue
        square = value.square().sum(dim=[axis for axis in range(value.ndim) if axis != part.dim]).cpu().numpy()
        total += square[part.index].sum(axis=1)
    norms = np.sqrt(total)
    mean = norms.mean()
    return norms / mean if mean else norms


def kept_by_share(tensors: Mapping[str, Tensor], layers: Sequence[Layer], *, share: float) -> list[IntArray]:
    """Of every layer, the channels that stay where `share` of all goes, by their order among all layers' channels.

    No layer loses more than twice the share, rounded to CHANNELS_BY, nor its last CHANNELS_BY channels: an order over
    layers is only as fair as their norms are comparable.

    Raises:
        InputError: a share outside (0, 1), or no layer that can be cut.
    """
    if not 0 < share < 1:
        raise InputError("not a share of channels", expected="more than 0, less than 1", got=share)
    if not layers:
        raise InputError("no channel of this network can be cut")
    scores = [importance(tensors, layer) for layer in layers]
    limit = np.quantile(np.concatenate(scores), share)
    return [_most_important(score, int((score > limit).sum()), least=1 - 2 * share) for score in scores]


def _most_important(score: DoubleArray, wanted: int, *, least: float) -> IntArray:
    size = len(score)
    floor = min(size, max(CHANNELS_BY, int(np.ceil(size * max(0.0, least)))))
    n = min(size, round(max(wanted, floor) / CHANNELS_BY) * CHANNELS_BY or CHANNELS_BY)
    kept: IntArray = np.sort(np.argsort(-score, kind="stable")[:n])
    return kept


def cut(module: nn.Module, layers: Sequence[Layer], kept: Sequence[IntArray]) -> nn.Module:
    """A copy that has the kept channels alone; `module` stays as it is."""
    tensors = dict(module.state_dict())
    gone: dict[tuple[str, int], list[IntArray]] = defaultdict(list)
    for layer, stays in zip(layers, kept, strict=True):
        goes = np.setdiff1d(np.arange(layer.size), stays)
        for part in layer.slices:
            gone[part.tensor, part.dim].append(part.index[goes].reshape(-1))
    for (name, dim), indices in gone.items():
        stays = np.setdiff1d(np.arange(tensors[name].shape[dim]), np.concatenate(indices))
        tensors[name] = tensors[name].index_select(dim, torch.from_numpy(stays).to(tensors[name].device))
    smaller = copy.deepcopy(module)
    take_shapes(smaller, tensors)
    smaller.load_state_dict(tensors)
    return smaller


def take_shapes(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Make convolutions and normalizations as narrow as the tensors that they are to hold; values are not copied.

    Raises:
        InputError: a tensor that cannot be a narrower one's of this module.
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d):
            _narrow_convolution(part, tensors[f"{name}.weight"], where=name)
        elif isinstance(part, nn.BatchNorm2d):
            _narrow_normalization(part, len(tensors[f"{name}.weight"]))


def _narrow_convolution(part: nn.Conv2d, weight: Tensor, *, where: str) -> None:
    each_by_itself = part.groups == part.in_channels == part.out_channels
    out, inside, *kernel = weight.shape
    if (
        tuple(kernel) != tuple(part.kernel_size)
        or out > part.out_channels
        or inside > part.in_channels // part.groups
        or (part.groups > 1 and not each_by_itself and weight.shape != part.weight.shape)
    ):
        raise InputError(
            "not a narrower layer", expected=tuple(part.weight.shape), got=tuple(weight.shape), where=where
        )
    if weight.shape == part.weight.shape:
        return
    part.out_channels = out
    part.groups = out if each_by_itself else part.groups
    part.in_channels = inside * part.groups
    part.weight = nn.Parameter(torch.empty_like(weight), requires_grad=part.weight.requires_grad)
    if part.bias is not None:
        part.bias = nn.Parameter(part.bias.new_empty(out), requires_grad=part.bias.requires_grad)


def _narrow_normalization(part: nn.BatchNorm2d, n: int) -> None:
    if n == part.num_features:
        return
    part.num_features = n
    for name in ("weight", "bias"):
        old = getattr(part, name)
        setattr(part, name, nn.Parameter(old.new_empty(n), requires_grad=old.requires_grad))
    for name in ("running_mean", "running_var"):
        setattr(part, name, getattr(part, name).new_empty(n))


def multiplications(module: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of the convolutions and linear layers for `example`."""
    total = 0

    def count(part: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = part.weight
        assert isinstance(weight, Tensor)
        places = output.numel() // weight.shape[0]
        total += places * weight.numel()

    handles = [
        part.register_forward_hook(count) for part in module.modules() if isinstance(part, (nn.Conv2d, nn.Linear))
    ]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for handle in handles:
            handle.remove()
    return total
