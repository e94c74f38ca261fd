"""Whole pictures in feature space: is every kind of real picture there?

Decides what tiles cannot show. A tile of a dark and of a bright scene may look alike, and k-nearest-neighbor balls
around few tiles reach across modes; a picture's own descriptor tells scenes apart. Coverage is taken with as many
synthetic as held-out pictures: the more fakes there are, the more balls they hit by chance (Naeem et al. 2020, arXiv
2002.09797, figure 4). S, T and H as in `tile_metrics.py`.

    measurements = measure_whole_pictures(spaces, rounds, k=5, n=40, rng=rng)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.gates.evidence import Measurement, measured
from edgewright.gates.measure.clipped import authenticity, clipped_coverage, clipped_density, realism
from edgewright.gates.measure.metrics import Features, neighbor_radii, pairwise_distances
from edgewright.gates.measure.resample import Indices, ratio_interval, shift_interval
from edgewright.gates.measure.tile_metrics import Rounds, TileFeatures

PICTURE_DIMENSIONS = 4
"""Of a picture's descriptor: with 40 held-out pictures, balls in more dimensions reach from mode to mode."""
_DRAWS = 8
_REPORTED = ("clipped_coverage", "clipped_density", "realism", "authenticity")
_Values = npt.NDArray[np.float64]


def measure_whole_pictures(
    spaces: Sequence[TileFeatures],
    rounds: Rounds,
    *,
    k: int,
    n: int,
    rng: np.random.Generator,
) -> list[Measurement]:
    """`picture_coverage_ratio`, then `clipped_coverage clipped_density realism authenticity` with the same number of
    real T beside them.

    Args:
        spaces: one row a picture in the projected spaces, S and T of equal length.
        n: pictures stated with the ratio.
    """
    found = [_coverage(spaces, rounds, k=k, n=n, rng=rng)]
    return found + [_reported(name, spaces, rounds, k=k) for name in _REPORTED]


def picture_coverage(fake: Features, real: Features, *, m: int, k: int, rng: np.random.Generator) -> float:
    """Mean coverage of `m` real pictures by `m` fake ones, over _DRAWS random choices of each."""
    within, across = pairwise_distances(real, real), pairwise_distances(real, fake)
    values = []
    for _ in range(_DRAWS):
        mine, theirs = np.sort(rng.permutation(len(fake))[:m]), np.sort(rng.permutation(len(real))[:m])
        radii = neighbor_radii(within[np.ix_(theirs, theirs)], k=k)
        values.append((across[np.ix_(theirs, mine)] <= radii[:, None]).any(axis=1).mean())
    return float(np.mean(values))


def _coverage(
    spaces: Sequence[TileFeatures], rounds: Rounds, *, k: int, n: int, rng: np.random.Generator
) -> Measurement:
    values = np.array([_coverage_rounds(space, rounds, k=k, rng=rng) for space in spaces])  # (spaces, 1 + rounds, 2)
    ratios = values[..., 0] / np.where(values[..., 1] > 0, values[..., 1], np.nan)
    middle = np.median(ratios, axis=0)
    return measured(
        "picture_coverage_ratio",
        float(middle[0]),
        interval=ratio_interval(float(middle[0]), middle[1:]),
        n=n,
        baseline=float(np.median(values[:, 0, 1])),
        by_seed=ratios[:, 0].tolist(),
    )


def _coverage_rounds(space: TileFeatures, rounds: Rounds, *, k: int, rng: np.random.Generator) -> _Values:
    """(1 + rounds, 2): coverage of H by S and by T, of all pictures and of each round's halves."""
    drawn = [(space.synthetic, space.train, space.held_out)]
    for synthetic, train, held_out in zip(rounds.synthetic, rounds.train, rounds.held_out, strict=True):
        drawn.append((space.synthetic[synthetic], space.train[train], space.held_out[held_out]))
    pairs = []
    for synthetic, train, held_out in drawn:
        m = min(len(synthetic), len(train), len(held_out))
        pairs.append([picture_coverage(fake, held_out, m=m, k=k, rng=rng) for fake in (synthetic, train)])
    return np.array(pairs)


@dataclass(frozen=True)
class _Distances:
    """All that one reported number of one fake set needs, cut for each round."""

    real_real: _Values
    real_fake: _Values
    train_train: _Values
    train_fake: _Values

    def cut(self, real: Indices, fake: Indices) -> _Distances:
        return _Distances(
            self.real_real[np.ix_(real, real)],
            self.real_fake[np.ix_(real, fake)],
            self.train_train,
            self.train_fake[:, fake],
        )


def _reported(name: str, spaces: Sequence[TileFeatures], rounds: Rounds, *, k: int) -> Measurement:
    """One number of (S, H), beside it the same of (T, H); authenticity is of (S, T), beside it of (H, T)."""
    statistic: dict[str, Callable[[_Distances], float]] = {
        "clipped_coverage": lambda d: clipped_coverage(d.real_real, d.real_fake, k=k),
        "clipped_density": lambda d: clipped_density(d.real_real, d.real_fake, k=k),
        "realism": lambda d: float(np.median(realism(d.real_real, d.real_fake, k=k))),
        "authenticity": lambda d: authenticity(d.train_train, d.train_fake),
    }
    of = statistic[name]
    values, drawn, usual = [], [], []
    for space in spaces:
        within, own = pairwise_distances(space.held_out, space.held_out), pairwise_distances(space.train, space.train)
        mine = _Distances(
            within,
            pairwise_distances(space.held_out, space.synthetic),
            own,
            pairwise_distances(space.train, space.synthetic),
        )
        beside = _Distances(
            within,
            pairwise_distances(space.held_out, space.train),
            own,
            pairwise_distances(space.train, space.held_out),
        )
        values.append(of(mine))
        usual.append(of(beside))
        drawn.append([of(mine.cut(real, fake)) for real, fake in zip(rounds.held_out, rounds.synthetic, strict=True)])
    value = float(np.median(values))
    interval = shift_interval(value, np.median(np.array(drawn), axis=0))
    size = min(len(spaces[0].synthetic), len(spaces[0].held_out))
    return measured(name, value, interval=interval, n=size, baseline=float(np.median(usual)), by_seed=values)
