"""What a training shows: mixtures, repeats, equal steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.dataset import Dataset
from edgewright.detect.lesson import EpochReport
from edgewright.detect.schedule import STRONG, augmentation_settings, batches_per_epoch, shown
from edgewright.detect.train import DetectorReport, train_detector
from edgewright.detect.yolo.training_files import REAL_LIST, TRAIN_LIST, read_list, write_lists
from edgewright.recipe.detect import TrainDetectorConfig


@given(
    n_real=st.integers(1, 9),
    n_synthetic=st.integers(0, 9),
    steps=st.integers(1, 60),
    epochs=st.integers(1, 9),
    share=st.one_of(st.none(), st.floats(0.01, 1)),
)
def test_every_arm_makes_the_same_number_of_steps(
    n_real: int, n_synthetic: int, steps: int, epochs: int, share: float
) -> None:
    config = TrainDetectorConfig(steps=steps, epochs=epochs, batch=4, real_share=share)
    synthetic = [False] * n_real + [True] * n_synthetic
    indices = shown(synthetic, config, factors=[1] * len(synthetic), seed=0)
    assert len(indices) == 4 * batches_per_epoch(config)
    assert set(indices) <= set(range(len(synthetic)))
    counts = [indices.count(i) for i in range(len(synthetic)) if share is None or not synthetic[i]]
    assert max(counts) - min(counts) <= 1  # nobody is shown twice more than another of its kind


def test_without_steps_every_picture_is_shown_once() -> None:
    assert shown([False, True, False], TrainDetectorConfig(), factors=[1] * 3, seed=3) == [0, 1, 2]


@pytest.mark.parametrize(
    ("share", "real"),
    [
        (0.25, 4),
        (0.5, 8),
        (1.0, 16),  # synthetic pictures are there and not shown
    ],
)
def test_the_share_of_photographs_is_what_was_asked_for(share: float, real: int) -> None:
    config = TrainDetectorConfig(steps=4, epochs=1, batch=4, real_share=share)
    indices = shown([False, False, True, True, True, True], config, factors=[1] * 6, seed=1)
    assert sum(i < 2 for i in indices) == real
    assert len(indices) == 16


def test_a_share_of_photographs_where_there_are_no_others_changes_nothing() -> None:
    config = TrainDetectorConfig(real_share=0.5)
    assert shown([False, False], config, factors=[1, 1], seed=0) == [0, 1]


def test_strong_augmentation_names_settings_of_the_library() -> None:
    from edgewright.detect.yolo.library import open_ultralytics

    known = vars(open_ultralytics("cfg").get_cfg())
    assert set(STRONG) <= set(known)
    assert all(value >= known[name] for name, value in STRONG.items())
    assert augmentation_settings(TrainDetectorConfig()) == {}


def test_the_list_of_photographs_is_as_long_as_the_other(tmp_path: Path) -> None:
    write_lists(tmp_path, [0, 1, 2, 2, 3], synthetic=[False, True, True, False])
    shown_files, real_files = read_list(tmp_path / TRAIN_LIST), read_list(tmp_path / REAL_LIST)
    assert [name[-12:] for name in shown_files] == [f"{i:08d}.png" for i in (0, 1, 2, 2, 3)]
    assert [name[-12:] for name in real_files] == [f"{i:08d}.png" for i in (0, 3, 0, 3, 0)]


both_families = pytest.mark.parametrize("model", ["edgewright-slim", "efficientdet-slim"])


def train(
    dataset: Dataset, tmp_path: Path, **changes: Any
) -> tuple[DetectorReport, list[EpochReport], list[dict[str, Any]]]:
    config = TrainDetectorConfig(**{"image_px": 64, "epochs": 2, "batch": 4, "steps": 4, "keep": "last", **changes})
    out = tmp_path / "out"
    out.mkdir(parents=True)
    epochs = []
    report = train_detector(
        dataset, config, out=out, scratch=tmp_path / "work", seed=0, threads=1, on_epoch=epochs.append
    )
    return report, epochs, json.loads((out / "history.json").read_bytes())


@both_families
def test_the_last_epoch_is_kept_and_val_is_not_needed(
    make_squares: Callable[..., Dataset], tmp_path: Path, model: str
) -> None:
    report, epochs, history = train(make_squares(train_real=6), tmp_path, model=model)
    assert (report.n_val, report.best_epoch, report.map50) == (0, 2, None)
    assert [epoch.map50 for epoch in epochs] == [None, None]
    assert "val/map50" not in history[0]


@both_families
def test_photographs_alone_are_shown_after_a_while(
    make_squares: Callable[..., Dataset], tmp_path: Path, model: str
) -> None:
    """With nothing but photographs from the first epoch on, the synthetic pictures change nothing."""
    both = make_squares(train_real=6, train_synthetic=4)
    report, _, history = train(both, tmp_path / "a", model=model, synthetic_until=0.0, epochs=1)
    _, _, mixed = train(both, tmp_path / "b", model=model, synthetic_until=1.0, epochs=1)
    _, _, again = train(both, tmp_path / "c", model=model, synthetic_until=0.0, epochs=1)
    assert report.n_synthetic == 4
    assert history[0] == again[0]
    assert history[0] != mixed[0]


@pytest.mark.trains
@both_families
def test_bfloat16_trains_and_publishes_float32(
    make_squares: Callable[..., Dataset], tmp_path: Path, model: str
) -> None:
    """Other arithmetic gives other losses; what is saved is the averaged float32 copy, which loads as ever."""
    from edgewright.detect.network import load_module

    photographs = make_squares(train_real=6)
    _, _, fp32 = train(photographs, tmp_path / "a", model=model, epochs=1)
    _, _, bf16 = train(photographs, tmp_path / "b", model=model, epochs=1, precision="bf16")
    assert fp32[0] != bf16[0]
    if model == "edgewright-slim":  # how much is assigned differs in the first steps, not its kind
        ratios = [one["train/box_loss"] / one["train/dfl_loss"] for one in (fp32[0], bf16[0])]
        assert ratios[0] == pytest.approx(ratios[1], rel=0.1)
    module, _ = load_module(lambda name: tmp_path / "b" / "out" / name)
    assert {str(value.dtype) for value in module.state_dict().values() if value.is_floating_point()} == {
        "torch.float32"
    }
