"""The layout model: which objects stand where, how large and how many, learned from the real boxes without a network.

Decides p(layout): a bootstrap of real layouts whose objects are jittered by kernel density estimates (Scott 1992: the
bandwidth is sd · n^(-1/6) in two dimensions) and partly exchanged for others of classes that occur together. Overlap,
lanes and clusters survive because whole layouts are drawn. Refuses to fit on no image at all.

>>> cell = Label(instance_id=0, class_id=1, xyxy=(90.0, 60.0, 120.0, 90.0))
>>> row = Row("a.png", "", width=192, height=144, labels=(cell,))
>>> model = fit_layouts([row], classes=("RBC", "WBC"))
>>> sample_layout(model, wh=(192, 144), rng=np.random.default_rng(0))[0].class_id
1
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewright.data.rows import Label, Row
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.synth.layout.steering import Steering
from edgewright.synth.sources import MIN_BOX_PX, cut_sides, side_px, wh_of, whole_labels

EXCHANGED_SHARE = 0.15
"""Share of a layout's objects left out; as many in the mean are drawn anew, so counts vary around the real ones."""
UNSTEERED = Steering()
_UNCUT = (False, False, False, False)
Rng = np.random.Generator
Pair = tuple[float, float]


@dataclass(frozen=True)
class LayoutObject:
    """One real box, free of the picture's size.

    Attributes:
        center_xy: as shares of the picture's width and height.
        size_wh: as shares of the picture's longer side.
        cut: whether the frame cuts it at its left, top, right, bottom.
    """

    class_id: int
    center_xy: Pair
    size_wh: Pair
    cut: tuple[bool, bool, bool, bool]

    @property
    def whole(self) -> bool:
        return self.cut == _UNCUT


@dataclass(frozen=True)
class Planned:
    """Where an object shall stand: corners in px of the new picture, beyond its frame where the frame cuts it."""

    class_id: int
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class LayoutModel:
    """Law: `LayoutModel.from_json(m.to_json()) == m`.

    Attributes:
        layouts: the real ones, in row order.
        position_sd: by class, kernel width of the center in x and y, as a share of the picture.
        size_sd: by class, kernel width of (log w + log h) / 2 and of (log w - log h) / 2.
        together: (C, C), how many objects of the second class the pictures that hold the first have in the mean.
        sources: ids of the rows that the layouts are of; empty in artifacts of before they were kept.
    """

    classes: tuple[str, ...]
    layouts: tuple[tuple[LayoutObject, ...], ...]
    position_sd: tuple[Pair, ...]
    size_sd: tuple[Pair, ...]
    together: tuple[tuple[float, ...], ...]
    sources: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> LayoutModel:
        """Raises ArtifactCorrupt where the value is not a layout model."""
        try:
            return cls(
                classes=tuple(value["classes"]),
                layouts=tuple(tuple(_object(item) for item in layout) for layout in value["layouts"]),
                position_sd=tuple((float(x), float(y)) for x, y in value["position_sd"]),
                size_sd=tuple((float(s), float(a)) for s, a in value["size_sd"]),
                together=tuple(tuple(map(float, line)) for line in value["together"]),
                sources=tuple(map(str, value.get("sources", ()))),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactCorrupt("not a layout model", got=error) from error

    def objects(self, class_id: int) -> list[LayoutObject]:
        """Every real object of a class; whole ones only, where there are any."""
        return self._known[class_id]

    def draw_companion(self, class_id: int, rng: Rng) -> int:
        """A class that occurs together with another, as often as it does."""
        return bisect_right(self._companion_ends[class_id], rng.random())

    @property
    def pictures(self) -> tuple[str, ...]:
        """By layout, the id of the row that it is of; empty names where that is not known."""
        return self.sources or ("",) * len(self.layouts)

    @property
    def objects_by_class(self) -> tuple[int, ...]:
        """How many real objects each class has, cut ones included."""
        return tuple(sum(item.class_id == wanted for item in self._all) for wanted in range(len(self.classes)))

    @cached_property
    def _all(self) -> list[LayoutObject]:
        return [item for layout in self.layouts for item in layout]

    @cached_property
    def _known(self) -> list[list[LayoutObject]]:
        found = [[item for item in self._all if item.class_id == wanted] for wanted in range(len(self.classes))]
        return [[item for item in items if item.whole] or items for items in found]

    @cached_property
    def _companion_ends(self) -> list[list[float]]:
        """By class, the cumulative distribution of its companions as `Generator.choice` computes it."""
        ends = []
        for line in self.together:
            weight = np.array(line)
            cumulative = np.cumsum(weight / max(weight.sum(), 1e-12))
            ends.append((cumulative / max(cumulative[-1], 1e-12)).tolist())
        return ends


def fit_layouts(rows: Sequence[Row], *, classes: tuple[str, ...]) -> LayoutModel:
    """The layout model of labeled rows. Raises InputError where there are none."""
    if not rows:
        raise InputError(
            "no labeled train image to learn layouts from", expected=">= 1", got=0, next_step="label some images"
        )
    layouts = tuple(tuple(_measure(label, wh_of(row)) for label in whole_labels(row)) for row in rows)
    sources = tuple(row.id for row in rows)
    bare = LayoutModel(classes, layouts, (), (), _together(layouts, len(classes)), sources)
    kernels = [_kernel(bare.objects(class_id)) for class_id in range(len(classes))]
    return replace(
        bare, position_sd=tuple(kernel[0] for kernel in kernels), size_sd=tuple(kernel[1] for kernel in kernels)
    )


def sample_layout(
    model: LayoutModel, *, wh: tuple[int, int], rng: Rng, steering: Steering = UNSTEERED
) -> list[Planned]:
    """A new layout for a picture of `wh` px: every object has a part of at least MIN_BOX_PX in the frame."""
    return plan_objects(model, draw_objects(model, rng=rng, steering=steering), wh=wh, rng=rng)


def draw_objects(model: LayoutModel, *, rng: Rng, steering: Steering = UNSTEERED) -> list[LayoutObject]:
    """Real objects that may stand together, before they are jittered: the part of `sample_layout` that costs little."""
    base = model.layouts[steering.draw_picture(len(model.layouts), rng)]
    kept = [item for item, draw in zip(base, rng.random(len(base)).tolist(), strict=True) if draw >= EXCHANGED_SHARE]
    drawn = [_draw_new(model, base, rng) for _ in range(int(rng.binomial(len(base), EXCHANGED_SHARE)))]
    return [_steer(model, item, steering, rng) for item in kept + drawn] if steering.exchange_ends else kept + drawn


def plan_objects(
    model: LayoutModel, objects: Sequence[LayoutObject], *, wh: tuple[int, int], rng: Rng
) -> list[Planned]:
    """Each object jittered and put into a frame of `wh` px; those with too small a part in it are left out."""
    planned = [_plan(model, item, wh=wh, rng=rng) for item in objects]
    return [item for item in planned if min(_side_in_frame(item, wh)) >= MIN_BOX_PX]


def move(model: LayoutModel, item: Planned, *, wh: tuple[int, int], rng: Rng) -> Planned:
    """The same object, whole, at another place that its class is seen at."""
    known = model.objects(item.class_id)
    place = known[int(rng.integers(len(known)))]
    x1, y1, x2, y2 = item.xyxy
    longer = max(wh)
    there = LayoutObject(item.class_id, place.center_xy, ((x2 - x1) / longer, (y2 - y1) / longer), _UNCUT)
    return _plan(model, there, wh=wh, rng=rng, size_jitter=0.0)


def _object(value: dict[str, Any]) -> LayoutObject:
    (x, y), (w, h), (left, top, right, bottom) = value["center_xy"], value["size_wh"], value["cut"]
    cut = (bool(left), bool(top), bool(right), bool(bottom))
    return LayoutObject(int(value["class_id"]), (float(x), float(y)), (float(w), float(h)), cut)


def _measure(label: Label, wh: tuple[int, int]) -> LayoutObject:
    x1, y1, x2, y2 = label.xyxy
    w, h = side_px(label)
    center = ((x1 + x2) / 2 / wh[0], (y1 + y2) / 2 / wh[1])
    return LayoutObject(label.class_id, center, (w / max(wh), h / max(wh)), cut_sides(label, wh))


def _together(layouts: Sequence[Sequence[LayoutObject]], n_classes: int) -> tuple[tuple[float, ...], ...]:
    counts = np.zeros((len(layouts), n_classes))
    for index, layout in enumerate(layouts):
        counts[index] = np.bincount(np.array([item.class_id for item in layout], np.int64), minlength=n_classes)
    present = (counts > 0).astype(np.float64)
    mean: npt.NDArray[np.float64] = present.T @ counts / np.maximum(present.sum(axis=0), 1)[:, None]
    return tuple(tuple(map(float, line)) for line in mean)


def _kernel(objects: Sequence[LayoutObject]) -> tuple[Pair, Pair]:
    """Kernel widths of position and size by Scott's rule; 0 where a class is seen less than twice."""
    if len(objects) < 2:
        return (0.0, 0.0), (0.0, 0.0)
    center = np.array([item.center_xy for item in objects])
    log_wh = np.log([item.size_wh for item in objects])
    size = np.stack([log_wh.sum(axis=1), log_wh[:, 0] - log_wh[:, 1]], axis=1) / 2
    scott = len(objects) ** (-1 / 6)
    (x, y), (s, a) = (center.std(axis=0, ddof=1) * scott, size.std(axis=0, ddof=1) * scott)
    return (float(x), float(y)), (float(s), float(a))


def _draw_new(model: LayoutModel, base: Sequence[LayoutObject], rng: Rng) -> LayoutObject:
    """A real object of a class that occurs together with one of the layout's, as often as it does."""
    anchor = base[int(rng.integers(len(base)))].class_id
    known = model.objects(model.draw_companion(anchor, rng))
    return known[int(rng.integers(len(known)))]


def _steer(model: LayoutModel, item: LayoutObject, steering: Steering, rng: Rng) -> LayoutObject:
    """The object, or a real one of another class where the steering exchanges it."""
    class_id = steering.draw_class(item.class_id, rng)
    if class_id == item.class_id:
        return item
    known = model.objects(class_id)
    return known[int(rng.integers(len(known)))]


def _plan(
    model: LayoutModel, item: LayoutObject, *, wh: tuple[int, int], rng: Rng, size_jitter: float = 1.0
) -> Planned:
    """Jitter one object and put it into a frame of `wh` px."""
    x, y, size, aspect = rng.standard_normal(4).tolist()
    (sd_x, sd_y), (sd_size, sd_aspect) = model.position_sd[item.class_id], model.size_sd[item.class_id]
    size, aspect = size * sd_size * size_jitter, aspect * sd_aspect * size_jitter
    center_px = ((item.center_xy[0] + x * sd_x) * wh[0], (item.center_xy[1] + y * sd_y) * wh[1])
    longer = max(wh)
    seen_px = (item.size_wh[0] * longer * math.exp(size + aspect), item.size_wh[1] * longer * math.exp(size - aspect))
    full_px = seen_px if item.whole else _uncut_px(model, item, seen_px=seen_px, longer_px=longer, rng=rng)
    left, top, right, bottom = item.cut
    x1, x2 = _span(center_px[0], seen_px[0], full_px[0], frame_px=wh[0], cut=(left, right))
    y1, y2 = _span(center_px[1], seen_px[1], full_px[1], frame_px=wh[1], cut=(top, bottom))
    return Planned(item.class_id, (x1, y1, x2, y2))


def _uncut_px(model: LayoutModel, item: LayoutObject, *, seen_px: Pair, longer_px: int, rng: Rng) -> Pair:
    """How large the object would be without the frame: as a whole one of its class, at least as large as is seen."""
    known = model.objects(item.class_id)
    whole = known[int(rng.integers(len(known)))].size_wh
    return (max(seen_px[0], whole[0] * longer_px), max(seen_px[1], whole[1] * longer_px))


def _span(center_px: float, seen_px: float, full_px: float, *, frame_px: int, cut: tuple[bool, ...]) -> Pair:
    """Where one side of a box begins and ends, px: inside the frame, or beyond it on the side that cuts it."""
    if cut == (True, False):
        return (seen_px - full_px, seen_px)
    if cut == (False, True):
        return (frame_px - seen_px, frame_px - seen_px + full_px)
    side_px = min(full_px, float(frame_px))
    start = min(max(center_px - side_px / 2, 0.0), frame_px - side_px)
    return (start, start + side_px)


def _side_in_frame(item: Planned, wh: tuple[int, int]) -> Pair:
    x1, y1, x2, y2 = item.xyxy
    return (min(x2, wh[0]) - max(x1, 0), min(y2, wh[1]) - max(y1, 0))
