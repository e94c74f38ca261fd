"""Steering: which classes and which pictures the layouts of synthetic images lean towards.

Decides how far the draw departs from the real statistics. `class_balance` b asks for class frequencies proportional to
p^(1 - b), p being the real ones: 0 leaves them, 1 makes every class that has an object equally frequent. It is reached
by the fewest exchanges there can be (the maximal coupling of two distributions: Lindvall 1992, Lectures on the
Coupling Method, §I.2): an object of a class that is too frequent becomes one of a class that is too rare.
`hard_share` draws that share of layouts with the pictures' weights, so that hard or rare pictures come more often.
Refuses weights that are no weights. Law: with both at 0 nothing is drawn, and layouts are byte for byte as without.

>>> [round(share, 3) for share in steer([80, 20, 0], (), class_balance=1, hard_share=0, hard={}).exchange_share]
[0.375, 0.0, 0.0]
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.data.rows import Row
from edgewright.data.scores import HARD_SCORE
from edgewright.errors import InputError
from edgewright.recipe.synth import GenerateConfig

Rng = np.random.Generator


@dataclass(frozen=True)
class Steering:
    """What `sample_layout` follows.

    Attributes:
        exchange_share: by class, the share of its objects that become another class's.
        exchange_ends: cumulative distribution of the class they become, ending at 1; empty where nothing is exchanged.
        hard_share: share of layouts drawn by `picture_ends`.
        picture_ends: cumulative distribution over the pictures.
    """

    exchange_share: tuple[float, ...] = ()
    exchange_ends: tuple[float, ...] = ()
    hard_share: float = 0.0
    picture_ends: tuple[float, ...] = ()

    def draw_class(self, class_id: int, rng: Rng) -> int:
        """The class that an object of `class_id` gets, where anything is exchanged."""
        if rng.random() >= self.exchange_share[class_id]:
            return class_id
        return bisect_right(self.exchange_ends, rng.random())

    def draw_picture(self, count: int, rng: Rng) -> int:
        """Index of a picture out of `count`: any, or for `hard_share` of the draws by weight."""
        if self.hard_share and rng.random() < self.hard_share:
            return bisect_right(self.picture_ends, rng.random())
        return int(rng.integers(count))


def steer(
    objects_by_class: Sequence[int],
    pictures: Sequence[str],
    *,
    class_balance: float,
    hard_share: float,
    hard: Mapping[str, float],
) -> Steering:
    """The steering towards balanced classes and hard pictures.

    Args:
        objects_by_class: how many real objects each class has.
        pictures: ids of the pictures whose layouts are drawn, in order.
        hard: weight of a picture by its id, >= 0; 0 where it is not named, and all are equal where none is.

    Raises:
        InputError: a weight is negative or not finite, or all are 0.
    """
    share, ends = _exchanges(np.asarray(objects_by_class, np.float64), class_balance)
    return Steering(share, ends, hard_share, _picture_ends(pictures, hard) if hard_share else ())


def hard_scores(rows: Sequence[Row]) -> dict[str, float]:
    """By id, of those rows that have one."""
    return {row.id: row.scores[HARD_SCORE] for row in rows if HARD_SCORE in row.scores}


def steer_as_asked(
    objects_by_class: Sequence[int], pictures: Sequence[str], rows: Sequence[Row], config: GenerateConfig
) -> Steering:
    """As `steer`, by what the recipe asks for and the scores of real rows."""
    return steer(
        objects_by_class,
        pictures,
        class_balance=config.class_balance,
        hard_share=config.hard_share,
        hard=hard_scores(rows),
    )


def target_frequencies(objects_by_class: npt.NDArray[np.float64], class_balance: float) -> npt.NDArray[np.float64]:
    """Class frequencies between the real ones (0) and equal ones (1), linear in their logarithms; absent stay 0."""
    real = objects_by_class / max(objects_by_class.sum(), 1)
    wanted = np.where(real > 0, np.power(np.maximum(real, 1e-12), 1 - class_balance), 0)
    target: npt.NDArray[np.float64] = wanted / max(wanted.sum(), 1e-12)
    return target


def _exchanges(
    objects_by_class: npt.NDArray[np.float64], class_balance: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    real, target = target_frequencies(objects_by_class, 0.0), target_frequencies(objects_by_class, class_balance)
    surplus, lack = np.maximum(real - target, 0), np.maximum(target - real, 0)
    if class_balance == 0 or lack.sum() <= 1e-9:
        return tuple(0.0 for _ in real), ()
    share = surplus / np.maximum(real, 1e-12)
    return tuple(map(float, share)), _ends(lack)


def _picture_ends(pictures: Sequence[str], hard: Mapping[str, float]) -> tuple[float, ...]:
    unnamed = 0.0 if any(name in hard for name in pictures) else 1.0
    weights = [hard.get(name, unnamed) for name in pictures]
    wrong = [name for name, weight in zip(pictures, weights, strict=True) if not math.isfinite(weight) or weight < 0]
    if wrong or not sum(weights):
        raise InputError(
            f"the score `{HARD_SCORE}` of train images is no weight",
            expected="finite, >= 0, not all 0",
            got=", ".join(f"{name}: {hard.get(name)}" for name in wrong[:3]) or "all 0",
            next_step="correct the scores, or set generate.hard_share=0",
        )
    return _ends(np.array(weights))


def _ends(weights: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """The cumulative distribution; exactly 1 from the last weight above 0 on, so that no draw falls behind it."""
    ends = np.cumsum(weights) / weights.sum()
    ends[np.flatnonzero(weights)[-1] :] = 1.0
    return tuple(map(float, ends))
