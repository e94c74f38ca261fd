"""Feature spaces in which the data gate compares pictures.

Decides what a feature vector is. The default kind, `random`, is a small convolutional network with random weights:
Naeem et al. 2020 (arXiv 2002.09797) recommend it for pictures unlike ImageNet, it needs no download, and its weights
come from a seed by numpy, so that the space is the same everywhere. Several seeds are several spaces; the gate takes
the median. Random networks see texture, color and layout; they hardly see blur and noise, which is why `spectrum.py`
stands beside them. Refuses to normalize by channels that are dead: a ReLU that hardly ever fires has a tiny deviation,
and dividing by it blows distances up; such channels are dropped.

    extractor = random_extractor(seed=0)
    space = fit_space(extractor(train_tiles), dimensions=16)
    features = space.project(extractor(other_tiles))          # (N, 16) float64
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgewright.errors import InputError
from edgewright.gates.measure.metrics import Features
from edgewright.gates.measure.tiles import Tiles

_CHANNELS = (3, 16, 32, 64)
_KERNEL_PX = 3
_BATCH = 256
DEAD_SHARE = 0.02
"""A channel whose deviation is below this share of the median channel's is dropped."""
CLIP_DEVIATIONS = 4.0
"""Standardized channels are clipped here: or one odd tile, cubed by the kernel of KID, outweighs a hundred pictures."""


class FeatureExtractor(Protocol):
    """(N, S, S, 3) uint8 RGB => (N, D) float64. The same digest means the same function."""

    @property
    def digest(self) -> str: ...

    def __call__(self, tiles: Tiles) -> Features: ...


@dataclass(frozen=True)
class RandomNetwork:
    """Three 3 × 3 convolutions of stride 2 with ReLU; mean and deviation over the tile of every channel at every depth.

    Attributes:
        weights: (out, in, 3, 3) float32 a layer, He-scaled normal numbers.
    """

    weights: tuple[npt.NDArray[np.float32], ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the weights: 64 hex digits."""
        state = hashlib.sha256(f"random {_CHANNELS} {_KERNEL_PX} mean+std".encode())
        for weight in self.weights:
            state.update(weight.tobytes())
        return state.hexdigest()

    def __call__(self, tiles: Tiles) -> Features:
        require_tiles(tiles)
        batches = [self._pooled(tiles[start : start + _BATCH]) for start in range(0, len(tiles), _BATCH)]
        width = 2 * sum(_CHANNELS[1:])
        return np.concatenate(batches) if batches else np.empty((0, width))

    def _pooled(self, tiles: Tiles) -> Features:
        import torch
        from torch.nn.functional import conv2d

        # NHWC uint8 [0, 255] => NCHW float32 [-1, 1]
        activation = torch.from_numpy(np.ascontiguousarray(tiles.transpose(0, 3, 1, 2))).float() / 127.5 - 1.0
        pooled = []
        with torch.inference_mode():
            for weight in self.weights:
                activation = conv2d(activation, torch.from_numpy(weight), stride=2, padding=1).relu()
                mean = activation.mean(dim=(2, 3))
                variance = activation.square().mean(dim=(2, 3)) - mean.square()
                pooled += [mean, variance.clamp(min=0).sqrt()]
            return np.asarray(torch.cat(pooled, dim=1).numpy(), dtype=np.float64)


def random_extractor(*, seed: int) -> RandomNetwork:
    rng = np.random.default_rng(seed)
    layers = []
    for fan_in, fan_out in pairwise(_CHANNELS):
        deviation = np.sqrt(2.0 / (fan_in * _KERNEL_PX**2))
        layers.append(rng.normal(0.0, deviation, size=(fan_out, fan_in, _KERNEL_PX, _KERNEL_PX)).astype(np.float32))
    return RandomNetwork(tuple(layers))


def require_tiles(tiles: Tiles) -> None:
    """Raises InputError for anything but (N, S, S, 3) uint8."""
    if tiles.ndim != 4 or tiles.shape[3] != 3 or tiles.dtype != np.uint8:
        raise InputError("not a stack of pictures", expected="(N, S, S, 3) uint8", got=f"{tiles.shape} {tiles.dtype}")


def embedding_digest(extractors: Sequence[FeatureExtractor]) -> str:
    """One digest of all spaces, in order: stands in the evidence, so that two verdicts can be compared."""
    return hashlib.sha256(" ".join(extractor.digest for extractor in extractors).encode()).hexdigest()


@dataclass(frozen=True)
class FeatureSpace:
    """Standardization and principal axes, fitted to real training tiles alone: what is judged has no say in the ruler.

    Attributes:
        live: (D,) bool, the channels that are not dead.
        mean, deviation: (L,) of the live channels.
        axes: (L, d) orthogonal columns, largest variance first, scaled so that the mean squared norm of a projected
            training tile is d: the scale that the kernel of KID expects.
    """

    live: npt.NDArray[np.bool_]
    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]

    def project(self, raw: Features) -> Features:
        """(N, D) => (N, d). Raises InputError for another width or numbers that are not finite."""
        if raw.ndim != 2 or raw.shape[1] != len(self.live):
            raise InputError("features of another width", expected=len(self.live), got=raw.shape)
        if not np.isfinite(raw).all():
            raise InputError("features that are not finite numbers")
        return np.asarray(_standard(raw[:, self.live], self.mean, self.deviation) @ self.axes)


def fit_space(raw: Features, *, dimensions: int) -> FeatureSpace:
    """Raises InputError where all pictures are alike (no channel varies) or a number is not finite."""
    if not np.isfinite(raw).all():
        raise InputError("features that are not finite numbers")
    deviation = raw.std(axis=0)
    live = deviation > max(DEAD_SHARE * float(np.median(deviation)), 1e-9)
    if len(raw) < 2 or not live.any():
        raise InputError("the pictures are all alike: there is no feature space to compare in", got=len(raw))
    mean = raw[:, live].mean(axis=0)
    standard = _standard(raw[:, live], mean, deviation[live])
    axes = np.linalg.svd(standard, full_matrices=False)[2][:dimensions].T
    scale = np.sqrt(axes.shape[1] / np.square(standard @ axes).sum(axis=1).mean())
    return FeatureSpace(live, mean, deviation[live], axes * scale)


def _standard(live: Features, mean: Features, deviation: Features) -> Features:
    return np.asarray(np.clip((live - mean) / deviation, -CLIP_DEVIATIONS, CLIP_DEVIATIONS))
