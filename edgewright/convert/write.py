"""Detector => a folder that another runtime opens.

Decides precision: float weights, of 16 bits where the format has them (OpenVINO, ncnn, MNN). Refuses formats of
ultralytics for graphs that are not its own, and says what a converter said that failed.

    written = write("openvino", detector.path, out=folder / "openvino")
    written.path, written.spec.layout
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgewright.artifacts import canonical_json
from edgewright.compress.export import export_onnx, minify
from edgewright.compress.files import SPEC_FILE
from edgewright.convert.formats import OWN, Format, format_named
from edgewright.detect.efficientdet.graph import FAMILY as EFFICIENTDET
from edgewright.detect.forward import as_network
from edgewright.detect.graph_file import read_graph
from edgewright.detect.network import GRAPH_FILE, as_exported, fused, load_learner
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.errors import InputError, MissingExtra, StageFailed
from edgewright.runtime.session import ModelSpec, Network

GetPath = Callable[[str], Path]
Writer = Callable[[nn.Module, ModelSpec, Path], Path]
"""Module, specification, an empty folder => what was written there, by which a runtime opens it."""


@dataclass(frozen=True)
class Written:
    """Attributes:
    path: the file, or ultralytics' folder, by which a runtime opens it.
    format: None where this machine has nothing of ours to run it with.
    spec: how its output is read.
    before: the float network that was written.
    """

    path: Path
    format: Format | None
    spec: ModelSpec
    before: Network


def write(name: str, get_path: GetPath, *, out: Path) -> Written:
    """Args: get_path: a published detector's file by name. out: not there yet, nor after writing failed.

    Raises:
        InputError: not a format, or not one for this graph. MissingExtra: its converter is not installed.
        StageFailed: the converter failed.
    """
    format_ = format_named(name)
    if format_ is None and read_graph(get_path(GRAPH_FILE)).get("family") == EFFICIENTDET:
        raise InputError(
            f"{name} is written for ultralytics' graphs alone",
            expected=", ".join(each.name for each in OWN),
            got="an EfficientDet-lite",
        )
    module, spec = _readable(get_path, top_k=format_ is not None and format_.top_k)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = staging_of(out)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        path = _converted(name, format_, module, spec, part)
        if format_ is not None:  # what another's output means its exporter says
            (part / SPEC_FILE).write_bytes(canonical_json(spec.to_json()))
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Written(out / path.relative_to(part), format_, spec, as_network(module, device=torch.device("cpu")))


def staging_of(out: Path) -> Path:
    """Where a format is written until it is whole: beside its folder."""
    return out.with_name(f".{out.name}.part")


def _converted(name: str, format_: Format | None, module: nn.Module, spec: ModelSpec, out: Path) -> Path:
    try:
        with silenced():
            path = (_WRITERS[name] if format_ else _by_ultralytics(name))(module, spec, out)
    except (InputError, StageFailed):
        raise
    except ImportError as error:
        next_step = "pip install 'edgewright[convert]'" if format_ else "install what ultralytics' exporter names"
        raise MissingExtra(
            f"the converter to {name} is not installed", got=_last_line(error), next_step=next_step
        ) from error
    except Exception as error:  # whatever a converter raises
        raise StageFailed(f"the detector cannot be written as {name}", got=_last_line(error)) from error
    if not path.exists() or not path.is_relative_to(out):
        raise StageFailed(f"the detector cannot be written as {name}", got="a converter that wrote nothing")
    return path


def _readable(get_path: GetPath, *, top_k: bool) -> tuple[nn.Module, ModelSpec]:
    """The fused module; where the format has no top-k, a graph that ends with one is read through its other head."""
    module, spec = load_learner(get_path)
    module = module.float().eval()
    if not top_k and spec.layout == "end2end":
        module.end2end = False  # type: ignore[assignment]
        spec = replace(spec, layout="dense")
    return fused(module).requires_grad_(False), spec


def _onnx(module: nn.Module, spec: ModelSpec, out: Path) -> Path:
    path = out / "detector.onnx"
    path.write_bytes(minify(export_onnx(module, input_px=spec.input_px)).SerializeToString(deterministic=True))
    return path


def _torchscript(module: nn.Module, spec: ModelSpec, out: Path) -> Path:
    path = out / "detector.torchscript"
    with as_exported(module), torch.inference_mode():
        torch.jit.trace(module, _picture(spec), check_trace=False).save(str(path))  # type: ignore[no-untyped-call]
    return path


def _openvino(module: nn.Module, spec: ModelSpec, out: Path) -> Path:
    import openvino

    onnx, path = _onnx(module, spec, out), out / "detector.xml"
    openvino.save_model(openvino.Core().read_model(onnx), path, compress_to_fp16=True)
    onnx.unlink()
    return path


def _ncnn(module: nn.Module, spec: ModelSpec, out: Path) -> Path:
    import pnnx

    beside = {f"pnnx{kind}": str(out / f"pnnx.{kind}") for kind in ("param", "bin", "py", "onnx")}
    kept = {"ncnnparam": str(out / "detector.ncnn.param"), "ncnnbin": str(out / "detector.ncnn.bin")}
    with as_exported(module), torch.inference_mode():
        module(_picture(spec))  # a graph that keeps its anchors from its first call differs from itself in that one
        pnnx.export(
            module,
            str(out / "traced.pt"),
            inputs=_picture(spec),
            ncnnpy=str(out / "ncnn.py"),
            **kept,
            **beside,
            fp16=True,
        )
    _remove_others(out, kept.values())
    return Path(kept["ncnnparam"])


def _mnn(module: nn.Module, spec: ModelSpec, out: Path) -> Path:
    import _tools  # what `MNN.tools` wraps, which at its import installs a package and reports to its makers

    onnx, path = _onnx(module, spec, out), out / "detector.mnn"
    _tools.mnnconvert(["", "-f", "ONNX", "--modelFile", str(onnx), "--MNNModel", str(path), "--fp16"])
    _remove_others(out, [str(path)])
    return path


def _remove_others(folder: Path, kept: Collection[str]) -> None:
    """What a converter leaves beside."""
    for path in folder.iterdir():
        if path.is_dir():  # bytecode of the module that pnnx wrote and ran
            shutil.rmtree(path)
        elif str(path) not in kept:
            path.unlink()


_WRITERS: dict[str, Writer] = {
    "onnx": _onnx,
    "torchscript": _torchscript,
    "openvino": _openvino,
    "ncnn": _ncnn,
    "mnn": _mnn,
}


def _by_ultralytics(name: str) -> Writer:
    def export(module: Any, spec: ModelSpec, out: Path) -> Path:
        module.pt_path = str(out / "model.pt")  # beside which it writes
        module.names, module.task = dict(enumerate(spec.classes)), "detect"
        exporter = open_ultralytics("engine.exporter").Exporter
        return Path(exporter(overrides={"format": name, "imgsz": spec.input_px, "device": "cpu"})(model=module))

    return export


def _picture(spec: ModelSpec) -> torch.Tensor:
    return torch.zeros(1, 3, spec.input_px, spec.input_px)


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


@contextmanager
def silenced() -> Iterator[None]:
    """Converters print from compiled code too: the process's own output goes nowhere meanwhile. A trace warns of what
    it takes for constant, which is what a fixed input size means."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept, nowhere = [os.dup(1), os.dup(2)], os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for stream, copy in enumerate(kept, start=1):
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)
