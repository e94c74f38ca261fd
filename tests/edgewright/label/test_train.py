import json
from dataclasses import replace

import numpy as np
import pytest

from edgewright.data.rle import encode_mask
from edgewright.errors import InputError, StageFailed
from edgewright.label.net import Labeler
from edgewright.label.train import schedule, train_labeler, trusted_rows
from edgewright.recipe import TrainLabelerConfig

TINY = TrainLabelerConfig(image_px=32, steps=8, batch=4, width=8, checkpoint_every=3)


def silent(done, total, what):
    pass


def train(dataset, config, folder, *, on_progress=silent, scratch=None, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    (scratch or folder).mkdir(exist_ok=True)
    return train_labeler(
        dataset, config, out=folder, scratch=scratch or folder, seed=seed, threads=1, on_progress=on_progress
    )


def test_it_learns_the_scenes(trained):
    report, out = trained
    assert (report.train_images, report.val_images, report.unlearnt) == (24, 6, ())
    assert all(score.iou > 0.5 and score.recall > 0.6 and score.precision > 0.6 for score in report.per_class.values())
    assert 0.25 <= report.temperature <= 4
    names = {path.name for path in out.iterdir()}
    assert names == {"labeler.safetensors", "labeler.json", "history.json", "preview.png"}
    history = json.loads((out / "history.json").read_text())
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    description = json.loads((out / "labeler.json").read_text())
    assert description["val"]["disk"]["iou"] == report.per_class["disk"].iou


class Killed(Exception):
    pass


def test_a_training_cut_short_ends_with_the_same_bytes(photographs, tmp_path):
    def kill(done, total, what):
        if done == 6:
            raise Killed

    train(photographs, TINY, tmp_path / "whole")
    with pytest.raises(Killed):
        train(photographs, TINY, tmp_path / "cut", on_progress=kill, scratch=tmp_path / "scratch")
    report = train(photographs, TINY, tmp_path / "cut", scratch=tmp_path / "scratch")
    assert report.continued_from == 6
    for name in ("labeler.safetensors", "labeler.json", "history.json", "preview.png"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:100]),  # torn
        lambda path: path.write_bytes(b""),  # empty
        lambda path: path.unlink(),  # gone
    ],
)
def test_a_useless_checkpoint_is_a_fresh_start(photographs, tmp_path, spoil):
    train(photographs, TINY, tmp_path)
    spoil(tmp_path / "labeler-checkpoint.safetensors")
    assert train(photographs, TINY, tmp_path).continued_from == 0


def test_a_checkpoint_of_another_seed_is_not_continued(photographs, tmp_path):
    train(photographs, TINY, tmp_path, seed=0)
    assert train(photographs, TINY, tmp_path, seed=0).continued_from == 6
    assert train(photographs, TINY, tmp_path, seed=1).continued_from == 0


def test_every_field_changes_the_labeler(photographs, tmp_path):
    def weights(name, **changes):
        train(photographs, TINY.model_copy(update=changes), tmp_path / name)
        return (tmp_path / name / "labeler.safetensors").read_bytes()

    base = weights("base", steps=2)
    changes = {"image_px": 48, "steps": 3, "batch": 5, "width": 16, "learning_rate": 1e-2, "mask_from_box": "box"}
    for field, value in changes.items():
        assert weights(field, **{"steps": 2, field: value}) != base, field


def test_it_refuses_synthetic_rows(publish, scene, tmp_path):
    mixed = publish([scene(1), scene(2, origin="synthetic", state="constructed")])
    with pytest.raises(InputError, match=r"photographs alone.*scene-002"):
        train(mixed, TINY, tmp_path)


def test_only_labels_that_a_person_gave(publish, scene):
    states = ("human", "reviewed", "background", "model", "unlabeled")
    pairs = [scene(seed, state=state, split="train") for seed, state in enumerate(states)]
    assert [row.state for row in trusted_rows(publish(pairs), "train")] == ["human", "reviewed", "background"]


def test_nothing_labeled_is_an_error(publish, scene, tmp_path):
    with pytest.raises(InputError, match="no labeled object"):
        train(publish([scene(1, labels=(), state="unlabeled")]), TINY, tmp_path)


def test_a_class_without_labels_is_reported(publish, scene, tmp_path):
    pairs = [scene(seed) for seed in range(1, 9)]
    report = train(publish(pairs, classes=("disk", "bar", "ring")), TINY, tmp_path)
    assert report.unlearnt == ("ring",)
    spec = Labeler.read(tmp_path / "labeler.json", tmp_path / "labeler.safetensors").spec
    assert spec.learnt == (True, True, False)


def test_without_val_rows_nothing_is_measured(publish, scene, tmp_path):
    report = train(publish([scene(seed, split="train") for seed in range(6)]), TINY, tmp_path)
    assert report.val_images == 0
    assert report.temperature == 1
    assert all(score.iou is None and score.n == 0 for score in report.per_class.values())


def test_a_loss_that_is_not_finite_names_the_step(photographs, tmp_path):
    with pytest.raises(StageFailed, match=r"not a finite number.*step \d+ of 8.*learning_rate"):
        train(photographs, TINY.model_copy(update={"learning_rate": 1e30}), tmp_path)


def test_masks_are_learnt_from_where_they_are_given(publish, scene, tmp_path):
    row, payload = scene(1)
    mask = np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    masked = tuple(replace(label, mask=encode_mask(mask)) for label in row.labels)
    train(publish([(row, payload)]), TINY, tmp_path / "boxes")
    train(publish([(replace(row, labels=masked), payload)]), TINY, tmp_path / "masks")
    files = [tmp_path / name / "labeler.safetensors" for name in ("boxes", "masks")]
    assert files[0].read_bytes() != files[1].read_bytes()


def test_the_learning_rate_warms_up_and_ends_at_nothing():
    factors = [schedule(step, 100) for step in range(100)]
    assert max(factors) == factors[5] == 1
    assert factors[0] < 0.2
    assert 0 < factors[-1] < 0.01
