"""What scenes are learned from: real train pictures, reduced, with the layout that their labels draw, in random tiles.

Decides what a layout is to a network: a plane a class, 1 where an object of it is seen, and one plane of the edges
between objects, which keeps those that touch apart. A labeled mask gives an object its shape, else its box's ellipse
does. Small objects lie over large ones, in training and when scenes are painted alike. Half of the tiles hold an object
of a class drawn evenly, the others lie anywhere.

    batch = TileBatches(read_scenes(...), side_px=64, n_classes=3, device=device).draw(32, rng)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.runtime.boxes import Image
from edgewright.synth.compose.background import SceneObject, place_labels, whole_window
from edgewright.synth.matte import Mask
from edgewright.synth.networks.batches import ImageBatch
from edgewright.synth.networks.nets import from_pixels
from edgewright.synth.sources import wh_of


@dataclass(frozen=True)
class Layout:
    """What is seen where, (H, W).

    Attributes:
        classes: uint8, 0 where no object is, else 1 + the index of its class.
        edges: bool, pixels of an object that have another object or none beside, above or below them.
    """

    classes: npt.NDArray[np.uint8]
    edges: Mask

    def planes(self, n_classes: int) -> npt.NDArray[np.float32]:
        """(n_classes + 1, H, W) float32 of 0 and 1: the classes, then the edges."""
        found = self.classes[None] == np.arange(1, n_classes + 1, dtype=np.uint8)[:, None, None]
        return np.concatenate([found, self.edges[None]]).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """A real picture and its layout. `centers_xy` by class index: (M, 2) int px, of the objects in it."""

    image: Image
    layout: Layout
    centers_xy: tuple[npt.NDArray[np.int64], ...]


def draw_layout(objects: Sequence[SceneObject], *, class_ids: Sequence[int], wh: tuple[int, int]) -> Layout:
    """Of objects of these classes, the lowest first."""
    owner = np.zeros((wh[1], wh[0]), np.int32)
    class_of = np.zeros(len(objects) + 1, np.uint8)
    for number, item in enumerate(objects, start=1):
        np.copyto(item.of(owner), number, where=item.shape)
        class_of[number] = class_ids.index(item.label.class_id) + 1
    differs = np.zeros(owner.shape, np.bool_)
    for axis in (0, 1):
        step = np.diff(owner, axis=axis) != 0
        differs |= np.pad(step, [(0, 1 if axis == 0 else 0), (0, 1 if axis == 1 else 0)])
        differs |= np.pad(step, [(1 if axis == 0 else 0, 0), (1 if axis == 1 else 0, 0)])
    return Layout(class_of[owner], differs & (owner > 0))


def by_depth(objects: Sequence[SceneObject]) -> list[SceneObject]:
    """The lowest first: large before small."""
    return sorted(objects, key=lambda item: -item.full_px)


def read_scenes(dataset: Dataset, rows: Sequence[Row], *, class_ids: Sequence[int], scene_px: int) -> list[Scene]:
    """Each picture with its longer side at `scene_px`, and the layout of its objects of these classes."""
    return [_read(dataset.image(row), row, class_ids=class_ids, scene_px=scene_px) for row in rows]


class TileBatches:
    """Square tiles of `side_px`, mirrored half of the time; smaller scenes are extended by their edge."""

    def __init__(self, scenes: Sequence[Scene], *, side_px: int, n_classes: int, device: torch.device) -> None:
        self._scenes = [_at_least(scene, side_px) for scene in scenes]
        self.side_px = side_px
        self._n_classes = n_classes
        self._device = device
        self._places = [
            [(number, x, y) for number, scene in enumerate(scenes) for x, y in scene.centers_xy[index].tolist()]
            for index in range(n_classes)
        ]

    def draw(self, count: int, rng: torch.Generator) -> ImageBatch:
        tiles = [self._tile(torch.rand(6, generator=rng).tolist()) for _ in range(count)]
        images = from_pixels(torch.from_numpy(np.stack([image for image, _ in tiles])))
        planes = torch.from_numpy(np.stack([layout for _, layout in tiles]))
        return ImageBatch(images.to(self._device), planes.to(self._device))

    def _tile(self, draws: list[float]) -> tuple[Image, npt.NDArray[np.float32]]:
        """Six numbers in [0, 1): about an object or not, its class, which, x, y, mirrored or not."""
        about, which_class, which, across, down, mirrored = draws
        places = self._places[int(which_class * self._n_classes)]
        if about < 0.5 and places:
            number, x, y = places[int(which * len(places))]
        else:
            number, x, y = int(which * len(self._scenes)), None, None
        scene = self._scenes[number]
        height, width = scene.layout.classes.shape
        left, top = (self._start(length, at, part) for length, at, part in ((width, x, across), (height, y, down)))
        part = np.s_[top : top + self.side_px, left : left + self.side_px]
        planes = Layout(scene.layout.classes[part], scene.layout.edges[part]).planes(self._n_classes)
        image = scene.image[part]
        if mirrored < 0.5:
            image, planes = image[:, ::-1], planes[:, :, ::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(planes)

    def _start(self, length_px: int, center_px: int | None, part: float) -> int:
        """Where a tile begins: anywhere, or so that a center lies in it."""
        low, high = 0, length_px - self.side_px
        if center_px is not None:
            low, high = max(low, min(high, center_px - self.side_px + 1)), max(low, min(high, center_px))
        return low + int(part * (high - low + 1))


def _read(image: Image, row: Row, *, class_ids: Sequence[int], scene_px: int) -> Scene:
    window = whole_window(wh_of(row), longer_px=scene_px)
    placed = place_labels(image, row.labels, window)
    objects = by_depth([item for item in placed if not item.label.ignore and item.label.class_id in class_ids])
    layout = draw_layout(objects, class_ids=class_ids, wh=window.to_wh)
    centers = tuple(
        np.array([_center(item.xyxy) for item in objects if item.label.class_id == class_id], np.int64).reshape(-1, 2)
        for class_id in class_ids
    )
    return Scene(window.pixels(image), layout, centers)


def _center(xyxy: tuple[float, float, float, float]) -> tuple[int, int]:
    return (int((xyxy[0] + xyxy[2]) / 2), int((xyxy[1] + xyxy[3]) / 2))


def _at_least(scene: Scene, side_px: int) -> Scene:
    height, width = scene.layout.classes.shape
    missing = ((0, max(0, side_px - height)), (0, max(0, side_px - width)))
    layout = Layout(np.pad(scene.layout.classes, missing, mode="edge"), np.pad(scene.layout.edges, missing))
    return Scene(np.pad(scene.image, (*missing, (0, 0)), mode="edge"), layout, scene.centers_xy)
