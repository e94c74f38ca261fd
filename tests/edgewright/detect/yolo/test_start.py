"""What a YOLO may begin with, from files that are made here and a server that is real."""

from __future__ import annotations

import functools
import pickle
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edgewright.artifacts import sha256_file
from edgewright.detect.yolo import start
from edgewright.detect.yolo.graphs import slim_graph
from edgewright.detect.yolo.network import build_module
from edgewright.detect.yolo.start import weights_for
from edgewright.errors import InputError
from edgewright.recipe.detect import TrainDetectorConfig


def network(width: float, *, n_classes: int) -> Any:
    return build_module(slim_graph(width=width, n_classes=n_classes), n_classes=n_classes)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wider network of five classes, as ultralytics saves one."""
    path = tmp_path_factory.mktemp("weights") / "wide.pt"
    torch.save({"model": network(0.25, n_classes=5).half(), "ema": None, "epoch": -1}, path)
    return path


@pytest.fixture(scope="module")
def slim() -> Any:
    return network(0.125, n_classes=2)


def begun(slim: Any, folder: Path, init: str | Path, **fields: Any) -> Any:
    return weights_for(slim, TrainDetectorConfig(model="edgewright-slim", init=str(init), **fields), folder=folder)


def test_a_wider_checkpoint_is_cut_and_said(slim: Any, checkpoint: Path, tmp_path: Path) -> None:
    weights, said = begun(slim, tmp_path, checkpoint)
    assert not slim.load_state_dict(weights, strict=False).unexpected_keys
    assert (said.name, said.sha256) == ("wide.pt", sha256_file(checkpoint))
    assert 0.8 < said.taken / said.weights < 1, "all but the classes' last convolutions"


def test_safetensors_are_taken_where_they_fit(slim: Any, tmp_path: Path) -> None:
    save_file(
        {"model.0.conv.weight": slim.model[0].conv.weight.detach(), "other": torch.zeros(1)}, tmp_path / "a.safetensors"
    )
    weights, _ = begun(slim, tmp_path, tmp_path / "a.safetensors")
    assert list(weights) == ["model.0.conv.weight"]


@pytest.mark.parametrize("init", ["none", "auto"])
def test_random_numbers_are_said_to_be_none(slim: Any, tmp_path: Path, init: str) -> None:
    weights, said = begun(slim, tmp_path, init)
    assert (weights, said.name, said.taken) == ({}, "none", 0)


class Evil:
    def __reduce__(self) -> Any:
        return (open, ("/tmp/edgewright-evil-yolo", "w"))


def test_what_is_no_start_is_refused(slim: Any, checkpoint: Path, tmp_path: Path) -> None:
    broken = torch.load(checkpoint, weights_only=False)
    broken["model"].model[0].bn.weight.data[:] = float("nan")
    torch.save(broken, tmp_path / "nan.pt")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "torn.pt").write_bytes(checkpoint.read_bytes()[:5000])
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name, said in (
        ("nan.pt", "not finite"),
        ("evil.pt", "loaded safely"),
        ("torn.pt", "loaded safely"),
        ("other.safetensors", "not one of them fits"),
        ("yolov5nu.pt", "allow_download=true"),
        ("package", "no pretrained weights are packaged for edgewright-slim"),
    ):
        path = tmp_path / name
        with pytest.raises(InputError, match=said):
            begun(slim, tmp_path / "kept", path if path.exists() else name)
    assert not Path("/tmp/edgewright-evil-yolo").exists()


@pytest.fixture
def assets(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that has `wide.pt` in place of ultralytics' own."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(checkpoint.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(start, "ASSETS", f"http://127.0.0.1:{server.server_port}/")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("assets")
def test_a_name_is_downloaded_once_where_that_is_allowed(slim: Any, checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    _, said = begun(slim, folder, "wide.pt", allow_download=True)
    assert said.sha256 == sha256_file(checkpoint) == sha256_file(folder / "wide.pt")
    assert said.source.endswith("/wide.pt")
    begun(slim, folder, "wide.pt")  # it is there now
    with pytest.raises(InputError, match=r"cannot be downloaded .*404"):
        begun(slim, folder, "missing.pt", allow_download=True)
    assert sorted(path.name for path in folder.iterdir()) == ["wide.pt"]
