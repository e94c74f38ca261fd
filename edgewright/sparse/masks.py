"""Zeros among the weights of a network that keeps its shape: which, held how, and what they are worth.

Decides which weights go: the smallest of all (`unstructured`), or two of every four that one output reads side by side
(`two_of_four`, the form that some accelerators multiply faster: Mishra et al. 2021, arXiv 2104.08378). A processor's
runtime computes zeros as it computes anything else; what is saved is bytes, and only once the file is compressed.
Refuses a share outside (0, 1).

>>> layer = nn.Conv2d(4, 1, 1)
>>> bool(two_of_four(layer.weight).sum() == 2)
True
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgewright.errors import InputError

Masks = dict[str, Tensor]
"""Parameter name => bool of its shape: what stays."""
_IN_FOUR = 4


@dataclass(frozen=True)
class Zeros:
    """What a mask did to a network's weights.

    Attributes:
        zeros: share of all weights, in [0, 1].
        stored_bytes: of the weights as they are; zeros are numbers too.
        compressed_bytes: by deflate (zlib, level 9), as in a zipped file or an HTTP transfer.
    """

    zeros: float
    stored_bytes: int
    compressed_bytes: int


def maskable(module: nn.Module) -> dict[str, Tensor]:
    """Weights by name that a mask may take from: of convolutions that mix channels, and of linear layers, where they
    learn (a YOLO's boxes are read by a convolution whose weights are constants)."""
    return {
        f"{name}.weight": part.weight
        for name, part in module.named_modules()
        if (isinstance(part, nn.Linear) or (isinstance(part, nn.Conv2d) and part.groups == 1))
        and part.weight.requires_grad
    }


def unstructured(module: nn.Module, *, share: float) -> Masks:
    """Masks without the smallest `share` of all maskable weights, by magnitude over the whole network.

    Raises:
        InputError: a share outside (0, 1).
    """
    if not 0 < share < 1:
        raise InputError("not a share of weights", expected="more than 0, less than 1", got=share)
    weights = maskable(module)
    sizes = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
    limit = sizes.kthvalue(max(1, round(share * len(sizes)))).values
    return {name: weight.detach().abs() > limit for name, weight in weights.items()}


def two_of_four(weight: Tensor) -> Tensor:
    """The two largest of every four inputs of an output, at each place of its kernel.

    Args:
        weight: (out, in, …), `in` a multiple of 4.
    """
    groups = weight.detach().abs().movedim(1, -1)
    groups = groups.reshape(*groups.shape[:-1], -1, _IN_FOUR)
    kept = torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, groups.topk(2, dim=-1).indices, True)
    return kept.flatten(-2).movedim(-1, 1)


def two_of_four_everywhere(module: nn.Module) -> Masks:
    """Masks of every maskable weight whose inputs come in fours."""
    return {name: two_of_four(weight) for name, weight in maskable(module).items() if weight.shape[1] % _IN_FOUR == 0}


def hold(module: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set what goes to zero, and keep it there: its gradients are zero from now on.

    With any optimizer whose step is zero where gradient, momentum and weight are (SGD, Adam, AdamW).
    """
    parameters = dict(module.named_parameters())
    for name, mask in masks.items():
        parameter = parameters[name]
        with torch.no_grad():
            parameter.mul_(mask)
        parameter.register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient.device))


def zeros_in(module: nn.Module) -> Zeros:
    """What stands in a network's maskable weights."""
    weights = [weight.detach().cpu().contiguous() for weight in maskable(module).values()]
    total = sum(weight.numel() for weight in weights)
    payload = b"".join(weight.numpy().tobytes() for weight in weights)
    return Zeros(
        zeros=sum(int((weight == 0).sum()) for weight in weights) / max(1, total),
        stored_bytes=len(payload),
        compressed_bytes=len(zlib.compress(payload, level=9)),
    )
