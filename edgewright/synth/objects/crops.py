"""The crop bank: real objects cut out with their surroundings, opaque where the object is.

Decides which objects are kept (all of a rare class, MAX_PER_CLASS of a frequent one; those that others cover or the
frame cuts only where a class has hardly others). Every crop holds its box at the same place: the middle
1 / (1 + 2 · MARGIN) of each side, so that crops of any shape become squares for a network and fit any planned box
again. Refuses fewer than MIN_CROPS in all.

Law: `CropBank.load(path)` equals the bank that `save(path)` wrote, and equal banks give equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from edgewright.data.dataset import Dataset
from edgewright.data.rle import decode_mask
from edgewright.data.rows import Label, Row
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.runtime.boxes import Image
from edgewright.synth.layout.layouts import Rng
from edgewright.synth.matte import MARGIN, Mask, matte_from_box, smooth
from edgewright.synth.objects.sprites import Pyramid, Rgba
from edgewright.synth.sources import cut_sides, side_px, wh_of, whole_labels

MIN_CROPS = 8
MAX_PER_CLASS = 400
MAX_CROP_PX = 160
"""Larger crops are stored smaller: pictures to detect in are not larger than a few hundred px."""
_ENOUGH = 8
_ALONE_SHARE = 0.1
_NEAREST = 12


@dataclass(frozen=True)
class Crop:
    """One object.

    Attributes:
        size_wh: of its box, as shares of its picture's longer side.
        source: id of the row it was cut from.
        masked: the opacity comes from a labeled mask, not from the box.
    """

    rgba: Rgba
    class_id: int
    size_wh: tuple[float, float]
    source: str
    masked: bool

    @cached_property
    def pyramid(self) -> Pyramid:
        return Pyramid(self.rgba)


@dataclass(frozen=True)
class CropBank:
    crops: tuple[Crop, ...]

    def of_class(self, class_id: int) -> list[Crop]:
        return self._by_class.get(class_id, [])

    @cached_property
    def class_ids(self) -> list[int]:
        """Classes that have a crop, ascending."""
        return sorted(self._by_class)

    def masked(self, class_id: int) -> bool:
        """Whether every crop of the class has a labeled mask."""
        return self._all_masked[class_id]

    def squares(self, side_px: int) -> npt.NDArray[np.uint8]:
        """(N, side, side, 4) uint8: every crop as a square, whatever its shape."""
        return np.stack([resize_rgba(crop.rgba, (side_px, side_px)) for crop in self.crops])

    def choose(self, class_id: int, *, size_wh: tuple[float, float], rng: Rng) -> Crop:
        """One of the class's crops that are nearest in size and shape. Raises InputError where there is none."""
        known = self.of_class(class_id)
        if not known:
            raise InputError("no crop of this class", got=class_id)
        nearest = self._nearest(class_id, size_wh)
        return known[nearest[int(rng.integers(len(nearest)))]]

    def _nearest(self, class_id: int, size_wh: tuple[float, float]) -> list[int]:
        """Positions in the class of the crops that are nearest; remembered, because boxes of whole px repeat."""
        found = self._found.get((class_id, size_wh))
        if found is None:
            distance = np.abs(self._log_sizes[class_id] - np.log(size_wh)).sum(axis=1)
            found = self._found[class_id, size_wh] = np.argsort(distance, kind="stable")[:_NEAREST].tolist()
        return found

    @cached_property
    def _found(self) -> dict[tuple[int, tuple[float, float]], list[int]]:
        return {}

    @cached_property
    def _by_class(self) -> dict[int, list[Crop]]:
        found: dict[int, list[Crop]] = {}
        for crop in self.crops:
            found.setdefault(crop.class_id, []).append(crop)
        return found

    @cached_property
    def _all_masked(self) -> dict[int, bool]:
        return {class_id: all(crop.masked for crop in crops) for class_id, crops in self._by_class.items()}

    @cached_property
    def _log_sizes(self) -> dict[int, npt.NDArray[np.float64]]:
        return {class_id: np.log([crop.size_wh for crop in crops]) for class_id, crops in self._by_class.items()}

    def save(self, path: Path) -> None:
        np.savez_compressed(
            path,
            pixels=np.concatenate([crop.rgba.reshape(-1) for crop in self.crops]),
            shape_hw=np.array([crop.rgba.shape[:2] for crop in self.crops], np.int32),
            class_id=np.array([crop.class_id for crop in self.crops], np.int32),
            size_wh=np.array([crop.size_wh for crop in self.crops], np.float64),
            source=np.array([crop.source for crop in self.crops], np.str_),
            masked=np.array([crop.masked for crop in self.crops], np.bool_),
        )

    @classmethod
    def load(cls, path: Path) -> CropBank:
        """Raises ArtifactCorrupt where the file is not a crop bank; nothing in it is unpickled."""
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
            ends = np.cumsum(arrays["shape_hw"].prod(axis=1) * 4)
            parts = np.split(arrays["pixels"], ends[:-1])
            return cls(tuple(_crop(arrays, index, part) for index, part in enumerate(parts)))
        except (OSError, EOFError, ValueError, KeyError, IndexError, BadZipFile) as error:
            raise ArtifactCorrupt("not a crop bank", got=error, where=path) from error


def build_bank(dataset: Dataset, rows: Sequence[Row], *, rng: Rng) -> CropBank:
    """Cut the objects of labeled rows out. Raises InputError where there are fewer than MIN_CROPS."""
    chosen = _choose_objects(rows, n_classes=len(dataset.classes), rng=rng)
    if len(chosen) < MIN_CROPS:
        raise InputError(
            "too few objects in the train split to build synthetic images from",
            expected=f">= {MIN_CROPS}",
            got=len(chosen),
            where=dataset.ref.uri,
            next_step="label more images",
        )
    crops: list[Crop] = []
    for row in rows:
        labels = [label for owner, label in chosen if owner == row.id]
        if labels:
            image = dataset.image(row)
            crops += [cut_out(image, label, source=row.id) for label in labels]
    return CropBank(tuple(crops))


def cut_out(image: Image, label: Label, *, source: str) -> Crop:
    """One object with MARGIN around it; beyond the frame the picture's edge is repeated."""
    height, width = image.shape[:2]
    w, h = side_px(label)
    scale = min(1.0, MAX_CROP_PX / (max(w, h) * (1 + 2 * MARGIN)))
    size_wh = (_crop_px(w * scale), _crop_px(h * scale))
    rgb = _resample(image, label, size_wh)
    if label.mask:
        mask = decode_mask(label.mask, shape=(height, width))
        matte = smooth(_resample_mask(mask, label, size_wh).astype(np.float32))
    else:
        matte = matte_from_box(rgb)
    rgba = np.dstack([rgb, np.rint(matte * 255).astype(np.uint8)])
    longer = max(width, height)
    return Crop(rgba, label.class_id, (w / longer, h / longer), source, bool(label.mask))


def resize_rgba(rgba: Rgba, size_wh: tuple[int, int]) -> Rgba:
    """Bilinear, antialiased; RGB and opacity apart, because the surroundings' colors are wanted too."""
    rgb = PillowImage.fromarray(np.ascontiguousarray(rgba[:, :, :3])).resize(size_wh, PillowImage.Resampling.BILINEAR)
    alpha = PillowImage.fromarray(np.ascontiguousarray(rgba[:, :, 3])).resize(size_wh, PillowImage.Resampling.BILINEAR)
    return np.dstack([np.asarray(rgb), np.asarray(alpha)])


def _choose_objects(rows: Sequence[Row], *, n_classes: int, rng: Rng) -> list[tuple[str, Label]]:
    chosen: list[tuple[str, Label]] = []
    for class_id in range(n_classes):
        found = [(row, label) for row in rows for label in whole_labels(row) if label.class_id == class_id]
        whole = [(row, label) for row, label in found if not any(cut_sides(label, wh_of(row)))]
        alone = [(row, label) for row, label in whole if _covered_share(row, label) <= _ALONE_SHARE]
        pool = next((part for part in (alone, whole) if len(part) >= _ENOUGH), found)
        picked = sorted(rng.permutation(len(pool))[:MAX_PER_CLASS].tolist())
        chosen += [(pool[index][0].id, pool[index][1]) for index in picked]
    return chosen


def _covered_share(row: Row, label: Label) -> float:
    """The largest part of a label's box that another label's box covers."""
    others = [other for other in row.labels if other.instance_id != label.instance_id]
    (x1, y1, x2, y2), (w, h) = label.xyxy, side_px(label)
    covered = [
        max(0.0, min(x2, other.xyxy[2]) - max(x1, other.xyxy[0]))
        * max(0.0, min(y2, other.xyxy[3]) - max(y1, other.xyxy[1]))
        for other in others
    ]
    return max(covered, default=0.0) / (w * h)


def _crop_px(box_px: float) -> int:
    return max(4, round(box_px * (1 + 2 * MARGIN)))


def _resample(image: Image, label: Label, size_wh: tuple[int, int]) -> Image:
    """The box with its margin, from edge-padded pixels, at `size_wh` px."""
    x1, y1, x2, y2 = label.xyxy
    pad_x, pad_y = (x2 - x1) * MARGIN, (y2 - y1) * MARGIN
    border = int(max(pad_x, pad_y)) + 2
    padded = np.pad(image, ((border, border), (border, border)) + ((0, 0),) * (image.ndim - 2), mode="edge")
    region = (x1 - pad_x + border, y1 - pad_y + border, x2 + pad_x + border, y2 + pad_y + border)
    picture = PillowImage.fromarray(padded).resize(size_wh, PillowImage.Resampling.BILINEAR, box=region)
    return np.asarray(picture)


def _resample_mask(mask: Mask, label: Label, size_wh: tuple[int, int]) -> Mask:
    return _resample(mask.astype(np.uint8) * 255, label, size_wh) > 127


def _crop(arrays: dict[str, npt.NDArray[np.generic]], index: int, pixels: npt.NDArray[np.generic]) -> Crop:
    height, width = map(int, arrays["shape_hw"][index])
    size_w, size_h = map(float, arrays["size_wh"][index])
    return Crop(
        rgba=pixels.astype(np.uint8).reshape(height, width, 4),
        class_id=int(arrays["class_id"][index]),
        size_wh=(size_w, size_h),
        source=str(arrays["source"][index]),
        masked=bool(arrays["masked"][index]),
    )
