"""A feature space learned from the user's own real training pictures, without labels: VICReg on tiles.

Decides the network (`random`'s, with normalization and more channels) and the task: two views of one tile must agree,
while every dimension keeps its variance and none repeats another (Bardes, Ponce & LeCun 2022, arXiv 2105.04906, eq.
1-6). Views differ by crop, flip, light and color, never by blur or noise: what a view may change, the space does not
see. Refuses too few tiles. It has seen T and not H, so T lies a little better in it than any new picture; ratios to
(T, H) are conservative by that much.

    extractor = train_extractor(train_tiles, steps=200, seed=[0])
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, group_norm, interpolate, linear

from edgewright.errors import InputError
from edgewright.gates.measure.metrics import Features
from edgewright.gates.measure.tiles import Tiles
from edgewright.gates.spaces.features import require_tiles
from edgewright.learning.descent import Descent, Forward, OneNetwork
from edgewright.learning.loop import train
from edgewright.learning.rates import half_cosine
from edgewright.learning.streams import NumpyStream

_CHANNELS = (3, 24, 48, 96)
_EXPANDED = 128
_BATCH = 48
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-4
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
        require_tiles(tiles)
        tensors = {name: torch.from_numpy(value) for name, value in self.weights.items()}
        with torch.inference_mode():
            batches = [
                _pooled(_floats(tiles[start : start + _BATCH]), tensors).double().numpy()
                for start in range(0, len(tiles), _BATCH)
            ]
        return np.concatenate(batches) if batches else np.empty((0, 2 * sum(_CHANNELS[1:])))


class Expander(nn.Module):
    """NCHW float32 [-1, 1] => (N, 128), which the loss is taken of; after training its two last layers are left out."""

    def __init__(self, weights: _Weights) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({name: torch.from_numpy(value) for name, value in weights.items()})

    def forward(self, images: Tensor) -> Tensor:
        pooled = _pooled(images, dict(self.weights.items()))
        return linear(linear(pooled, self.weights["head0"]).relu(), self.weights["head1"])


class Vicreg(OneNetwork[tuple[Tensor, Tensor]]):
    """Learns from two views of the same tiles. On the CPU: the network is small, and its numbers are then the same."""

    name = "ssl network"
    next_step = "set gate_data.features=random, and look at the train pictures"

    def __init__(self, tiles: Tiles, *, steps: int, seed: Sequence[int]) -> None:
        self._tiles, self._rng = tiles, np.random.default_rng(list(seed))
        self.expander = Expander(_initial(self._rng))
        rate = partial(half_cosine, steps=steps)
        super().__init__(
            self.expander,
            Descent(_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, rate=rate),
            streams={"rng": NumpyStream(self._rng)},
        )

    def draw(self, _: int) -> tuple[Tensor, Tensor]:
        chosen = self._rng.permutation(len(self._tiles))[: min(_BATCH, len(self._tiles))]
        batch = _floats(self._tiles[chosen])
        return _view(batch, self._rng), _view(batch, self._rng)

    def loss(self, forward: Forward, batch: tuple[Tensor, Tensor]) -> Tensor:
        return vicreg_loss(*(forward(view) for view in batch))


def train_extractor(tiles: Tiles, *, steps: int, seed: Sequence[int]) -> TrainedNetwork:
    """Deterministic: the same tiles, steps, seed and threads give the same digest.

    Raises:
        InputError: fewer than 16 tiles, or not a stack of pictures.
        StageFailed: the loss is not finite; names the step.
    """
    require_tiles(tiles)
    if len(tiles) < _MIN_TILES:
        raise InputError("too few tiles to learn features from", expected=f">= {_MIN_TILES}", got=len(tiles))
    method = Vicreg(tiles, steps=steps, seed=seed)
    train(method, steps=steps)
    return TrainedNetwork(_features_of(method.expander))


def _features_of(expander: Expander) -> _Weights:
    """By name, without the last two layers."""
    kept = {name: value.detach().numpy() for name, value in expander.weights.items()}
    return {name: value for name, value in kept.items() if not name.startswith("head")}


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


def _pooled(images: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """NCHW float32 => (N, 2 · ΣC)."""
    found = []
    for index in range(len(_CHANNELS) - 1):
        images = conv2d(images, weights[f"conv{index}"], stride=2, padding=1)
        images = group_norm(images, 8, weights[f"gain{index}"], weights[f"bias{index}"]).relu()
        mean = images.mean(dim=(2, 3))
        variance = images.square().mean(dim=(2, 3)) - mean.square()
        found += [mean, (variance.clamp(min=0) + 1e-8).sqrt()]
    return torch.cat(found, dim=1)


def _view(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Crop to 60-100 % of the side, flips, and light and color by ± 20 %, one draw a batch for the crop."""
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
    return torch.from_numpy(np.ascontiguousarray(tiles.transpose(0, 3, 1, 2))).float() / 127.5 - 1.0
