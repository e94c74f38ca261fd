"""Training: what is published, that it is repeatable, and that a kill at any moment costs an epoch and no more."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgewright.data.dataset import Dataset
from edgewright.detect.graph_file import write_graph
from edgewright.detect.lesson import EpochReport
from edgewright.detect.network import load_float_network
from edgewright.detect.train import DetectorReport, train_detector
from edgewright.detect.yolo.fit import read_history
from edgewright.detect.yolo.graphs import find_graph, slim_graph
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.detect.yolo.network import build_module
from edgewright.errors import ArtifactCorrupt, InputError, StageFailed
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.runtime.session import ModelSpec, predictor

Trained = tuple[Path, DetectorReport, list[EpochReport]]

FILES = ["detector.json", "graph.yaml", "history.json", "spec.json", "weights.safetensors"]
TINY = {"model": "edgewright-slim", "image_px": 64, "width": 0.05, "batch": 4, "epochs": 2}


def train(dataset: Dataset, folder: Path, *, seed: int = 0, **fields: Any) -> tuple[DetectorReport, list[EpochReport]]:
    """A run in `folder/scratch`, published into `folder/out`: the report and the epochs that were run."""
    tiny = {name: value for name, value in TINY.items() if name != "width" or "model" not in fields}
    (folder / "out").mkdir(parents=True, exist_ok=True)
    seen = []
    report = train_detector(
        dataset,
        TrainDetectorConfig(**{**tiny, **fields}),
        out=folder / "out",
        scratch=folder / "scratch",
        seed=seed,
        threads=1,
        on_epoch=seen.append,
    )
    return report, seen


@pytest.fixture(scope="module")
def trained(squares: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    return folder, *train(squares, folder)


def test_what_is_published(trained: Trained, squares: Dataset) -> None:
    folder, report, seen = trained
    assert sorted(path.name for path in (folder / "out").iterdir()) == FILES
    assert (report.n_train, report.n_synthetic, report.n_val, report.epochs) == (14, 4, 4, 2)
    assert [(epoch.epoch, epoch.epochs) for epoch in seen] == [(1, 2), (2, 2)]
    assert set(seen[0].losses) == {"box_loss", "cls_loss", "dfl_loss"}
    spec = ModelSpec.from_json(json.loads((folder / "out" / "spec.json").read_bytes()))
    assert (spec.classes, spec.input_px, spec.layout) == (squares.classes, 64, "dense")
    assert [row["epoch"] for row in json.loads((folder / "out" / "history.json").read_bytes())] == [1, 2]
    for name in ("graph.yaml", "detector.json", "history.json"):
        assert str(folder) not in (folder / "out" / name).read_text()


def test_it_is_silent(squares: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(squares, tmp_path, epochs=1)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize(
    ("loss", "weight", "said"),
    [
        (1.0, 0.5, ""),
        (float("nan"), 0.5, "cls_loss"),
        (float("inf"), 0.5, "cls_loss"),
        (1.0, float("nan"), "the weights"),  # the last step of an epoch: no loss shows it
    ],
)
def test_a_training_that_diverges_ends(loss: float, weight: float, said: str) -> None:
    """Before anything of the epoch is validated or saved."""
    from edgewright.detect.yolo.trainer import require_finite

    module = torch.nn.Linear(1, 1)
    with torch.no_grad():
        module.bias.fill_(weight)
    losses = {"box_loss": torch.tensor(1.0), "cls_loss": torch.tensor(loss)}
    trainer = SimpleNamespace(tloss=losses, model=module, epoch=2, epochs=9)
    expected = pytest.raises(StageFailed, match=rf"diverged.*got {said}, in epoch 3 of 9") if said else nullcontext()
    with expected:
        require_finite(trainer)


def test_a_network_of_numbers_that_are_none_is_not_trained_on(squares: Dataset, tmp_path: Path) -> None:
    """The hook hangs where the library would go on: weights of infinity give losses that are no numbers."""
    module = build_module(slim_graph(width=0.05, n_classes=2), n_classes=2)
    with torch.no_grad():
        next(module.parameters()).fill_(float("inf"))
    torch.save({"model": module, "train_args": {}}, tmp_path / "own.pt")
    with pytest.raises(StageFailed, match="diverged"):
        train(squares, tmp_path, model=str(tmp_path / "own.pt"))
    assert not list((tmp_path / "out").iterdir())


def test_same_inputs_and_seed_give_the_same_bytes(trained: Trained, squares: Dataset, tmp_path: Path) -> None:
    train(squares, tmp_path)
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (trained[0] / "out" / name).read_bytes(), name


def test_another_seed_gives_other_weights(trained: Trained, squares: Dataset, tmp_path: Path) -> None:
    train(squares, tmp_path, seed=1, epochs=1)
    name = "weights.safetensors"
    assert (tmp_path / "out" / name).read_bytes() != (trained[0] / "out" / name).read_bytes()


@pytest.mark.trains
def test_the_published_network_detects_through_the_runtime(trained: Trained) -> None:
    network, spec = load_float_network(lambda name: trained[0] / "out" / name)
    found = predictor(network, spec, score_threshold=0.0)(np.zeros((48, 64, 3), np.uint8))
    assert len(found)
    assert (found.xyxy[:, 3] <= 48).all()


def test_weights_of_another_graph_are_refused(trained: Trained, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes((trained[0] / "out" / name).read_bytes())
    write_graph(slim_graph(width=0.2, n_classes=2), tmp_path / "graph.yaml")
    with pytest.raises(ArtifactCorrupt, match="do not fit the graph"):
        load_float_network(lambda name: tmp_path / name)


KILLED = """
import json, sys
from pathlib import Path
from edgewright.artifacts import ArtifactRef, open_store
from edgewright.data.dataset import Dataset
from edgewright.detect.train import train_detector
from edgewright.recipe.detect import TrainDetectorConfig
ref = ArtifactRef.from_json(json.loads(sys.argv[1]))
train_detector(Dataset.open(open_store(ref.store_uri), ref), TrainDetectorConfig(**json.loads(sys.argv[2])),
    out=Path(sys.argv[3]) / "out", scratch=Path(sys.argv[3]) / "scratch", seed=0, threads=1,
    on_epoch=lambda epoch: print(epoch.epoch, flush=True))
"""


def test_kill_9_in_mid_training_continues_from_the_checkpoint(squares: Dataset, tmp_path: Path) -> None:
    config = {**TINY, "epochs": 6}
    arguments = [json.dumps(squares.ref.to_json()), json.dumps(config), str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    with process:
        for line in process.stdout:
            if line.strip() == "3":
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    report, seen = train(squares, tmp_path, epochs=6)
    assert [epoch.epoch for epoch in seen] == list(range(seen[0].epoch, 7))
    assert seen[0].epoch in (4, 5)  # the third was whole; a fourth may have become so before the kill
    history = json.loads((tmp_path / "out" / "history.json").read_bytes())
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert report.epochs == 6


@pytest.mark.parametrize("missing", ["finished", "nothing"])
def test_a_crash_between_training_and_publishing_trains_nothing_again(
    trained: Trained, squares: Dataset, tmp_path: Path, missing: str
) -> None:
    report, _ = train(squares, tmp_path)
    (tmp_path / "scratch" / "finished").unlink(missing_ok=missing == "nothing")
    again, seen = train(squares, tmp_path)
    assert seen == []
    assert again == report


def test_what_other_threads_draw_changes_nothing(squares: Dataset, tmp_path: Path) -> None:
    """Of the interpreter's random numbers, as Prefect's do between two polls."""
    ended = threading.Event()

    def draw() -> None:
        while not ended.wait(0.001):
            random.random()

    train(squares, tmp_path / "alone")
    other = threading.Thread(target=draw)
    other.start()
    try:
        train(squares, tmp_path / "beside")
    finally:
        ended.set()
        other.join()
    alone, beside = (tmp_path / name / "out" / "weights.safetensors" for name in ("alone", "beside"))
    assert alone.read_bytes() == beside.read_bytes()
    assert open_ultralytics("data.augment").random is random, "what is trained later is left as it was"


def test_another_plan_starts_anew(squares: Dataset, tmp_path: Path) -> None:
    train(squares, tmp_path, epochs=1)
    _, seen = train(squares, tmp_path, epochs=2)
    assert [epoch.epoch for epoch in seen] == [1, 2]


def test_an_end_to_end_head(squares: Dataset, tmp_path: Path) -> None:
    graph = find_graph("yolo26n", width=1.0, n_classes=2)
    graph["scales"] = {"n": [0.33, 0.0625, 1024]}
    path = tmp_path / "own-graph.yaml"
    write_graph(graph, path)
    report, _ = train(squares, tmp_path, model=str(path), epochs=1)
    assert report.layout == "end2end"
    network, spec = load_float_network(lambda name: tmp_path / "out" / name)
    assert network(np.zeros((1, 3, 64, 64), np.float32)).shape[2] == 6
    assert spec.layout == "end2end"


def test_the_users_own_weights_are_a_starting_point(squares: Dataset, tmp_path: Path) -> None:
    module = build_module(slim_graph(width=0.05, n_classes=2), n_classes=2)
    torch.save({"model": module, "train_args": {}}, tmp_path / "own.pt")
    report, _ = train(squares, tmp_path, model=str(tmp_path / "own.pt"), epochs=1)
    assert report.parameters == sum(parameter.numel() for parameter in module.parameters())


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (os.mkdir, (os.environ["EVIL_FOLDER"],))


def test_a_weights_file_that_runs_code_is_refused(
    squares: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVIL_FOLDER", str(tmp_path / "evil"))
    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError):
        train(squares, tmp_path, model=str(tmp_path / "evil.pt"), epochs=1)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        # weights that nobody has downloaded
        ("yolo26n.pt", "not on this machine"),
        # a name nobody knows
        ("yolo99q", "unknown detector"),
        # a graph that would run code if it were evaluated
        ("evil.yaml", "cannot be built"),
        # YAML, but no graph
        ("list.yaml", "not a graph file"),
    ],
)
def test_models_that_are_refused(
    squares: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    graph = {**slim_graph(width=0.05, n_classes=2), "activation": "__import__('os').mkdir('evil')"}
    write_graph(graph, tmp_path / "evil.yaml")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(InputError, match=message):
        train(squares, tmp_path, model=model, epochs=1)
    assert not (tmp_path / "evil").exists()


def test_a_data_set_without_val_is_refused(make_squares: Callable[..., Dataset], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labeled object in val"):
        train(make_squares(train_real=4), tmp_path)


def test_history_keeps_the_second_run_of_an_epoch(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("epoch,time,loss\n1,5,0.9\n2,9,0.8\n2,3,0.7\n")
    assert read_history(tmp_path / "results.csv") == [{"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.7}]
    assert read_history(tmp_path / "missing.csv") == []


def test_it_begins_with_a_wider_checkpoint_and_says_so(squares: Dataset, tmp_path: Path) -> None:
    wide = build_module(slim_graph(width=0.1, n_classes=7), n_classes=7)
    torch.save({"model": wide, "ema": None, "epoch": -1}, tmp_path / "wide.pt")
    train(squares, tmp_path, epochs=1, init=str(tmp_path / "wide.pt"), learning_rate=1e-9)
    said = json.loads((tmp_path / "out" / "detector.json").read_bytes())["start"]
    assert said["name"] == "wide.pt" and said["taken"] > 0.5 * said["weights"]
    scales = load_file(tmp_path / "out" / "weights.safetensors")["model.0.bn.weight"]
    assert torch.allclose(scales, torch.ones_like(scales), atol=1e-3)
