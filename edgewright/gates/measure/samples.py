"""What the data gate looks at: which pictures of which set, and what is kept of each.

Decides the three sets: S usable synthetic rows, T real `train`, H real `val`; never `test`. Each picture is decoded
once; only its tiles and prints stay in memory. At most `max_images` of S and H are looked at, and all of T: a copy of
any training picture must be found.

    sets = Sets.of(real, synthetic, config, rng=rng)
    looked = draw_all(sets, real, synthetic, config, scale=Scale.of(sets.synthetic), seed=0, on_progress=silent)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Label, LabelSource, Origin, Row, Split
from edgewright.gates.measure.copying import OBJECT_PRINT_PX, PICTURE_PRINT_PX, Prints
from edgewright.gates.measure.tiles import (
    Scale,
    Tiles,
    blank_middle,
    centered_corners,
    cut_tiles,
    random_corners,
    shrunk,
    squared,
    thumbnail,
)
from edgewright.progress import OnProgress
from edgewright.recipe.gates import GateDataConfig
from edgewright.runtime.boxes import Boxes, Image

PICTURE_TILES = 1.5
MIN_SPREAD = 0.5
"""Gray levels: what rounding to 8 bits alone may do to a pixel."""
_MAX_OBJECTS = 16
_REPORT_EVERY = 16


@dataclass(frozen=True)
class Sets:
    """Rows of the three sets; at most `max_images` of S and H are looked at, all of T for the copy test."""

    synthetic: tuple[Row, ...]
    train: tuple[Row, ...]
    held_out: tuple[Row, ...]

    @classmethod
    def of(cls, real: Dataset, synthetic: Dataset, config: GateDataConfig, *, rng: np.random.Generator) -> Sets:
        def some(rows: Sequence[Row], limit: int) -> tuple[Row, ...]:
            ordered = sorted(rows, key=lambda row: row.id)
            return tuple(ordered[i] for i in rng.permutation(len(ordered))[:limit])

        train = real.select(split=Split.TRAIN, origin=Origin.REAL)
        return cls(
            synthetic=some(synthetic.select(origin=Origin.SYNTHETIC), config.max_images),
            train=some(train, len(train)),
            held_out=some(real.select(split=Split.VAL, origin=Origin.REAL), config.max_images),
        )

    @property
    def n_matched(self) -> int:
        return min(len(self.synthetic), len(self.train))


def problem_of(sets: Sets, config: GateDataConfig) -> str:
    """Why nothing can be measured; empty where it can."""
    named = (("synthetic", sets.synthetic), ("real train", sets.train), ("held-out real (val)", sets.held_out))
    for name, rows in named:
        if len(rows) < config.min_images:
            return f"{len(rows)} {name} images, {config.min_images} are needed (gate_data.min_images)"
        if len({row.sha256 for row in rows}) == 1:
            return f"all {len(rows)} {name} images are the same picture"
    return ""


def alike_problem(everything: Everything) -> str:
    """Why pictures that are not the same bytes are the same picture all the same; empty where they differ.

    Photographs of one still scene, or one picture with a pixel changed, differ by noise: there is no distribution to
    compare. What counts is the mean over all pixels of the standard deviation over the pictures.
    """
    named = (
        ("synthetic", everything.synthetic),
        ("real train", everything.train),
        ("held-out real (val)", everything.held_out),
    )
    for name, looked in named:
        found = spread_of(looked.pictures)
        if found < MIN_SPREAD:
            levels = f"they differ by {found:.2g} gray levels a pixel, >= {MIN_SPREAD:g} are needed"
            return f"the {len(looked.pictures)} {name} images are all alike: {levels}"
    return ""


def spread_of(pictures: Tiles) -> float:
    """(N, S, S, 3) => gray levels: the mean over the pixels of their standard deviation over the pictures."""
    return float(np.mean([pictures[:, y].std(axis=0, dtype=np.float64) for y in range(pictures.shape[1])]))


@dataclass(frozen=True)
class SampledPictures:
    """What is kept of one set's pictures: tiles (`tiles_per_image` in a row for each), the pictures themselves reduced
    to squares of `PICTURE_TILES` tile sides, and prints."""

    tiles: Tiles
    pictures: Tiles
    prints: Prints

    @classmethod
    def of(cls, rows: Sequence[Row], pictures: Sequence[_Picture]) -> SampledPictures:
        owners = [np.full(len(picture.object_prints), index) for index, picture in enumerate(pictures)]
        prints = Prints(
            ids=tuple(row.id for row in rows),
            pictures=np.stack([picture.print for picture in pictures]),
            objects=np.concatenate([picture.object_prints for picture in pictures]),
            scenes=np.concatenate([picture.scene_prints for picture in pictures]),
            picture_of_object=np.concatenate(owners).astype(np.int64),
            groups=tuple(row.group or row.id for row in rows),
            parents=tuple(row.parents for row in rows),
        )
        tiles = np.concatenate([picture.tiles for picture in pictures])
        return cls(tiles, np.stack([picture.square for picture in pictures]), prints)

    def first_tiles(self, pictures: int, *, tiles_per_image: int) -> Tiles:
        return self.tiles[: pictures * tiles_per_image]


@dataclass(frozen=True)
class Everything:
    synthetic: SampledPictures
    train: SampledPictures
    held_out: SampledPictures
    n_matched: int


def draw_all(
    sets: Sets,
    real: Dataset,
    synthetic: Dataset,
    config: GateDataConfig,
    *,
    scale: Scale,
    seed: int,
    on_progress: OnProgress,
) -> Everything:
    total = len(sets.synthetic) + len(sets.train) + len(sets.held_out)
    done = 0

    def sample(dataset: Dataset, rows: Sequence[Row], *, max_objects: int | None) -> SampledPictures:
        nonlocal done
        rng = np.random.default_rng([seed, 1, done])
        pictures = []
        for row in rows:
            pictures.append(
                _sample_picture(dataset.image(row), row.labels, config, scale, max_objects=max_objects, rng=rng)
            )
            done += 1
            if done % _REPORT_EVERY == 0:
                on_progress(done, total, "pictures looked at")
        return SampledPictures.of(rows, pictures)

    return Everything(
        synthetic=sample(synthetic, sets.synthetic, max_objects=_MAX_OBJECTS),
        train=sample(real, sets.train, max_objects=None),
        held_out=sample(real, sets.held_out, max_objects=_MAX_OBJECTS),
        n_matched=sets.n_matched,
    )


@dataclass(frozen=True)
class _Picture:
    tiles: Tiles
    square: Image
    print: Image
    object_prints: Tiles
    scene_prints: Tiles


def _sample_picture(
    image: Image,
    labels: Sequence[Label],
    config: GateDataConfig,
    scale: Scale,
    *,
    max_objects: int | None,
    rng: np.random.Generator,
) -> _Picture:
    tile_px = config.feature_px
    small = scale.reduce(image)
    anywhere = random_corners(small, tile_px=tile_px, count=config.tiles_per_image, rng=rng)
    boxes = _counted(labels)[:max_objects]
    reduced = small.shape[1] / image.shape[1]
    around = cut_tiles(small, centered_corners(boxes, scale=reduced, tile_px=tile_px), tile_px=tile_px)
    prints = [thumbnail(tile, side_px=OBJECT_PRINT_PX) for tile in around]
    return _Picture(
        tiles=cut_tiles(small, anywhere, tile_px=tile_px),
        square=squared(small, side_px=round(PICTURE_TILES * tile_px)),
        print=thumbnail(small, side_px=PICTURE_PRINT_PX),
        object_prints=np.array(prints, dtype=np.uint8).reshape(-1, OBJECT_PRINT_PX, OBJECT_PRINT_PX, 3),
        scene_prints=_scene_prints(small, boxes, scale=reduced),
    )


def _scene_prints(image: Image, boxes: Boxes, *, scale: float) -> Tiles:
    """Around each object the whole picture, without the object: `scale` is px of the picture per box px."""
    tiny = shrunk(image, longer_px=OBJECT_PRINT_PX)
    scale *= tiny.shape[1] / image.shape[1]
    views = cut_tiles(tiny, centered_corners(boxes, scale=scale, tile_px=OBJECT_PRINT_PX), tile_px=OBJECT_PRINT_PX)
    sides = (boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]) * scale
    for view, (width, height) in zip(views, sides, strict=True):
        blank_middle(view, width=float(width), height=float(height))
    return views


def _counted(labels: Sequence[Label]) -> Boxes:
    """The objects that a picture claims to have made; all objects where it claims none (a photograph, or a copier)."""
    counting = [label for label in labels if not label.ignore]
    made = [label for label in counting if label.source != LabelSource.HUMAN] or counting
    return Boxes.of([label.xyxy for label in made], class_id=[label.class_id for label in made])
