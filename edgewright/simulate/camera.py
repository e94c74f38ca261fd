"""`SimulatedCamera`: photographs of parts on a moving belt, seen from above, each with its exact truth.

Decides how a scene is put together: how many parts, where, which covers which, under which light and exposure. Truth
is the tight box of the *visible* pixels. Refuses scenes in which a part is nearly hidden: whatever lies on the belt
can be seen and is labeled.

>>> camera = SimulatedCamera(seed=0)
>>> photograph = camera.photograph(3)
>>> photograph.image.shape, 2 <= len(photograph.boxes) <= 9
((192, 256, 3), True)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes, FloatArray, Image
from edgewright.simulate.belt import STRIP_PX, draw_chip, draw_strip, spill_oil
from edgewright.simulate.lens import Exposure, expose
from edgewright.simulate.parts import CLASSES, draw_part
from edgewright.simulate.shift import DAY, Shift, draw_dirt, through_dirt
from edgewright.simulate.sprite import Light, Sprite, draw_sprite, shadow_of

__all__ = ["CLASSES", "Photograph", "SimulatedCamera"]

Mask = npt.NDArray[np.bool_]
PARTS_MIN, PARTS_MAX = 2, 9
MIN_VISIBLE = 0.6
"""Of a part's own pixels, the share that must be in the frame and uncovered."""
_TRIES = 20
_CLUSTER_SHARE = 0.4
"""Of the parts, how many come to lie against or on another one."""
_MIN_SIDE_PX = 64
_SHADOW_PAD_PX = 14


@dataclass(frozen=True)
class Photograph:
    """What the camera saw, and what was there.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: px, tight around the visible pixels of each part.
        masks: one (H, W) bool for each box: its visible pixels.
    """

    image: Image
    boxes: Boxes
    masks: tuple[Mask, ...]


@dataclass(frozen=True)
class _Laid:
    """A sprite at a place: its top left corner in px of the frame."""

    sprite: Sprite
    x: int
    y: int
    class_id: int | None


class SimulatedCamera:
    """One camera over one belt. Law: `photograph(i)` depends on seed, size, drift, shift and `i` alone; by night
    and behind dirt the same parts lie at the same places.

    Args:
        wh: size of a photograph, px.
        drift: [0, 1], how far the line has aged since it was set up: the lamp dims and yellows, the focus slips.
        shift: what has happened to the line.
    """

    def __init__(self, seed: int, *, wh: tuple[int, int] = (256, 192), drift: float = 0.0, shift: Shift = DAY) -> None:
        if min(wh) < _MIN_SIDE_PX or not 0 <= drift <= 1 or seed < 0:
            raise InputError(
                "the simulated camera cannot be set up so",
                expected=f"seed >= 0, sides >= {_MIN_SIDE_PX} px, drift in [0, 1]",
                got=f"seed {seed}, {wh[0]}x{wh[1]} px, drift {drift}",
            )
        self.seed, self.wh, self.drift, self.shift = seed, wh, drift, shift
        rng = np.random.default_rng([seed, 0])
        self._strip = draw_strip(rng, height_px=wh[1])
        self._lamp_azimuth_rad = float(rng.uniform(0, 2 * np.pi))
        self._dirt = draw_dirt(np.random.default_rng([seed, 9]), wh=wh, share=shift.dirt) if shift.dirt else None

    def photograph(self, index: int) -> Photograph:
        """Photograph number `index`, any integer from 0."""
        rng = np.random.default_rng([self.seed, 1, index])
        light = Light(self._lamp_azimuth_rad + float(rng.normal(0, 0.35)), float(rng.uniform(0.6, 0.95)))
        canvas = self._belt_in_view(rng)
        for _ in range(rng.integers(0, 3)):
            spill_oil(canvas, rng, light=light)
        parts = self._lay_parts(light, rng)
        chips = [self._lay_anywhere(draw_chip(rng), rng) for _ in range(rng.integers(1, 6))]
        for laid in chips + parts:
            _paint(canvas, laid, shadow_of(laid.sprite, light=light, pad_px=_SHADOW_PAD_PX))
        seen = canvas * self._illumination(rng)
        if self._dirt is not None:
            seen = through_dirt(seen, self._dirt)
        image = expose(seen, self._exposure(rng), rng)
        masks = _visible_masks(parts, self.wh)
        return Photograph(image, _tight_boxes(masks, parts), masks)

    def _belt_in_view(self, rng: np.random.Generator) -> FloatArray:
        start = int(rng.integers(0, STRIP_PX - self.wh[0] + 1))
        return self._strip[:, start : start + self.wh[0]].copy()

    def _lay_parts(self, light: Light, rng: np.random.Generator) -> list[_Laid]:
        """Parts in painting order; a place that would hide a part is tried again, then the part is left away."""
        laid: list[_Laid] = []
        for _ in range(rng.integers(PARTS_MIN, PARTS_MAX + 1)):
            part = draw_part(rng, capped=self.shift.capped)
            sprite = draw_sprite(part, light=light, rng=rng)
            for _ in range(_TRIES):
                candidate = self._place(sprite, part.class_id, laid, rng)
                if _all_visible([*laid, candidate], self.wh):
                    laid.append(candidate)
                    break
        return laid

    def _place(self, sprite: Sprite, class_id: int, laid: list[_Laid], rng: np.random.Generator) -> _Laid:
        """Anywhere, or against a part that already lies there."""
        if not laid or rng.random() > _CLUSTER_SHARE:
            anywhere = self._lay_anywhere(sprite, rng)
            return _Laid(sprite, anywhere.x, anywhere.y, class_id)
        beside = laid[rng.integers(len(laid))]
        angle = rng.uniform(0, 2 * np.pi)
        apart = (sprite.coverage.shape[0] + beside.sprite.coverage.shape[0]) / 2 * rng.uniform(0.6, 1.0)
        shift = (beside.sprite.coverage.shape[0] - sprite.coverage.shape[0]) / 2
        x, y = beside.x + shift + apart * np.cos(angle), beside.y + shift + apart * np.sin(angle)
        return _Laid(sprite, round(x), round(y), class_id)

    def _lay_anywhere(self, sprite: Sprite, rng: np.random.Generator) -> _Laid:
        """The center falls anywhere in the frame, so some sprites are cut by its border."""
        half = sprite.coverage.shape[0] // 2
        x, y = (int(rng.integers(0, side)) - half for side in self.wh)
        return _Laid(sprite, x, y, None)

    def _illumination(self, rng: np.random.Generator) -> FloatArray:
        """(H, W, 1): the lamps light one side more than the other, never twice alike; the lamp dims with drift."""
        x = np.linspace(-1, 1, self.wh[0], dtype=np.float32)[None, :]
        y = np.linspace(-1, 1, self.wh[1], dtype=np.float32)[:, None]
        slope = rng.uniform(0.1, 0.5)
        angle = self._lamp_azimuth_rad + rng.normal(0, 0.6)
        field = 1 + slope * (x * np.cos(angle) + y * np.sin(angle)) / 1.3
        left = (1 - 0.5 * self.drift) * self.shift.lamp
        return np.asarray(field * rng.uniform(0.8, 1.25) * left, dtype=np.float32)[..., None]

    def _exposure(self, rng: np.random.Generator) -> Exposure:
        warm = float(rng.normal(0, 0.04)) + 0.2 * self.drift + self.shift.warm
        return Exposure(
            defocus_px=float(rng.gamma(2.0, 0.22)) + 1.4 * self.drift,
            motion_px=float(rng.uniform(0, 3.0)) if rng.random() < 0.4 else 0.0,
            gain=1.5 * self.shift.gain,
            electrons=float(rng.uniform(500, 2500)) * self.shift.electrons,
            white=(1 + warm, 1.0, 1 - warm),
            flicker=float(rng.uniform(0, 0.06)),
            flicker_phase=float(rng.random()),
        )


def _window(laid: _Laid, wh: tuple[int, int], pad_px: int = 0) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a sprite (grown by `pad_px`) lies in the frame, and which piece of it: both as (rows, columns)."""
    height, width = (side + 2 * pad_px for side in laid.sprite.coverage.shape)
    x, y = laid.x - pad_px, laid.y - pad_px
    x1, y1 = max(x, 0), max(y, 0)
    x2, y2 = max(x1, min(x + width, wh[0])), max(y1, min(y + height, wh[1]))
    return (slice(y1, y2), slice(x1, x2)), (slice(y1 - y, y2 - y), slice(x1 - x, x2 - x))


def _paint(canvas: FloatArray, laid: _Laid, shadow: FloatArray) -> None:
    """Shadow first, then the object over it; a frame's border cuts both."""
    wh = (canvas.shape[1], canvas.shape[0])
    place, piece = _window(laid, wh, _SHADOW_PAD_PX)
    canvas[place] *= 1 - shadow[piece][..., None]
    place, piece = _window(laid, wh)
    canvas[place] *= 1 - laid.sprite.coverage[piece][..., None]
    canvas[place] += laid.sprite.rgb[piece]


def _visible_masks(parts: list[_Laid], wh: tuple[int, int]) -> tuple[Mask, ...]:
    """Later parts cover earlier ones; a pixel belongs to a part that covers at least half of it."""
    owner = np.full((wh[1], wh[0]), -1, dtype=np.int64)
    for number, laid in enumerate(parts):
        place, piece = _window(laid, wh)
        owner[place] = np.where(laid.sprite.coverage[piece] >= 0.5, number, owner[place])
    return tuple(owner == number for number in range(len(parts)))


def _all_visible(parts: list[_Laid], wh: tuple[int, int]) -> bool:
    whole = [np.count_nonzero(laid.sprite.coverage >= 0.5) for laid in parts]
    seen = [np.count_nonzero(mask) for mask in _visible_masks(parts, wh)]
    return all(part >= MIN_VISIBLE * of for part, of in zip(seen, whole, strict=True))


def _tight_boxes(masks: tuple[Mask, ...], parts: list[_Laid]) -> Boxes:
    corners = []
    for mask in masks:
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        corners.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return Boxes.of(corners, class_id=[laid.class_id for laid in parts])
