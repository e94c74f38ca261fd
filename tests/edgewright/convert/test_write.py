"""Every format of every family, written and opened again by its own runtime."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.convert import write as module
from edgewright.convert.formats import OWN
from edgewright.convert.measure import difference
from edgewright.convert.read import open_written
from edgewright.convert.write import write
from edgewright.errors import InputError, MissingExtra, StageFailed
from edgewright.runtime.session import ModelSpec
from tests.edgewright.convert.conftest import PX

PICTURE = np.random.default_rng(0).random((1, 3, PX, PX), np.float32)
HALF_A_PIXEL = 0.5
"""Between boxes in px of the input, where weights have 16 bits."""


@pytest.mark.parametrize("model", ["edgewright-slim", "efficientdet-slim", "yolo26-slim"])
@pytest.mark.parametrize("name", [each.name for each in OWN])
def test_what_was_written_answers_as_the_detector_does(
    publish_random: Callable[[str], Path], tmp_path: Path, model: str, name: str
) -> None:
    written = write(name, publish_random(model).__truediv__, out=tmp_path / name)
    assert written.format is not None
    network = open_written(written.path, written.format, input_px=PX, threads=1)
    found, expected = network(PICTURE), written.before(PICTURE)
    assert found.shape == expected.shape
    assert difference(found, expected, layout=written.spec.layout) < HALF_A_PIXEL
    assert np.abs(expected).max() > 10, "boxes, not zeros"
    assert ModelSpec.from_json(json.loads((tmp_path / name / "spec.json").read_bytes())) == written.spec
    assert sorted(tmp_path.iterdir()) == [tmp_path / name], "nothing is left beside it"


def test_a_runtime_without_a_top_k_reads_the_other_head(publish_random: Callable[[str], Path], tmp_path: Path) -> None:
    folder = publish_random("yolo26-slim")
    layouts = {name: write(name, folder.__truediv__, out=tmp_path / name).spec.layout for name in ("ncnn", "onnx")}
    assert layouts == {"ncnn": "dense", "onnx": "end2end"}


def test_ultralytics_exporter_writes_its_own_graphs_beside_nothing_else(
    publish_random: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "format_named", lambda name: None)  # as of a format that is not written here
    written = write("torchscript", publish_random("edgewright-slim").__truediv__, out=tmp_path / "theirs")
    assert written.path.is_file()
    assert written.path.parent == tmp_path / "theirs"
    assert not (tmp_path / "theirs/spec.json").exists(), "what its output means its exporter says"
    with pytest.raises(InputError, match="ultralytics' graphs alone"):
        write("torchscript", publish_random("efficientdet-slim").__truediv__, out=tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_a_converter_that_fails_leaves_nothing(
    publish_random: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish_random("edgewright-slim")

    def fail(*_: object) -> Path:
        raise RuntimeError("first line\nunknown operator Odd")

    monkeypatch.setitem(module._WRITERS, "mnn", fail)
    with pytest.raises(StageFailed, match="unknown operator Odd"):
        write("mnn", folder.__truediv__, out=tmp_path / "mnn")
    monkeypatch.setitem(module._WRITERS, "mnn", lambda *_: tmp_path / "not there")
    with pytest.raises(StageFailed, match="wrote nothing"):
        write("mnn", folder.__truediv__, out=tmp_path / "mnn")
    with pytest.raises((MissingExtra, StageFailed)):
        write("litert", folder.__truediv__, out=tmp_path / "litert")
    assert not list(tmp_path.iterdir())


def test_what_converters_print_is_not_shown_and_they_start_nothing(
    publish_random: Callable[[str], Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MNN's own wrapper installs a package with `pip` and reports each conversion."""
    started: list[object] = []
    monkeypatch.setattr(os, "system", started.append)
    for name in ("mnn", "ncnn"):
        write(name, publish_random("edgewright-slim").__truediv__, out=tmp_path / name)
    assert not started
    assert not [name for name in sys.modules if name.startswith(("aliyun", "MNN.tools"))]
    assert capfd.readouterr() == ("", "")
