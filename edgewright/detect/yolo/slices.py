"""A wider network of the same topology cut to a slimmer one: which channels are kept, and their weights.

Decides importance by the scale of a channel's batch norm, |gamma| (Liu et al. 2017, arXiv 1708.06519, §3): of every
convolution as many of the largest are kept as the slim graph has, and what reads them keeps the same. Channels that are
added to one another keep the same places. The classes' last convolutions stay as they are: they know other classes.
Refuses networks whose layers differ in kind or in what they read.

Law: where the channels that are left out are dead (gamma and beta 0), the slim features equal the wide ones.

    weights = sliced(wide, slim)
    slim.load_state_dict(weights, strict=False)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from edgewright.errors import InputError

Kept = Tensor
"""(n,) int64: which of the wide network's channels a tensor still has, ascending."""


def sliced(wide: Any, slim: Any) -> dict[str, Tensor]:
    """Weights for `slim` by its own names. Raises InputError for another topology, or a wide one that is narrower."""
    _require_same_topology(wide, slim)
    found: dict[str, Tensor] = {}
    outputs: list[Kept] = []
    widths: list[int] = []
    for index, (big, small) in enumerate(zip(wide.model, slim.model, strict=True)):
        sources = [small.f] if isinstance(small.f, int) else list(small.f)
        inputs = [outputs[at] if outputs else torch.arange(3) for at in sources]
        name, kind = f"model.{index}.", type(small).__name__
        if kind == "Concat":
            offsets = [0, *torch.tensor([widths[at] for at in sources]).cumsum(0).tolist()]
            kept = torch.cat([one + offset for one, offset in zip(inputs, offsets, strict=False)])
            width = offsets[-1]
        elif kind == "Upsample":
            kept, width = inputs[0], widths[sources[0]]
        elif kind == "Detect":
            found |= dict(_detect(big, small, inputs, name))
            break
        else:
            kept, weights = _LAYERS[kind](big, small, inputs[0], name)
            found |= weights
            width = _width(big)
        outputs.append(kept)
        widths.append(width)
    return found


def _require_same_topology(wide: Any, slim: Any) -> None:
    kinds = [[(type(layer).__name__, layer.f) for layer in one.model] for one in (wide, slim)]
    known = {"Concat", "Upsample", "Detect", *_LAYERS}
    if kinds[0] != kinds[1] or not {kind for kind, _ in kinds[1]} <= known:
        raise InputError(
            "weights of another graph: it cannot be cut to this one",
            expected=f"{len(kinds[1])} layers of the same kinds, of {', '.join(sorted(known))}",
            got=f"{len(kinds[0])} layers: {', '.join(sorted({kind for kind, _ in kinds[0]}))}",
            next_step="name a model of the same graph, or init=none",
        )


def _conv(big: Any, small: Any, inputs: Kept, name: str, *, kept: Kept | None = None) -> tuple[Kept, dict[str, Tensor]]:
    """Convolution and batch norm; `kept` where another layer says which channels must stay."""
    if kept is None:
        kept = _largest(big.bn.weight, small.conv.out_channels)
    weights = {f"{name}conv.weight": big.conv.weight.detach()[kept][:, inputs].clone()}
    for part in ("weight", "bias", "running_mean", "running_var"):
        weights[f"{name}bn.{part}"] = getattr(big.bn, part).detach()[kept].clone()
    return kept, weights


def _c3(big: Any, small: Any, inputs: Kept, name: str) -> tuple[Kept, dict[str, Tensor]]:
    first, found = _conv(big.cv1, small.cv1, inputs, f"{name}cv1.")
    second, weights = _conv(big.cv2, small.cv2, inputs, f"{name}cv2.")
    found |= weights
    for index, (block, own) in enumerate(zip(big.m, small.m, strict=True)):
        inside, weights = _conv(block.cv1, own.cv1, first, f"{name}m.{index}.cv1.")
        found |= weights
        first, weights = _conv(block.cv2, own.cv2, inside, f"{name}m.{index}.cv2.", kept=first if own.add else None)
        found |= weights
    joined = torch.cat([first, second + big.cv1.conv.out_channels])
    kept, weights = _conv(big.cv3, small.cv3, joined, f"{name}cv3.")
    return kept, found | weights


def _sppf(big: Any, small: Any, inputs: Kept, name: str) -> tuple[Kept, dict[str, Tensor]]:
    inside, found = _conv(big.cv1, small.cv1, inputs, f"{name}cv1.")
    width = big.cv1.conv.out_channels
    repeats = big.cv2.conv.in_channels // width
    joined = torch.cat([inside + time * width for time in range(repeats)])
    kept, weights = _conv(big.cv2, small.cv2, joined, f"{name}cv2.")
    return kept, found | weights


_LAYERS: dict[str, Any] = {"Conv": _conv, "C3": _c3, "SPPF": _sppf}


def _detect(big: Any, small: Any, inputs: list[Kept], name: str) -> Iterator[tuple[str, Tensor]]:
    """Both branches at every level, without the last convolution of the classes."""
    for branch in ("cv2", "cv3"):
        for level, (wide, slim) in enumerate(zip(getattr(big, branch), getattr(small, branch), strict=True)):
            kept = inputs[level]
            for index, (one, own) in enumerate(zip(wide, slim, strict=True)):
                place = f"{name}{branch}.{level}.{index}."
                if isinstance(own, nn.Conv2d):
                    if branch == "cv2":
                        yield f"{place}weight", one.weight.detach()[:, kept].clone()
                        yield f"{place}bias", one.bias.detach().clone()
                    continue
                kept, weights = _conv(one, own, kept, place)
                yield from weights.items()
    yield f"{name}dfl.conv.weight", big.dfl.conv.weight.detach().clone()


def _largest(gamma: Tensor, count: int) -> Kept:
    if count > len(gamma):
        raise InputError(
            "weights of a narrower graph: there is nothing to cut",
            expected=f"at least {count} channels",
            got=len(gamma),
            next_step="name a wider model of the same graph, or lower train_detector.width",
        )
    order = torch.argsort(gamma.detach().abs(), descending=True, stable=True)
    return order[:count].sort().values


def _width(layer: Any) -> int:
    """Channels that go out of one of `_LAYERS`."""
    last = {"Conv": lambda: layer, "C3": lambda: layer.cv3, "SPPF": lambda: layer.cv2}[type(layer).__name__]()
    return int(last.conv.out_channels)
