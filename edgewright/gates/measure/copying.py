"""The copy test: are synthetic pictures training pictures over again?

Decides what a copy is, at three levels, each measured against how near held-out real pictures (H) come to training ones
(T):

- **whole pictures**: small prints of S and of every picture of T, brightness and contrast taken out, all eight flips
  and quarter turns tried. A resized, re-coded, re-lit, flipped, slightly noisy or blurred training picture comes
  nearer than `copy_radius` times the median distance of H: an unmodified copy. The radius is small on purpose: a
  composite rightly resembles the train background it was painted on, and a camera over a belt makes all its pictures
  alike; neither comes as near as that.
- **scenes**: an object that S claims to have made (labels of another source than `human`; all labels, where a picture
  claims none) is seen twice, near (a tile around it) and far (the whole picture around it, without itself), and is a
  copy where *one* training object comes as near in both views as the nearest 5 % of H. The views are centered on
  labels, so a picture that is moved or slightly cut is found. A pasted crop is near to its source in the near view and,
  among other neighbors or on another background, not in the far one: what a method that re-uses crops does by design is
  no scene copy, and what a copier does is one, whatever it calls itself.
- **objects**: the near view alone, against the photographs that the picture does *not* name among its parents (nor
  their groups). A method that says which photographs it took crops from is not held to have invented them; one that
  names none claims that all is new, and whatever it re-uses is a copy.

It cannot catch: copies cut by a fifth, at another zoom or turned by other angles, collages of small pieces; the memory
of a *detail*; a memory of a photograph that the picture names for another reason. It is no privacy guarantee.

>>> rng = np.random.default_rng(0)
>>> train = rng.integers(0, 256, size=(20, 24, 24, 3)).astype(np.uint8)
>>> nearest_prints(train[:3, ::-1], train)[1].tolist()
[0, 1, 2]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.gates.evidence import Measurement, NearPair, measured
from edgewright.gates.measure.resample import halves, ratio_interval, shift_interval
from edgewright.gates.measure.tiles import Tiles

PICTURE_PRINT_PX = 24
OBJECT_PRINT_PX = 16
NEAR_PAIRS = 20
MIN_USUAL_DISTANCE = 1e-2
"""In units of `nearest_prints`: below, held-out pictures are training pictures re-coded, and no ruler for copies."""
_LEVELS = ("picture", "scene", "object")
_NAMES = tuple(f"{level}_{number}" for level in _LEVELS for number in ("copy_share", "distance_ratio"))
_USUAL_SHARE = 0.05
_NOWHERE = -2.0
"""Below every correlation: what is barred."""
FARTHEST = float(np.sqrt(6.0))
"""The distance of what has nothing to be near to."""
_CHUNK_ROWS = 512

_Floats = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Prints:
    """Small pictures of one set.

    Attributes:
        ids: of its pictures.
        pictures: (N, PICTURE_PRINT_PX, PICTURE_PRINT_PX, 3) uint8, one a picture.
        objects: (M, OBJECT_PRINT_PX, OBJECT_PRINT_PX, 3) uint8, one an object: the near view of it.
        scenes: the same shape, the far view.
        picture_of_object: (M,) index into `ids`.
        groups: of each picture.
        parents: of each picture, the ids of photographs that it says it was made from.
    """

    ids: tuple[str, ...]
    pictures: Tiles
    objects: Tiles
    scenes: Tiles
    picture_of_object: _Indices
    groups: tuple[str, ...]
    parents: tuple[tuple[str, ...], ...]

    def named(self, train: Prints) -> npt.NDArray[np.bool_]:
        """(N, pictures of T): whether a picture names a training one, or one of its group, among its parents."""
        group_of = dict(zip(train.ids, train.groups, strict=True))
        found = np.zeros((len(self.ids), len(train.ids)), dtype=bool)
        groups = np.array(train.groups)
        for index, parents in enumerate(self.parents):
            found[index] = np.isin(groups, [group_of[name] for name in parents if name in group_of])
        return found


def measure_copying(
    synthetic: Prints, train: Prints, held_out: Prints, *, copy_radius: float, rounds: int, rng: np.random.Generator
) -> tuple[list[Measurement], tuple[NearPair, ...]]:
    """Share of copies and distance ratio of every level (`picture_copy_share`, …), and the nearest pairs of pictures.

    A level without a print on any of the three sides is left out. Where the median held-out picture, or object, is
    nearer to a training one than MIN_USUAL_DISTANCE, nothing is measured at any level, and there are no pairs.
    """
    usual_pictures = _usual(held_out.pictures, train.pictures)
    usual_objects = _usual(held_out.objects, train.objects)
    if any(len(usual) and np.median(usual) < MIN_USUAL_DISTANCE for usual in (usual_pictures, usual_objects)):
        why = "held-out photographs are training photographs over again"
        return [Measurement(name, None, n=len(held_out.ids), why=why) for name in _NAMES], ()
    picks = _Picks(
        synthetic=halves(len(synthetic.ids), rounds=rounds, rng=rng),
        held_out=halves(len(held_out.ids), rounds=rounds, rng=rng),
    )
    measurements: list[Measurement] = []
    pairs: tuple[NearPair, ...] = ()
    if len(synthetic.pictures) and len(usual_pictures):
        near, index = nearest_prints(synthetic.pictures, train.pictures)
        whole = _Level(near, np.arange(len(near)), usual_pictures, np.arange(len(usual_pictures)), picks)
        measurements += whole.measurements("picture", lambda distances: copy_radius * float(np.median(distances)))
        pairs = _nearest_pairs(synthetic.ids, train.ids, near / float(np.median(usual_pictures)), index)
    if len(synthetic.objects) and len(usual_objects):
        measurements += _scene_level(synthetic, train, held_out, picks, usual_objects)
        measurements += _object_level(synthetic, train, held_out, picks, usual_objects)
    return measurements, pairs


def _scene_level(
    synthetic: Prints, train: Prints, held_out: Prints, picks: _Picks, usual_objects: _Floats
) -> list[Measurement]:
    """Both views at once, each in units of its median distance of H to T."""
    scales = (float(np.median(usual_objects)), float(np.median(_usual(held_out.scenes, train.scenes))))
    if scales[1] < MIN_USUAL_DISTANCE:
        why = "every photograph looks the same from afar"
        return [Measurement(name, None, n=len(held_out.ids), why=why) for name in _NAMES if name.startswith("scene")]
    near, usual = (nearest_views(some, train, scales=scales) for some in (synthetic, held_out))
    level = _Level(near, synthetic.picture_of_object, usual, held_out.picture_of_object, picks)
    return level.measurements("scene", _nearest_share)


def _object_level(
    synthetic: Prints, train: Prints, held_out: Prints, picks: _Picks, usual: _Floats
) -> list[Measurement]:
    barred = synthetic.named(train)
    near, _ = nearest_prints(
        synthetic.objects,
        train.objects,
        barred=lambda rows: barred[synthetic.picture_of_object[rows]][:, train.picture_of_object],
    )
    held = near < FARTHEST  # an object of a picture that names every photograph is held against none
    if not held.any():
        why = "every picture names all training photographs as its parents"
        return [Measurement(name, None, n=len(held_out.ids), why=why) for name in _NAMES if name.startswith("object")]
    owners = synthetic.picture_of_object[held]
    return _Level(near[held], owners, usual, held_out.picture_of_object, picks).measurements("object", _nearest_share)


def _nearest_share(usual: _Floats) -> float:
    return float(np.quantile(usual, _USUAL_SHARE))


def nearest_prints(
    prints: Tiles, others: Tiles, *, barred: Callable[[slice], npt.NDArray[np.bool_]] | None = None
) -> tuple[_Floats, _Indices]:
    """Distance in [0, 2] to the nearest of `others` under the eight symmetries of the square, and which one that is.

    The distance of two prints is `sqrt(2 - 2 r)` with r their correlation over pixels and channels.

    Args:
        barred: some rows of `prints` => (rows, others): which of the others do not count for them. FARTHEST where none
            is left.
    """
    reference = _normalized(others)
    correlation = np.full(len(prints), _NOWHERE)
    index = np.zeros(len(prints), dtype=np.int64)
    for turned in _symmetries(prints):
        for start in range(0, len(prints), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            similarity = _normalized(turned[rows]) @ reference.T
            if barred is not None:
                similarity[barred(rows)] = _NOWHERE
            best = similarity.argmax(axis=1)
            value = similarity[np.arange(len(best)), best]
            index[rows] = np.where(value > correlation[rows], best, index[rows])
            correlation[rows] = np.maximum(value, correlation[rows])
    return _distance(correlation), index


def nearest_views(prints: Prints, others: Prints, *, scales: tuple[float, float]) -> _Floats:
    """(M,) distance of each object to the other that is nearest in its farther view, the views in units of `scales`.

    Both views are turned alike: of the eight symmetries the one counts that brings the object nearest.
    """
    references = [
        _normalized(each) / scale for each, scale in zip((others.objects, others.scenes), scales, strict=True)
    ]
    least = np.full(len(prints.objects), np.inf)
    for turned in zip(_symmetries(prints.objects), _symmetries(prints.scenes), strict=True):
        for start in range(0, len(least), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            views = [
                # |a - b|² / s² of prints of length 1
                2 / scale**2 - 2 / scale * (_normalized(view[rows]) @ reference.T)
                for view, reference, scale in zip(turned, references, scales, strict=True)
            ]
            least[rows] = np.minimum(least[rows], np.maximum(*views).min(axis=1))
    return np.asarray(np.sqrt(np.maximum(least, 0.0)))


def _distance(correlation: _Floats) -> _Floats:
    return np.asarray(np.sqrt(np.maximum(2 - 2 * correlation, 0.0)))


def _usual(held_out: Tiles, train: Tiles) -> _Floats:
    """Distances of held-out prints to training ones; none where either side has none."""
    return nearest_prints(held_out, train)[0] if len(held_out) and len(train) else np.empty(0)


@dataclass(frozen=True)
class _Picks:
    """Pictures that take part in each resampling round: (rounds, half) indices."""

    synthetic: _Indices
    held_out: _Indices


@dataclass(frozen=True)
class _Level:
    """Distances to T of S (`near`) and of H (`usual`), with the picture that each belongs to."""

    near: _Floats
    near_picture: _Indices
    usual: _Floats
    usual_picture: _Indices
    picks: _Picks

    def measurements(self, name: str, threshold: Callable[[_Floats], float]) -> list[Measurement]:
        n = min(len(np.unique(self.near_picture)), len(np.unique(self.usual_picture)))
        ratio, share = _ratio(self.near, self.usual), float((self.near < threshold(self.usual)).mean())
        drawn = [(near, usual) for near, usual in self._rounds() if len(near) and len(usual)]
        ratios = np.array([_ratio(near, usual) for near, usual in drawn])
        shares = np.array([float((near < threshold(usual)).mean()) for near, usual in drawn])
        low, high = shift_interval(share, shares)
        usual_share = float((self.usual < threshold(self.usual)).mean())
        interval = (max(0.0, low), min(1.0, high))
        return [
            measured(f"{name}_copy_share", share, interval=interval, n=n, baseline=usual_share),
            measured(f"{name}_distance_ratio", ratio, interval=ratio_interval(ratio, ratios), n=n, baseline=1.0),
        ]

    def _rounds(self) -> Iterator[tuple[_Floats, _Floats]]:
        for synthetic, held_out in zip(self.picks.synthetic, self.picks.held_out, strict=True):
            yield (
                self.near[np.isin(self.near_picture, synthetic)],
                self.usual[np.isin(self.usual_picture, held_out)],
            )


def _ratio(near: _Floats, usual: _Floats) -> float:
    """NaN where a round drew held-out pictures that are training pictures: then it says nothing about copies."""
    middle = float(np.median(usual))
    return float(np.median(near)) / middle if middle > 0 else float("nan")


def _nearest_pairs(
    ids: tuple[str, ...], train_ids: tuple[str, ...], ratios: _Floats, index: _Indices
) -> tuple[NearPair, ...]:
    order = np.argsort(ratios, kind="stable")[:NEAR_PAIRS]
    return tuple(NearPair(ids[i], train_ids[index[i]], float(f"{ratios[i]:.4g}")) for i in order)


def _normalized(prints: Tiles) -> npt.NDArray[np.float32]:
    """NHWC uint8 => (N, D) float32 of mean 0 and length 1; a flat print is all zeros and near to nothing."""
    flat = prints.reshape(len(prints), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def _symmetries(prints: Tiles) -> Iterator[Tiles]:
    for quarter_turns in range(4):
        turned = np.rot90(prints, quarter_turns, axes=(1, 2))
        yield turned
        yield turned[:, :, ::-1]
