"""A feature space learnt from the user's own real training pictures, without labels: VICReg on tiles.

Decides the network (`random`'s, with normalization and more channels) and the task: two views of one tile must agree,
while every dimension keeps its variance and none repeats another (Bardes, Ponce & LeCun 2022, arXiv 2105.04906, eq.
1-6). Views differ by crop, flip, light and color, never by blur or noise: what a view may change, the space does not
see. Refuses too few tiles. It has seen T and not H, so T lies a little better in it than any new picture; ratios to
(T, H) are conservative by that much.

    extractor = train_extractor(train_tiles, steps=200, seed=[0])
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgewright.errors import InputError
from edgewright.gates.features import require_tiles
from edgewright.gates.metrics import Features
from edgewright.gates.tiles import Tiles

if TYPE_CHECKING:
    from torch import Tensor

_CHANNELS = (3, 24, 48, 96)
_EXPANDED = 128
_BATCH = 48
_LEARNING_RATE = 2e-3
_INVARIANCE, _VARIANCE, _COVARIANCE = 25.0, 25.0, 1.0  # the paper's lambda, mu, nu
_MIN_TILES = 16
_Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class TrainedNetwork:
    """Three 3 × 3 convolutions of stride 2, each with group normalization and ReLU; mean and deviation of every
    channel at every depth, as the random network's. `weights` by name."""

    weights: _Weights

    @property
    def digest(self) -> str:
        """SHA-256 of the weights: 64 hex digits."""
        state = hashlib.sha256(f"ssl {_CHANNELS} group norm mean+std".encode())
        for name in sorted(self.weights):
            state.update(self.weights[name].tobytes())
        return state.hexdigest()

    def __call__(self, tiles: Tiles) -> Features:
        import torch

        require_tiles(tiles)
        tensors = {name: torch.from_numpy(value) for name, value in self.weights.items()}
        with torch.inference_mode():
            batches = [
                _pooled(_floats(tiles[start : start + _BATCH]), tensors).double().numpy()
                for start in range(0, len(tiles), _BATCH)
            ]
        return np.concatenate(batches) if batches else np.empty((0, 2 * sum(_CHANNELS[1:])))


def train_extractor(tiles: Tiles, *, steps: int, seed: Sequence[int]) -> TrainedNetwork:
    """Deterministic: the same tiles, steps, seed and threads give the same digest.

    Raises:
        InputError: fewer than 16 tiles, or not a stack of pictures.
    """
    import torch

    require_tiles(tiles)
    if len(tiles) < _MIN_TILES:
        raise InputError("too few tiles to learn features from", expected=f">= {_MIN_TILES}", got=len(tiles))
    rng = np.random.default_rng(list(seed))
    weights = {name: torch.from_numpy(value).requires_grad_() for name, value in _initial(rng).items()}
    optimizer = torch.optim.AdamW(weights.values(), lr=_LEARNING_RATE, weight_decay=1e-4)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        batch = _floats(tiles[rng.permutation(len(tiles))[: min(_BATCH, len(tiles))]])
        loss = vicreg_loss(*(_expanded(_view(batch, rng), weights) for _ in range(2)))
        if not torch.isfinite(loss):
            raise InputError("ssl features: the loss is not finite", got=float(loss), where=f"step {step}")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    kept = {name: value.detach().numpy() for name, value in weights.items() if not name.startswith("head")}
    return TrainedNetwork(kept)


def vicreg_loss(a: Tensor, b: Tensor) -> Tensor:
    """(N, D) of two views => `λ s(a, b) + μ (v(a) + v(b)) + ν (c(a) + c(b))`; 0 only for equal, spread, uncorrelated
    dimensions."""
    invariance = (a - b).square().mean()
    regular = [_VARIANCE * _variance_gap(z) + _COVARIANCE * _covariance(z) for z in (a, b)]
    return _INVARIANCE * invariance + regular[0] + regular[1]


def _variance_gap(z: Tensor) -> Tensor:
    """`mean_d max(0, 1 - √(var + 1e-4))`."""
    return (1 - (z.var(dim=0) + 1e-4).sqrt()).relu().mean()


def _covariance(z: Tensor) -> Tensor:
    """`Σ_{i≠j} C_ij² / D`."""
    centered = z - z.mean(dim=0)
    squared = (centered.T @ centered / (len(z) - 1)).square()
    return (squared.sum() - squared.diagonal().sum()) / z.shape[1]


def _initial(rng: np.random.Generator) -> _Weights:
    """He-scaled convolutions, unit gains, and an expander of two layers."""
    weights: _Weights = {}
    for index in range(len(_CHANNELS) - 1):
        fan_in, fan_out = _CHANNELS[index], _CHANNELS[index + 1]
        weights[f"conv{index}"] = rng.normal(0, np.sqrt(2 / (9 * fan_in)), (fan_out, fan_in, 3, 3)).astype(np.float32)
        weights[f"gain{index}"] = np.ones(fan_out, np.float32)
        weights[f"bias{index}"] = np.zeros(fan_out, np.float32)
    width = 2 * sum(_CHANNELS[1:])
    weights["head0"] = rng.normal(0, np.sqrt(2 / width), (_EXPANDED, width)).astype(np.float32)
    weights["head1"] = rng.normal(0, np.sqrt(2 / _EXPANDED), (_EXPANDED, _EXPANDED)).astype(np.float32)
    return weights


def _pooled(images: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """NCHW float32 => (N, 2 · ΣC)."""
    import torch
    from torch.nn.functional import conv2d, group_norm

    found = []
    for index in range(len(_CHANNELS) - 1):
        images = conv2d(images, weights[f"conv{index}"], stride=2, padding=1)
        images = group_norm(images, 8, weights[f"gain{index}"], weights[f"bias{index}"]).relu()
        mean = images.mean(dim=(2, 3))
        variance = images.square().mean(dim=(2, 3)) - mean.square()
        found += [mean, (variance.clamp(min=0) + 1e-8).sqrt()]
    return torch.cat(found, dim=1)


def _expanded(images: Tensor, weights: dict[str, Tensor]) -> Tensor:
    from torch.nn.functional import linear

    return linear(linear(_pooled(images, weights), weights["head0"]).relu(), weights["head1"])


def _view(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Crop to 60-100 % of the side, flips, and light and color by ± 20 %, one draw a batch for the crop."""
    import torch
    from torch.nn.functional import interpolate

    side = images.shape[-1]
    kept = int(rng.integers(round(0.6 * side), side + 1))
    y, x = (int(value) for value in rng.integers(0, side - kept + 1, size=2))
    view = interpolate(images[:, :, y : y + kept, x : x + kept], size=(side, side), mode="bilinear")
    flips = torch.from_numpy(rng.random((2, len(images))) < 0.5)
    view = torch.where(flips[0][:, None, None, None], view.flip(3), view)
    view = torch.where(flips[1][:, None, None, None], view.flip(2), view)
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (len(images), 3, 1, 1)).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-0.2, 0.2, (len(images), 1, 1, 1)).astype(np.float32))
    return view * gain + shift


def _floats(tiles: Tiles) -> Tensor:
    """NHWC uint8 [0, 255] => NCHW float32 [-1, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(tiles.transpose(0, 3, 1, 2))).float() / 127.5 - 1.0
