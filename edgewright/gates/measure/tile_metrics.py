"""How much synthetic tiles look like real ones: six statistics in each feature space, each against real-against-real.

Decides what is compared with what. `S` synthetic, `T` real training and `H` real held-out pictures; every statistic of
(S, H) stands beside the same statistic of (T, H) with as many pictures of T as of S, because all of them depend on n
(at n = 100 two samples of *one* distribution can have a Fréchet distance of 60). H is on both sides, so its own luck
cancels out.

    likeness = measure_tiles([space_a, space_b, space_c], halves_of_pictures, k=5)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.gates.evidence import Measurement, measured
from edgewright.gates.measure.metrics import (
    Features,
    Matrix,
    frechet_distance,
    mmd_squared,
    neighbor_scores,
    pairwise_distances,
    polynomial_kernel,
)
from edgewright.gates.measure.resample import Indices, halves, ratio_interval, shift_interval, tile_rows

STATISTICS = ("fd", "kid", "coverage", "precision", "density", "recall")
_Values = npt.NDArray[np.float64]
"""(6,) in the order of STATISTICS."""


@dataclass(frozen=True)
class TileFeatures:
    """Feature vectors of the three sets in one space, each (pictures · t, d) with the t tiles of a picture in a row."""

    synthetic: Features
    train: Features
    held_out: Features


@dataclass(frozen=True)
class Rounds:
    """Which pictures take part in which resampling round: (rounds, half) indices a set."""

    synthetic: Indices
    train: Indices
    held_out: Indices

    @classmethod
    def draw(cls, *, n_matched: int, n_held_out: int, rounds: int, rng: np.random.Generator) -> Rounds:
        return cls(
            synthetic=halves(n_matched, rounds=rounds, rng=rng),
            train=halves(n_matched, rounds=rounds, rng=rng),
            held_out=halves(n_held_out, rounds=rounds, rng=rng),
        )

    def __len__(self) -> int:
        return len(self.held_out)


def measure_tiles(
    spaces: Sequence[TileFeatures],
    rounds: Rounds,
    *,
    tiles_per_image: int,
    k: int,
    n: int,
    on_space: Callable[[int], None],
) -> list[Measurement]:
    """`fd_ratio kid_excess coverage_ratio precision_ratio density_ratio recall_ratio`: the median over the spaces.

    Args:
        n: pictures stated with each number.
        on_space: called with the number of spaces done.
    """
    pairs = []
    for done, space in enumerate(spaces, start=1):
        pairs.append(_all_rounds(space, rounds, tiles_per_image=tiles_per_image, k=k))
        on_space(done)
    values = np.stack(pairs)  # (spaces, 1 + rounds, 2, 6): the whole sample first; synthetic, then train
    return [_summary(index, values[..., index], n=n) for index in range(len(STATISTICS))]


def _all_rounds(space: TileFeatures, rounds: Rounds, *, tiles_per_image: int, k: int) -> npt.NDArray[np.float64]:
    """(1 + rounds, 2, 6) of one space."""
    sides = [_Side.of(fake, space.held_out) for fake in (space.synthetic, space.train)]
    whole = [side.statistics(np.arange(len(side.fake)), np.arange(len(side.real)), k=k) for side in sides]
    drawn = [whole]
    for index in range(len(rounds)):
        real = tile_rows(rounds.held_out[index], tiles_per_image=tiles_per_image)
        picked = (rounds.synthetic[index], rounds.train[index])
        fakes = [tile_rows(pictures, tiles_per_image=tiles_per_image) for pictures in picked]
        drawn.append([side.statistics(fake, real, k=k) for side, fake in zip(sides, fakes, strict=True)])
    return np.array(drawn)


def _summary(index: int, values: npt.NDArray[np.float64], *, n: int) -> Measurement:
    """One statistic: values (spaces, 1 + rounds, 2) => ratio, or for KID, which may be 0 or below, difference."""
    name = STATISTICS[index]
    synthetic, train = values[..., 0], values[..., 1]
    if name == "kid":
        compared, interval, suffix = synthetic - train, shift_interval, "excess"
    else:
        safe = np.where(train > 0, train, np.nan)
        compared, interval, suffix = synthetic / safe, ratio_interval, "ratio"
    middle = np.median(compared, axis=0)
    return measured(
        f"{name}_{suffix}",
        float(middle[0]),
        interval=interval(float(middle[0]), middle[1:]),
        n=n,
        baseline=float(np.median(train[:, 0])),
        by_seed=compared[:, 0].tolist(),
    )


@dataclass(frozen=True)
class _Side:
    """One comparison, fake against real, with all distances and kernel values computed once and cut for each round."""

    fake: Features
    real: Features
    distances: tuple[Matrix, Matrix, Matrix]
    kernels: tuple[Matrix, Matrix, Matrix]

    @classmethod
    def of(cls, fake: Features, real: Features) -> _Side:
        pairs = ((real, real), (fake, fake), (real, fake))
        return cls(
            fake=fake,
            real=real,
            distances=tuple(pairwise_distances(*pair) for pair in pairs),  # type: ignore[arg-type]
            kernels=tuple(polynomial_kernel(*pair) for pair in pairs),  # type: ignore[arg-type]
        )

    def statistics(self, fake_rows: Indices, real_rows: Indices, *, k: int) -> _Values:
        cuts = (np.ix_(real_rows, real_rows), np.ix_(fake_rows, fake_rows), np.ix_(real_rows, fake_rows))
        scores = neighbor_scores(*(matrix[cut] for matrix, cut in zip(self.distances, cuts, strict=True)), k=k)
        kid = mmd_squared(*(matrix[cut] for matrix, cut in zip(self.kernels, cuts, strict=True)))
        fd = frechet_distance(self.fake[fake_rows], self.real[real_rows])
        return np.array([fd, kid, scores.coverage, scores.precision, scores.density, scores.recall])
