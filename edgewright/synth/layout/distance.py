"""How far the layouts of one set of pictures are from those of another, in the statistics a layout model has.

Decides the statistics: class frequencies (total variation), objects a picture, log sizes and log aspects, positions in
x and y, overlap (each the Wasserstein-1 distance in units of the real ones' standard deviation; sizes and places class
by class, weighted by the real frequencies). A distance between small samples is never 0, so each stands next to what
real pictures give against other real ones: the 95th percentile over random half-splits of them. Both are taken over
equally many pictures, and say how many. Refuses fewer than MIN_PICTURES real ones. Reads no pixel.

    for found in measure_layouts(synthetic, real, rounds=50, rng=rng):
        print(found.name, found.value, found.baseline_q95, found.n)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.data.rows import Row
from edgewright.errors import InputError
from edgewright.synth.sources import wh_of, whole_labels

MIN_PICTURES = 4
"""Fewer real pictures have no halves to compare."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LayoutBox:
    """One object. `xyxy`: corners in units of the picture's longer side."""

    class_id: int
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class LayoutDistance:
    """One statistic's distance.

    Attributes:
        name: class_frequency, objects, log_size, log_aspect, position_x, position_y or overlap.
        value: mean over the rounds of synthetic against real; 0 for equal distributions in the limit.
        baseline_q95: the 95th percentile over the rounds of real against real, from equally many pictures.
        n: pictures on each side of one comparison.
    """

    name: str
    value: float
    baseline_q95: float
    n: int


@dataclass(frozen=True)
class _Objects:
    """Objects of some pictures. `values`: (N, 5) of _COLUMNS; `picture` and `class_id`: (N,)."""

    values: Floats
    class_id: npt.NDArray[np.int64]
    picture: npt.NDArray[np.int64]
    pictures: int

    def take(self, chosen: npt.NDArray[np.int64]) -> _Objects:
        """Those of the chosen pictures; a picture that is chosen twice counts twice."""
        rows = [np.flatnonzero(self.picture == index) for index in chosen]
        at = np.concatenate(rows) if rows else np.empty(0, np.int64)
        owner = np.repeat(np.arange(len(chosen)), [len(found) for found in rows])
        return _Objects(self.values[at], self.class_id[at], owner, len(chosen))

    def counts(self) -> Floats:
        """(P,) objects a picture."""
        return np.bincount(self.picture, minlength=self.pictures).astype(np.float64)


_COLUMNS = ("log_size", "log_aspect", "position_x", "position_y", "overlap")


def measure_layouts(
    synthetic: Sequence[Sequence[LayoutBox]],
    real: Sequence[Sequence[LayoutBox]],
    *,
    rounds: int,
    rng: np.random.Generator,
) -> tuple[LayoutDistance, ...]:
    """The seven distances. Raises InputError for fewer than MIN_PICTURES real pictures or no synthetic one."""
    if len(real) < MIN_PICTURES or not synthetic:
        raise InputError(
            "too few pictures to compare layouts",
            expected=f">= {MIN_PICTURES} real, >= 1 synthetic",
            got=f"{len(real)} real, {len(synthetic)} synthetic",
        )
    known, made = _collect(real), _collect(synthetic)
    n = min(known.pictures // 2, made.pictures)
    splits = [rng.permutation(known.pictures) for _ in range(rounds)]
    pairs = [(known.take(order[:n]), known.take(order[n : 2 * n])) for order in splits]
    others = [made.take(rng.permutation(made.pictures)[:n]) for _ in range(rounds)]
    found = []
    for name, distance in _distances(known).items():
        apart = np.array([distance(one, other) for one, other in pairs])
        away = np.array([distance(one, other) for (one, _), other in zip(pairs, others, strict=True)])
        found.append(LayoutDistance(name, float(away.mean()), float(np.quantile(apart, 0.95)), n))
    return tuple(found)


def layout_of(row: Row) -> list[LayoutBox]:
    """The objects of a row that count and are large enough; the picture's size must be known."""
    longer = float(max(wh_of(row)))
    found = []
    for label in whole_labels(row):
        x1, y1, x2, y2 = (value / longer for value in label.xyxy)
        found.append(LayoutBox(label.class_id, (x1, y1, x2, y2)))
    return found


def wasserstein(one: Floats, other: Floats) -> float:
    """W1 of two samples of one dimension: the area between their distribution functions (Vallender 1974)."""
    values = np.sort(np.concatenate([one, other]))
    below = [np.searchsorted(np.sort(part), values[:-1], side="right") / len(part) for part in (one, other)]
    return float((np.abs(below[0] - below[1]) * np.diff(values)).sum())


def _collect(layouts: Sequence[Sequence[LayoutBox]]) -> _Objects:
    parts = [_describe(layout) for layout in layouts]
    class_id = np.array([item.class_id for layout in layouts for item in layout], np.int64)
    picture = np.repeat(np.arange(len(layouts)), [len(layout) for layout in layouts])
    return _Objects(np.concatenate(parts), class_id, picture, len(layouts))


def _describe(layout: Sequence[LayoutBox]) -> Floats:
    """(N, 5) of _COLUMNS; overlap is the largest intersection with another, as a share of the smaller box."""
    boxes = np.array([item.xyxy for item in layout], np.float64).reshape(-1, 4)
    wh = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-9)
    logs = np.log(wh)
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    corner = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    area = wh.prod(axis=1)
    shared = np.clip(corner, 0, None).prod(axis=2) / np.minimum(area[:, None], area[None])
    np.fill_diagonal(shared, 0)
    return np.column_stack([logs.mean(axis=1), logs[:, 0] - logs[:, 1], center, shared.max(axis=1, initial=0)])


def _distances(real: _Objects) -> dict[str, Callable[[_Objects, _Objects], float]]:
    """Each statistic's distance of two sets, in the units of all real pictures."""
    n_classes = int(real.class_id.max(initial=0)) + 1
    weight = np.bincount(real.class_id, minlength=n_classes) / max(len(real.class_id), 1)
    found: dict[str, Callable[[_Objects, _Objects], float]] = {"class_frequency": _total_variation}
    found["objects"] = _scaled(_Objects.counts, real)
    for column, name in enumerate(_COLUMNS):
        found[name] = _by_class(column, real, weight)
    return found


def _total_variation(one: _Objects, other: _Objects) -> float:
    """Half the sum of the differences of the class frequencies, in [0, 1]; 1 where one side alone has objects."""
    if not len(one.class_id) or not len(other.class_id):
        return float(len(one.class_id) != len(other.class_id))
    size = int(max(one.class_id.max(), other.class_id.max())) + 1
    shares = [np.bincount(part.class_id, minlength=size) / len(part.class_id) for part in (one, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _scaled(values: Callable[[_Objects], Floats], real: _Objects) -> Callable[[_Objects, _Objects], float]:
    unit = _sd(values(real))
    return lambda one, other: wasserstein(values(one), values(other)) / unit


def _by_class(column: int, real: _Objects, weight: Floats) -> Callable[[_Objects, _Objects], float]:
    """The mean over the classes that both sides have, by their real frequency; 0 where there is no such class."""
    units = [_sd(real.values[real.class_id == index, column]) for index in range(len(weight))]

    def distance(one: _Objects, other: _Objects) -> float:
        total, seen = 0.0, 0.0
        for index, unit in enumerate(units):
            parts = [part.values[part.class_id == index, column] for part in (one, other)]
            if min(len(parts[0]), len(parts[1])):
                total += float(weight[index]) * wasserstein(parts[0], parts[1]) / unit
                seen += float(weight[index])
        return total / seen if seen else 0.0

    return distance


def _sd(values: Floats) -> float:
    """The unit of a statistic: its sd, or 1 where all values are alike."""
    spread = float(values.std()) if len(values) else 0.0
    return spread if spread > 1e-9 else 1.0
