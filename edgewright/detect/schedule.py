"""What a training shows, in which mixture and how often. Pure.

Decides the list of pictures that makes an epoch. Without `steps` it is every picture once, as is usual. With `steps` an
epoch has a fixed number of batches, and pictures stand in its list as often as that takes: two trainings with the same
`steps`, `epochs` and `batch` then make the same number of optimizer steps of the same size, whether they have 25
photographs or 25 photographs and 400 synthetic pictures, and nothing but the pictures differs between them.

>>> config = TrainDetectorConfig(steps=4, epochs=2, batch=2, real_share=0.5)
>>> shown(["a", "b", "c"], [False, False, True], config, seed=0)
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


def shown(ids: Sequence[str], synthetic: Sequence[bool], config: TrainDetectorConfig, *, seed: int) -> list[int]:
    """Indices into `ids` that make one epoch, ascending; every index is there where the epoch is long enough."""
    real, made = ([i for i in range(len(ids)) if synthetic[i] is kind] for kind in (False, True))
    total = batches_per_epoch(config) * config.batch if config.steps is not None else len(ids)
    if config.real_share is None or not made or not real:
        return sorted(_repeat([*real, *made], total, seed=seed))
    n_real = round(total * config.real_share)
    return sorted([*_repeat(real, n_real, seed=seed), *_repeat(made, total - n_real, seed=seed)])


def batches_per_epoch(config: TrainDetectorConfig) -> int:
    """Of a training with `steps`: at least one."""
    return max(1, round((config.steps or 0) / config.epochs))


def augmentation_settings(config: TrainDetectorConfig) -> dict[str, Any]:
    """Ultralytics' settings that `augmentation` stands for; the library's own defaults where it is `usual`."""
    return dict(STRONG) if config.augmentation == "strong" else {}


def _repeat(indices: Sequence[int], total: int, *, seed: int) -> list[int]:
    """`total` of the indices: all of them as often as goes, the rest drawn without replacement."""
    whole, rest = divmod(total, len(indices)) if indices else (0, 0)
    extra = np.random.default_rng([seed, len(indices)]).permutation(len(indices))[:rest]
    return [*indices] * whole + [indices[int(i)] for i in extra]
