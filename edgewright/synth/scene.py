"""Whole scenes out of a network: a layout is drawn, painted, and is the label at once.

Decides which size a scene has (that of a random real train picture, at the size the network learned objects at), which
shape its objects have (a real labeled mask of the class, else the box's ellipse), and what is seen of them: small ones
lie over large ones, as in training. Objects overlap as the layout model has them overlap. Refuses to paint at another
size than was learned.

    picture = SceneFactory(trained, dataset, config, seed=0).make(3)
"""

from __future__ import annotations

import numpy as np
from PIL import Image as PillowImage

from edgewright.data.dataset import Dataset
from edgewright.errors import InputError
from edgewright.recipe.synth import GenerateConfig
from edgewright.synth.boxes import cut_to_frame, oval, tight_box
from edgewright.synth.compose.background import SceneObject, scaled_wh
from edgewright.synth.compose.composite import constructed, label_scene
from edgewright.synth.compose.painting import Painter
from edgewright.synth.compose.tiles import by_depth, draw_layout
from edgewright.synth.generator import TrainedGenerator
from edgewright.synth.layout.layouts import Planned, Rng, sample_layout
from edgewright.synth.layout.steering import steer_as_asked
from edgewright.synth.matte import MARGIN, Mask
from edgewright.synth.objects.crops import CropBank
from edgewright.synth.picture import SyntheticPicture
from edgewright.synth.sources import train_rows, wh_of

_HALF = 127


class SceneFactory:
    """Law: `make(i)` gives the same picture whatever was made before.

    Raises InputError for pictures of another size than the network learned, or where there is no train picture.
    """

    def __init__(self, trained: TrainedGenerator, dataset: Dataset, config: GenerateConfig, *, seed: int) -> None:
        self._trained = trained
        self._painter = _painter(trained, config)
        self._config = config
        self._seed = seed
        rows = train_rows(dataset)
        if not rows:
            raise InputError("no train image to take a size from", expected=">= 1", got=0, where=dataset.ref.uri)
        self._sizes_wh = [wh_of(row) for row in rows]
        self._steering = steer_as_asked(trained.layouts.objects_by_class, trained.layouts.pictures, rows, config)

    def make(self, index: int) -> SyntheticPicture:
        rng = np.random.default_rng([self._seed, 4, index])
        like_wh = self._sizes_wh[int(rng.integers(len(self._sizes_wh)))]
        wh = scaled_wh(like_wh, longer_px=self._config.image_px)
        class_ids = self._painter.class_ids
        planned = sample_layout(self._trained.layouts, wh=wh, rng=rng, steering=self._steering)
        known = [item for item in planned if item.class_id in class_ids]
        objects = by_depth([place(item, self._trained.bank, wh=wh, rng=rng) for item in known])
        layout = draw_layout(objects, class_ids=class_ids, wh=wh)
        labels = label_scene([], objects, wh=wh, min_visible=self._config.min_visible)
        return SyntheticPicture(
            image=self._painter.paint(layout.planes(len(class_ids)), rng),
            labels=tuple(labels),
            parents=(),
            counts={"kept": 0, "pasted_real": 0, "pasted_generated": len(objects), "no_place": 0},
        )


def place(item: Planned, bank: CropBank, *, wh: tuple[int, int], rng: Rng) -> SceneObject:
    """A planned object with its pixels in a frame of `wh` px."""
    x1, y1, x2, y2 = (round(value) for value in item.xyxy)
    box_wh = (max(x2 - x1, 1), max(y2 - y1, 1))
    masked = bank.masked(item.class_id)
    shape = real_shape(bank, item.class_id, box_wh, longer_px=max(wh), rng=rng) if masked else oval(*box_wh)
    part, corner_xy = cut_to_frame(shape, (x1, y1), wh=wh)
    label, px = constructed(item.class_id), int(np.count_nonzero(part))
    box = tight_box(part, corner_xy) or label.xyxy
    return SceneObject(label, box, part, corner_xy, px, int(np.count_nonzero(shape)))


def real_shape(bank: CropBank, class_id: int, box_wh: tuple[int, int], *, longer_px: int, rng: Rng) -> Mask:
    """The labeled mask of a real object of like size, stretched to a box, mirrored half of the time."""
    crop = bank.choose(class_id, size_wh=(box_wh[0] / longer_px, box_wh[1] / longer_px), rng=rng)
    height, width = crop.rgba.shape[:2]
    inner_x, inner_y = (side * MARGIN / (1 + 2 * MARGIN) for side in (width, height))
    opacity = PillowImage.fromarray(np.ascontiguousarray(crop.rgba[:, :, 3])).resize(
        box_wh, PillowImage.Resampling.BILINEAR, box=(inner_x, inner_y, width - inner_x, height - inner_y)
    )
    shape: Mask = np.asarray(opacity) > _HALF
    return shape[:, ::-1] if rng.random() < 0.5 else shape


def _painter(trained: TrainedGenerator, config: GenerateConfig) -> Painter:
    if trained.scenes is None:
        raise InputError("this generator paints no scenes", expected="level scene", got=trained.level)
    if config.image_px != trained.scenes.scene_px:
        raise InputError(
            "scenes are painted at the size they were learned at",
            expected=f"generate.image_px = {trained.scenes.scene_px}",
            got=config.image_px,
            next_step="set generate.image_px and train_generator.scene_px to the same number",
        )
    return trained.scenes
