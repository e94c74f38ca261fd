"""What a training shows, in which mixture and how often. Pure.

Decides the list of pictures that makes an epoch. Without `steps` it is every picture once, and those with rare classes
more often (`repeats`). With `steps` an epoch has a fixed number of batches, and pictures stand in its list as often as
that takes: two trainings with the same `steps`, `epochs` and `batch` then make the same number of optimizer steps of
the same size, whether they have 25 photographs or 25 photographs and 400 synthetic pictures, and nothing but the
pictures differs between them.

>>> config = TrainDetectorConfig(steps=4, epochs=2, batch=2, real_share=0.5)
>>> shown([False, False, True], config, factors=[1, 1, 1], seed=0)
[0, 1, 2, 2]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.recipe.detect import TrainDetectorConfig

STRONG = {
    "degrees": 10.0,
    "translate": 0.2,
    "scale": 0.7,
    "hsv_h": 0.03,
    "hsv_s": 0.9,
    "hsv_v": 0.6,
}
"""`augmentation: strong`, by ultralytics' names: up to twice the library's defaults, and rotation, which has none."""


def shown(synthetic: Sequence[bool], config: TrainDetectorConfig, *, factors: Sequence[float], seed: int) -> list[int]:
    """Indices of pictures that make one epoch, ascending; every index is there where the epoch is long enough.

    Args:
        synthetic: for each picture whether no person labeled it.
        factors: how often each is shown, compared with the others of its kind.
    """
    kinds = [[i for i, made in enumerate(synthetic) if made is kind] for kind in (False, True)]
    total = batches_per_epoch(config) * config.batch if config.steps is not None else round(sum(factors))
    if config.real_share is None or not all(kinds):
        return sorted(_repeat(range(len(synthetic)), total, factors=factors, seed=seed))
    n_real = round(total * config.real_share)
    shares = zip(kinds, (n_real, total - n_real), strict=True)
    return sorted(index for kind, count in shares for index in _repeat(kind, count, factors=factors, seed=seed))


def batches_per_epoch(config: TrainDetectorConfig) -> int:
    """Of a training with `steps`: at least one."""
    return max(1, round((config.steps or 0) / config.epochs))


def augmentation_settings(config: TrainDetectorConfig) -> dict[str, Any]:
    """Ultralytics' settings that `augmentation` stands for; the library's own defaults where it is `usual`."""
    return dict(STRONG) if config.augmentation == "strong" else {}


def _repeat(indices: Sequence[int], total: int, *, factors: Sequence[float], seed: int) -> list[int]:
    """`total` of the indices in proportion to their factors; what is left over goes to the largest remainders, drawn
    among equals."""
    weights = np.array([factors[index] for index in indices])
    exact = total * weights / weights.sum()
    counts = np.floor(exact + 1e-9).astype(int)
    drawn = np.random.default_rng([seed, len(indices)]).permutation(len(indices))
    order = drawn[np.argsort(-(exact - counts).round(9)[drawn], kind="stable")]
    counts[order[: total - counts.sum()]] += 1
    return [index for index, count in zip(indices, counts.tolist(), strict=True) for _ in range(count)]
