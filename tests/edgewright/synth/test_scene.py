"""Scenes: what is learned from, the networks, and pictures whose labels are their layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from edgewright.artifacts import Artifact
from edgewright.data.dataset import Dataset
from edgewright.data.rle import decode_mask
from edgewright.data.rows import Label
from edgewright.errors import InputError, RecipeError
from edgewright.recipe import resolve
from edgewright.recipe.synth import GenerateConfig, TrainGeneratorConfig
from edgewright.synth.compose.background import SceneObject
from edgewright.synth.compose.painting import Painter, padded
from edgewright.synth.compose.tiles import TileBatches, by_depth, draw_layout, read_scenes
from edgewright.synth.generator import TrainedGenerator, open_generator
from edgewright.synth.methods import tile_batches
from edgewright.synth.networks.nets import NetShape
from edgewright.synth.networks.scene_nets import PatchDiscriminator, SceneGenerator
from edgewright.synth.networks.unet import FlowNet
from edgewright.synth.scene import SceneFactory
from edgewright.synth.sources import train_rows

pytestmark = pytest.mark.usefixtures("one_thread")
TOY = {"level": "scene", "side_px": 32, "scene_px": 64}
Fit = Callable[..., Artifact]
METHODS = ("gan", "diffusion")


@pytest.fixture(scope="module", params=METHODS)
def untrained(request: pytest.FixtureRequest, fit: Fit, dataset: Dataset) -> TrainedGenerator:
    return open_generator(fit(dataset, **TOY, method=request.param))


def block(class_id: int, x: int, y: int, w: int, h: int) -> SceneObject:
    label = Label(0, class_id, (0.0, 0.0, 0.0, 0.0))
    return SceneObject(label, (x, y, x + w, y + h), np.ones((h, w), np.bool_), (x, y), w * h, w * h)


def test_a_layout_keeps_objects_that_touch_apart_and_small_ones_on_top() -> None:
    large, beside, small = block(7, 1, 1, 6, 6), block(7, 7, 1, 3, 6), block(4, 3, 3, 2, 2)
    layout = draw_layout(by_depth([small, beside, large]), class_ids=(4, 7), wh=(12, 8))
    planes = layout.planes(2)
    assert planes.shape == (3, 8, 12)
    assert planes[0].sum() == 4 and planes[1].sum() == 36 - 4 + 18
    assert planes[2, 3, 6] and planes[2, 3, 7], "the edge between two of one class"
    assert planes[2, 1:7, 1].all() and not planes[2, 3, 8], "rims are edges, insides are not"
    assert not planes[2][layout.classes == 0].any()


def test_tiles_show_the_objects_that_their_layout_says(dataset: Dataset) -> None:
    scenes = read_scenes(dataset, train_rows(dataset), class_ids=(0, 1), scene_px=64)
    tiles = TileBatches(scenes, side_px=32, n_classes=2, device=torch.device("cpu"))
    batch = tiles.draw(64, torch.Generator().manual_seed(0))
    assert batch.images.shape == (64, 3, 32, 32) and batch.condition.shape == (64, 3, 32, 32)
    redness = (batch.images[:, 0] - batch.images[:, 2])[:, None]
    for plane, sign in ((0, 1), (1, -1)):
        inside = (batch.condition[:, plane : plane + 1] > 0) & (batch.condition[:, 2:] == 0)
        assert (sign * redness[inside]).mean() > 1.2
    shown = (batch.condition[:, :2] > 0).flatten(2).any(dim=2).float().mean(dim=0)
    assert shown.min() > 0.4, "both classes are seen often"
    again = tiles.draw(64, torch.Generator().manual_seed(0))
    assert (again.images == batch.images).all() and (again.condition == batch.condition).all()


def test_a_scene_smaller_than_a_tile_is_extended(fit: Fit, dataset: Dataset) -> None:
    config = TrainGeneratorConfig.model_validate({**TOY, "side_px": 64})
    bank = open_generator(fit(dataset, **TOY, method="gan")).bank
    batch = tile_batches(dataset, train_rows(dataset), bank, config).draw(2, torch.Generator().manual_seed(0))
    assert batch.images.shape[2:] == (64, 64)


@pytest.mark.parametrize("side_px", get_args(TrainGeneratorConfig.model_fields["side_px"].annotation))
def test_shapes(side_px: int) -> None:
    shape = NetShape(side_px, 8, 8, 2, "scene")
    layout = torch.zeros(1, 3, side_px, 2 * side_px)
    gan, judge = SceneGenerator(shape), PatchDiscriminator(shape)
    made = gan(torch.randn(gan.latent_shape(layout)), layout)
    assert made.shape == (1, 3, side_px, 2 * side_px) and made.abs().max() <= 1
    assert judge(made, layout).shape == (1, 2 * (side_px // shape.stride_px) ** 2)
    assert FlowNet(shape)(made, torch.rand(1), layout).shape == made.shape


def test_a_net_of_tiles_paints_the_same_inside_a_whole_picture() -> None:
    torch.manual_seed(0)
    network = FlowNet(NetShape(32, 8, 8, 1, "scene")).eval()
    for block_ in (*network.down, *network.up):
        torch.nn.init.normal_(block_.second.weight, std=0.05)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    x, layout, t = torch.randn(1, 3, 160, 160), (torch.rand(1, 2, 160, 160) > 0.7).float(), torch.tensor([0.4])
    with torch.inference_mode():
        whole = network(x, t, layout)[..., 72:88, 72:88]
        tile = network(x[..., 16:144, 16:144], t, layout[..., 16:144, 16:144])[..., 56:72, 56:72]
    assert torch.allclose(whole, tile, atol=1e-5)


@pytest.mark.parametrize("wh", [(64, 48), (61, 35), (8, 8)])
def test_any_size_is_painted_and_the_seed_fixes_it(wh: tuple[int, int]) -> None:
    shape = NetShape(32, 8, 8, 2, "scene")
    planes = np.zeros((3, wh[1], wh[0]), np.float32)
    for network in (SceneGenerator(shape).eval(), FlowNet(shape).eval()):
        painter = Painter(network, (0, 1), 64)
        first, again = (painter.paint(planes, np.random.default_rng(1)) for _ in range(2))
        assert first.shape == (wh[1], wh[0], 3) and first.dtype == np.uint8
        assert (first == again).all()


def test_padding_goes_to_the_next_multiple_and_no_further() -> None:
    assert padded(torch.zeros(1, 1, 9, 16), 8).shape == (1, 1, 16, 16)


def test_pictures_depend_on_their_number_alone(untrained: TrainedGenerator, dataset: Dataset) -> None:
    config = GenerateConfig(image_px=64)
    first, other = (SceneFactory(untrained, dataset, config, seed=5) for _ in range(2))
    in_order = [first.make(index) for index in range(4)]
    for index in (3, 1):
        again = other.make(index)
        assert (again.image == in_order[index].image).all() and again.labels == in_order[index].labels
    assert {made.image.shape for made in in_order} == {(48, 64, 3)}
    assert len({made.image.tobytes() for made in in_order}) == 4


def test_labels_are_the_tight_boxes_of_visible_masks(untrained: TrainedGenerator, dataset: Dataset) -> None:
    factory = SceneFactory(untrained, dataset, GenerateConfig(image_px=64, min_visible=0.5), seed=0)
    labels = [label for index in range(10) for label in factory.make(index).labels]
    assert len(labels) > 15
    assert {label.class_id for label in labels} == {0, 1}
    for label in labels:
        ys, xs = np.nonzero(decode_mask(label.mask, shape=(48, 64)))
        assert label.xyxy == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert min(label.xyxy[2] - label.xyxy[0], label.xyxy[3] - label.xyxy[1]) >= 4
    filled = [
        decode_mask(label.mask, shape=(48, 64)).sum()
        / ((label.xyxy[2] - label.xyxy[0]) * (label.xyxy[3] - label.xyxy[1]))
        for label in labels
    ]
    assert np.median(filled) > 0.9, "shapes are those of the real masks, which are rectangles"


def test_without_masks_objects_are_ellipses(fit: Fit, bare_dataset: Dataset) -> None:
    trained = open_generator(fit(bare_dataset, **TOY, method="gan", steps=1))
    label = SceneFactory(trained, bare_dataset, GenerateConfig(image_px=64, keep_share=0), seed=0).make(0).labels[0]
    area = (label.xyxy[2] - label.xyxy[0]) * (label.xyxy[3] - label.xyxy[1])
    assert decode_mask(label.mask, shape=(48, 64)).sum() == pytest.approx(np.pi / 4 * area, rel=0.15)


def test_another_size_than_learned_is_refused(untrained: TrainedGenerator, dataset: Dataset) -> None:
    with pytest.raises(InputError, match=r"generate.image_px = 64.*got 96.*scene_px"):
        SceneFactory(untrained, dataset, GenerateConfig(image_px=96), seed=0)


def test_scenes_need_a_network_that_is_learned() -> None:
    with pytest.raises(RecipeError, match="level scene needs"):
        resolve("demo", overrides=["train_generator.level=scene", "train_generator.method=compositor"])


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_training_gives_the_same_artifact(fit: Fit, dataset: Dataset, tmp_path: Path, method: str) -> None:
    whole = fit(dataset, **TOY, method=method, steps=12, checkpoint_every=5)

    class Killed(Exception):
        pass

    def die(done: int, total: int, what: str) -> None:
        if done >= 5:
            raise Killed

    with pytest.raises(Killed):
        fit(dataset, **TOY, method=method, steps=12, checkpoint_every=5, scratch=tmp_path, on_progress=die)
    assert list(tmp_path.glob("*.checkpoint"))
    resumed = fit(dataset, **TOY, method=method, steps=12, checkpoint_every=5, scratch=tmp_path)
    assert resumed.ref.sha256 == whole.ref.sha256


@pytest.mark.parametrize("changes", [{"scene_px": 80}, {"side_px": 48}])
def test_size_fields_change_what_is_learned(fit: Fit, dataset: Dataset, changes: dict[str, object]) -> None:
    weights = [
        fit(dataset, method="diffusion", **{**TOY, **change}).path("diffusion.safetensors").read_bytes()
        for change in ({}, changes)
    ]
    assert weights[0] != weights[1]


@pytest.mark.trains
@pytest.mark.parametrize(("method", "steps"), [("gan", 90), ("diffusion", 80)])
def test_objects_are_painted_where_the_labels_are(fit: Fit, dataset: Dataset, method: str, steps: int) -> None:
    trained = open_generator(fit(dataset, **TOY, method=method, steps=steps, batch=8, ema_decay=0.9))
    factory = SceneFactory(trained, dataset, GenerateConfig(image_px=64), seed=0)
    redness: dict[int, list[float]] = {0: [], 1: []}
    for index in range(8):
        made = factory.make(index)
        for label in made.labels:
            mask = decode_mask(label.mask, shape=(48, 64))
            inside = made.image[mask].astype(float).mean(axis=0)
            redness[label.class_id].append(inside[0] - inside[2])
    assert np.mean(redness[0]) > np.mean(redness[1]) + 40
