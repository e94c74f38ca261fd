"""The law of the loop, for every method that uses it: cut anywhere and continued, it ends as if it had not been cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewright.detect.efficientdet.batches import Augmentation, Batches
from edgewright.detect.efficientdet.graph import graph_named
from edgewright.detect.efficientdet.method import Judged, LiteMethod, Schedule
from edgewright.detect.efficientdet.network import EfficientDet
from edgewright.errors import StageFailed
from edgewright.gates.spaces.self_supervised import Vicreg
from edgewright.label.network.batches import Examples
from edgewright.label.network.fit import Segmenter
from edgewright.learning.checkpoint import Checkpoint
from edgewright.learning.descent import Descent, Forward, OneNetwork
from edgewright.learning.device import seeded
from edgewright.learning.loop import Losses, Method, Trained, train
from edgewright.learning.precision import Precision
from edgewright.recipe.label import TrainLabelerConfig
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.runtime.boxes import Boxes, Image
from edgewright.synth.methods import shape_of
from edgewright.synth.networks.batches import CropBatches, CropSet
from edgewright.synth.networks.train_flow import Flow
from edgewright.synth.networks.train_gan import Gan

STEPS = 6
CUTS = [(0, 1), (1, 1), (3, 2), (4, 5), (STEPS - 1, 1), (STEPS, 4), (STEPS + 1, 4)]
"""Steps done when it is cut, and steps between checkpoints; at `STEPS` while it is judged, after that not at all."""


class Slope(OneNetwork[tuple[Tensor, Tensor]]):
    """The least that a new method must say: y = 3 x."""

    name = "slope"
    next_step = "lower the learning rate"

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(8, 1, generator=torch.Generator().manual_seed(step))
        return x, 3 * x

    def loss(self, forward: Forward, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        error: Tensor = forward(x) - y
        return error.square().mean()


def slope(learning_rate: float = 0.1) -> Slope:
    layer = nn.Linear(1, 1)
    for value in layer.parameters():
        nn.init.zeros_(value)
    return Slope(layer, Descent(learning_rate, clip_norm=1.0), ema_decay=0.5)


def generator(method: type[Method[Any]], precision: str) -> Method[Any]:
    name = "gan" if method is Gan else "diffusion"
    config = TrainGeneratorConfig(method=name, precision=precision, steps=STEPS, batch=4, width=8, latent=8)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 4), dtype=np.uint8)
    batches = CropBatches(CropSet(pixels, np.arange(12) % 2), torch.device("cpu"))
    rng = torch.Generator().manual_seed(3)
    return method(batches, shape_of(config, n_classes=2), config, rng=rng, seed=3)  # type: ignore[call-arg]


def segmenter() -> Segmenter:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8))
    targets = torch.from_numpy(rng.integers(0, 2, (6, 3, 32, 32), dtype=np.uint8))
    config = TrainLabelerConfig(image_px=32, steps=STEPS, batch=2, width=8)
    return Segmenter(Examples(images, targets), config, n_classes=1, seed=3)


def ssl() -> Vicreg:
    tiles = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    return Vicreg(tiles, steps=STEPS, seed=[3])


class OnePicture:
    """A bright square."""

    def __len__(self) -> int:
        return 4

    def at(self, index: int) -> tuple[Image, Boxes]:
        image = np.zeros((32, 32, 3), dtype=np.uint8)
        image[8:24, 4 + index : 20 + index] = 255
        return image, Boxes.of([[4 + index, 8, 20 + index, 24]], class_id=[0])


def detector() -> LiteMethod:
    """Three epochs of two steps, judged after each."""
    graph = replace(graph_named("efficientdet-slim", n_classes=1), blocks=12, channels=8)
    with seeded(3):
        module = EfficientDet(graph)
    return LiteMethod(
        module,
        lambda _: Batches(OnePicture(), range(4), size=2, image_px=32, seed=3),
        Schedule(3, 2, 1e-3, plain_from=2, patience=9, backbone_rate=0.5, frozen_share=0.2),
        augmentation=Augmentation(),
        precision=Precision.on("fp32", torch.device("cpu"), field="test"),
        judge=lambda network: Judged(0.5, float(next(network.parameters()).mean())),
        on_epoch=lambda epoch, row: None,
    )


USERS: dict[str, Callable[[], Method[Any]]] = {
    "slope": slope,
    "gan": lambda: generator(Gan, "fp32"),
    "gan bf16": lambda: generator(Gan, "bf16"),
    "diffusion": lambda: generator(Flow, "fp32"),
    "diffusion bf16": lambda: generator(Flow, "bf16"),
    "labeler": segmenter,
    "detector": detector,
    "ssl": ssl,
}


class Cut(Exception):
    pass


def run(user: str, folder: Path, *, every: int = 1, cut_at: int | None = None, steps: int = STEPS) -> Trained | None:
    """None where it was cut: after `cut_at` steps, whether they were kept or not."""
    method = USERS[user]()
    draw = method.draw

    def drawn(step: int) -> Any:
        if step == cut_at:
            raise Cut
        return draw(step)

    method.draw = drawn  # type: ignore[method-assign]
    try:
        return train(method, steps=steps, keep=Checkpoint(folder / "it.checkpoint", "work", every))
    except Cut:
        return None


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Trained, bytes]]:
    """The whole training, and all that changes from step to step as its last checkpoint holds it."""

    @cache
    def whole(user: str) -> tuple[Trained, bytes]:
        folder = tmp_path_factory.mktemp("whole")
        trained = run(user, folder)
        assert trained is not None
        return trained, (folder / "it.checkpoint").read_bytes()

    return whole


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def weights(trained: Trained) -> bytes:
    return b"".join(value.numpy().tobytes() for _, value in sorted(trained.network.state_dict().items()))


@pytest.mark.parametrize(("cut_at", "every"), CUTS)
@pytest.mark.parametrize("user", USERS)
def test_cut_anywhere_and_continued_it_ends_as_if_it_had_not_been_cut(
    uncut: Callable[[str], tuple[Trained, bytes]], tmp_path: Path, user: str, cut_at: int, every: int
) -> None:
    whole, state = uncut(user)
    run(user, tmp_path, every=every, cut_at=cut_at)
    continued = run(user, tmp_path, every=every)
    assert continued is not None
    assert continued.continued_from == (STEPS if cut_at > STEPS else min(cut_at, STEPS - 1) // every * every)
    assert continued.losses == whole.losses and len(whole.losses) == STEPS
    assert weights(continued) == weights(whole)
    assert (tmp_path / "it.checkpoint").read_bytes() == state, "weights, averages, moments, scales, streams and losses"


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 12), max_size=4), every=st.integers(1, 14))
def test_however_often_it_is_cut(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], every: int) -> None:
    whole = train(slope(), steps=12)
    folder = tmp_path_factory.mktemp("cut")
    for cut_at in cuts:
        run("slope", folder, every=every, cut_at=cut_at, steps=12)
    continued = run("slope", folder, every=every, steps=12)
    assert continued is not None
    assert (continued.losses, weights(continued)) == (whole.losses, weights(whole))


def test_a_new_method_learns() -> None:
    trained = train(slope(), steps=100)
    assert float(trained.network.weight) == pytest.approx(3, abs=0.05)  # type: ignore[arg-type]
    assert trained.losses[-1]["loss"] < 0.01 * trained.losses[0]["loss"]


@pytest.mark.parametrize("user", USERS)
def test_a_judgement_is_finite_and_moves_no_weight(user: str) -> None:
    method = USERS[user]()
    before = [value.clone() for value in method.network.parameters()]
    assert np.isfinite(method.judge(0))
    assert all(bool((old == new).all()) for old, new in zip(before, method.network.parameters(), strict=True))


def test_a_loss_that_is_no_number_ends_it_and_names_the_step() -> None:
    with pytest.raises(StageFailed, match=r"loss of the slope is not a finite number.*step \d+ of 60.*learning rate"):
        train(slope(learning_rate=1e30), steps=60)


def test_what_the_last_update_broke_is_neither_handed_out_nor_kept(tmp_path: Path) -> None:
    """The only loss that training sees is that of the untouched network."""
    keep = Checkpoint(tmp_path / "it.checkpoint", "work", 1)
    for _ in range(2):
        with pytest.raises(StageFailed, match=r"slope diverged in its last steps.*learning rate"):
            train(slope(learning_rate=1e30), steps=1, keep=keep)
    assert not keep.path.exists()


def test_it_reports_at_checkpoints_and_at_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, Losses]] = []
    keep = Checkpoint(tmp_path / "it.checkpoint", "work", 3)
    trained = train(slope(), steps=8, keep=keep, on_step=lambda done, losses: told.append((done, losses)))
    assert {3, 6, 8} <= {done for done, _ in told}
    assert all(losses == trained.losses[done - 1] for done, losses in told)


class Content(Slope):
    """Done after four steps."""

    def is_done(self, step: int) -> bool:
        return step >= 4


def content() -> Content:
    return Content(nn.Linear(1, 1), Descent(0.1))


def test_a_method_that_is_done_ends_early_and_is_not_taken_up_again(tmp_path: Path) -> None:
    keep = Checkpoint(tmp_path / "it.checkpoint", "work", 100)
    ended = train(content(), steps=9, keep=keep)
    again = train(content(), steps=9, keep=keep)
    assert (len(ended.losses), len(again.losses), again.continued_from) == (4, 4, 4)
    assert again.losses == ended.losses
