"""The labeler learns painted scenes, says what it is worth, and ends the same however it was cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.data.dataset import Dataset
from edgewright.data.rle import encode_mask
from edgewright.data.rows import Row
from edgewright.errors import InputError, StageFailed
from edgewright.label.network.net import Labeler
from edgewright.label.train import LabelerReport, train_labeler, trusted_rows
from edgewright.label.trust.evidence import Evidence
from edgewright.progress import OnProgress, silent
from edgewright.recipe.label import TrainLabelerConfig

TINY = TrainLabelerConfig(image_px=32, steps=8, batch=4, width=8, folds=1, min_images=2, checkpoint_every=3)
Publish = Callable[..., Dataset]
MakeScene = Callable[..., tuple[Row, bytes]]
Trained = tuple[LabelerReport, Path]
FILES = ("labeler.safetensors", "labeler.json", "evidence.json", "audit.json", "history.json", "preview.png")


def train(
    dataset: Dataset,
    config: TrainLabelerConfig,
    folder: Path,
    *,
    on_progress: OnProgress = silent,
    scratch: Path | None = None,
    seed: int = 0,
) -> LabelerReport:
    folder.mkdir(parents=True, exist_ok=True)
    (scratch or folder).mkdir(exist_ok=True)
    return train_labeler(
        dataset, config, out=folder, scratch=scratch or folder, seed=seed, threads=1, on_progress=on_progress
    )


@pytest.mark.trains
def test_it_learns_the_scenes(trained: Trained) -> None:
    report, out = trained
    assert (report.train_images, report.val_images, report.unlearned) == (24, 6, ())
    assert all(score.iou > 0.5 and score.recall > 0.6 and score.precision > 0.6 for score in report.val.values())
    assert (report.folds, report.steps, report.calibrated_on) == (2, 300, "out_of_fold")
    assert 0.25 <= report.temperature <= 4
    assert {path.name for path in out.iterdir()} == {*FILES, "labeler-fpga.onnx"}
    history = json.loads((out / "history.json").read_text())
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    description = json.loads((out / "labeler.json").read_text())
    assert description["val"]["disk"]["iou"] == report.val["disk"].iou


@pytest.mark.trains
def test_in_an_fpgas_numbers_it_sees_nearly_the_same(trained: Trained) -> None:
    report, out = trained
    for name, score in report.val.items():
        assert abs(report.val_fpga[name].iou - score.iou) < 0.1
        assert report.val_fpga[name].recall > 0.5
    facts = json.loads((out / "labeler.json").read_text())["fpga"]
    assert (facts["number_format"].split(",")[0], facts["scored_by"]) == ("INT8", "emulation")
    assert facts["support"]["on_unit"]["Conv"] == 1 + 2 * 4 + 2 * 3 + 1, "stem, four levels down, three up, head"
    assert "MatMul" in facts["support"]["on_processor"], "the last doubling"
    assert facts["val"]["disk"]["iou"] == report.val_fpga["disk"].iou


def test_every_photograph_of_train_is_judged_by_a_net_that_has_not_seen_it(
    trained: Trained, photographs: Dataset
) -> None:
    report, out = trained
    rows = trusted_rows(photographs, "train")
    evidence = Evidence.from_json(json.loads((out / "evidence.json").read_text()))
    assert evidence.source == "out_of_fold"
    for class_id, name in enumerate(photographs.classes):
        of_class = evidence.by_class[name]
        assert of_class.labels == sum(label.class_id == class_id for row in rows for label in row.labels)
        assert of_class.recall == pytest.approx(report.out_of_fold[name].recall)
        assert of_class.precision == pytest.approx(report.out_of_fold[name].precision)
        assert list(of_class.scores) == sorted(of_class.scores, reverse=True)


class Killed(Exception):
    pass


@pytest.mark.parametrize(("folds", "killed_at"), [(1, 6), (2, 14)])
def test_a_training_cut_short_ends_with_the_same_bytes(
    photographs: Dataset, tmp_path: Path, folds: int, killed_at: int
) -> None:
    def kill(done: int, total: int, what: str) -> None:
        if done == killed_at:
            raise Killed

    config = TINY.model_copy(update={"folds": folds})
    train(photographs, config, tmp_path / "whole")
    with pytest.raises(Killed):
        train(photographs, config, tmp_path / "cut", on_progress=kill, scratch=tmp_path / "scratch")
    report = train(photographs, config, tmp_path / "cut", scratch=tmp_path / "scratch")
    assert report.continued_from == killed_at
    for name in FILES:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_checkpoint_of_another_seed_is_not_continued(photographs: Dataset, tmp_path: Path) -> None:
    train(photographs, TINY, tmp_path, seed=0)
    assert train(photographs, TINY, tmp_path, seed=0).continued_from == 8
    assert train(photographs, TINY, tmp_path, seed=1).continued_from == 0


def test_every_field_changes_the_labeler(photographs: Dataset, tmp_path: Path) -> None:
    def weights(name: str, **changes: Any) -> bytes:
        train(photographs, TINY.model_copy(update=changes), tmp_path / name)
        return (tmp_path / name / "labeler.safetensors").read_bytes()

    base = weights("base", steps=2)
    changes = {"image_px": 48, "steps": 3, "batch": 5, "width": 16, "learning_rate": 1e-2, "mask_from_box": "grabcut"}
    changes |= {"network": "efficientnet", "init": str(tmp_path / "base" / "labeler.safetensors")}
    for field, value in changes.items():
        assert weights(field, **{"steps": 2, field: value}) != base, field


def test_it_refuses_synthetic_rows(publish: Publish, scene: MakeScene, tmp_path: Path) -> None:
    mixed = publish([scene(1), scene(2, origin="synthetic", state="constructed")])
    with pytest.raises(InputError, match=r"photographs alone.*scene-002"):
        train(mixed, TINY, tmp_path)


def test_only_labels_that_a_person_gave(publish: Publish, scene: MakeScene) -> None:
    states = ("human", "reviewed", "background", "model", "unlabeled")
    pairs = [scene(seed, state=state, split="train") for seed, state in enumerate(states)]
    assert [row.state for row in trusted_rows(publish(pairs), "train")] == ["human", "reviewed", "background"]


def test_too_few_labeled_photographs_are_an_error(publish: Publish, scene: MakeScene, tmp_path: Path) -> None:
    pairs = [scene(seed, split="train") for seed in range(8)]
    unlabeled = [scene(seed, split="train", labels=(), state="unlabeled") for seed in range(20, 30)]
    config = TINY.model_copy(update={"min_images": TrainLabelerConfig().min_images})
    with pytest.raises(InputError, match=r"too few labeled photographs.*at least 8, got 7.*min_images"):
        train(publish(pairs[:7] + unlabeled), config, tmp_path)
    assert train(publish(pairs + unlabeled), config, tmp_path).train_images == 8


def test_nothing_labeled_is_an_error(publish: Publish, scene: MakeScene, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labeled object"):
        train(publish([scene(seed, labels=(), state="background") for seed in (1, 2)]), TINY, tmp_path)


def test_a_class_without_labels_is_reported(publish: Publish, scene: MakeScene, tmp_path: Path) -> None:
    pairs = [scene(seed) for seed in range(1, 9)]
    report = train(publish(pairs, classes=("disk", "bar", "ring")), TINY, tmp_path)
    assert report.unlearned == ("ring",)
    spec = Labeler.read(tmp_path / "labeler.json", tmp_path / "labeler.safetensors").spec
    assert spec.learned == (True, True, False)


def test_without_val_rows_and_folds_nothing_is_measured(publish: Publish, scene: MakeScene, tmp_path: Path) -> None:
    report = train(publish([scene(seed, split="train") for seed in range(6)]), TINY, tmp_path)
    assert (report.val_images, report.calibrated_on, report.temperature) == (0, "none", 1)
    assert report.out_of_fold == {}
    assert all(score.iou is None and score.n == 0 for score in report.val.values())
    evidence = Evidence.from_json(json.loads((tmp_path / "evidence.json").read_text()))
    limits = {name: of.threshold(precision=0.01, min_found=1) for name, of in evidence.by_class.items()}
    assert limits == {"disk": None, "bar": None}


def test_without_val_rows_the_folds_calibrate(publish: Publish, scene: MakeScene, tmp_path: Path) -> None:
    config = TINY.model_copy(update={"folds": 3})
    report = train(publish([scene(seed, split="train") for seed in range(8)]), config, tmp_path)
    assert (report.folds, report.steps, report.calibrated_on) == (3, 32, "out_of_fold")
    assert sum(score.n for score in report.out_of_fold.values()) == 24


@pytest.mark.trains
def test_a_wrong_label_is_a_suspect(photographs: Dataset, publish: Publish, scene: MakeScene, tmp_path: Path) -> None:
    """One disk is called a bar: the nets that have not seen it say so."""
    pairs = [scene(seed, split="train") for seed in range(20)]
    row, payload = pairs[3]
    wrong = replace(row.labels[0], class_id=1 - row.labels[0].class_id)
    pairs[3] = (replace(row, labels=(wrong, *row.labels[1:])), payload)
    config = TrainLabelerConfig(image_px=64, steps=120, batch=8, width=8, learning_rate=1e-2, suspect_score=0.3)
    report = train(publish(pairs), config, tmp_path)
    suspects = json.loads((tmp_path / "audit.json").read_text())
    assert report.suspects == len(suspects) < 12
    assert ("scene-003", 0, "swapped") in [(s["image"], s["instance_id"], s["kind"]) for s in suspects]


@pytest.mark.trains
def test_the_surer_it_must_be_the_fewer_suspects(photographs: Dataset, tmp_path: Path) -> None:
    counts = []
    for score in (0.0, 0.5, 1.0):
        config = TINY.model_copy(update={"folds": 2, "suspect_score": score})
        counts.append(train(photographs, config, tmp_path / str(score)).suspects)
    assert counts[0] > counts[1] >= counts[2] == 0


def test_a_loss_that_is_not_finite_names_the_step(photographs: Dataset, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"not a finite number.*step \d+ of 8.*learning_rate"):
        train(photographs, TINY.model_copy(update={"learning_rate": 1e30}), tmp_path)


def test_what_the_last_update_broke_is_no_labeler(photographs: Dataset, tmp_path: Path) -> None:
    broken = TINY.model_copy(update={"learning_rate": 1e30, "steps": 1})
    for _ in range(2):  # no checkpoint of it is left to go on from
        with pytest.raises(StageFailed, match=r"labeler diverged in its last steps.*learning_rate"):
            train(photographs, broken, tmp_path)


def test_masks_are_learned_from_where_they_are_given(publish: Publish, scene: MakeScene, tmp_path: Path) -> None:
    row, payload = scene(1)
    mask = np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    masked = tuple(replace(label, mask=encode_mask(mask)) for label in row.labels)
    train(publish([(row, payload), scene(2)]), TINY, tmp_path / "boxes")
    train(publish([(replace(row, labels=masked), payload), scene(2)]), TINY, tmp_path / "masks")
    files = [tmp_path / name / "labeler.safetensors" for name in ("boxes", "masks")]
    assert files[0].read_bytes() != files[1].read_bytes()
