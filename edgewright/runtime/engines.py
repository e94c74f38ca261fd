"""Which engine computes a model's file on this machine, with how many threads, and a network by each of them.

Decides what is tried: ONNX Runtime and, where it is installed, OpenVINO, on one core, on half of them and on all;
threads that wait awake only where there are several. Refuses what the session refuses: engines are given checked bytes.

>>> engines_here(cores=1, openvino=False)
[Engine(name='onnxruntime', threads=1, spinning=False)]
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.errors import InputError, MissingExtra
from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.session import FEATURE, FileNetwork, Output, load_network, read_model

ONNXRUNTIME, OPENVINO = "onnxruntime", "openvino"


@dataclass(frozen=True)
class Engine:
    """Law: `Engine.from_json(e.to_json()) == e`. `spinning`: threads wait awake; ONNX Runtime's alone."""

    name: str = ONNXRUNTIME
    threads: int = 1
    spinning: bool = False

    def __post_init__(self) -> None:
        if self.name not in (ONNXRUNTIME, OPENVINO) or self.threads < 1 or (self.spinning and self.name == OPENVINO):
            raise InputError("not an engine", expected=f"{ONNXRUNTIME} or {OPENVINO}, threads from 1", got=self)

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.name}, {threads}{', spinning' if self.spinning else ''}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Engine:
        try:
            return cls(str(value["name"]), int(value["threads"]), bool(value["spinning"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("not an engine", got=error) from error


def engines_here(*, cores: int | None = None, openvino: bool | None = None) -> list[Engine]:
    """What can be tried, the default first.

    Args:
        cores: those that this process may use, unless told. openvino: whether it is installed, unless told.
    """
    n = cores or len(os.sched_getaffinity(0))
    names = [ONNXRUNTIME, *([OPENVINO] if (find_spec(OPENVINO) is not None if openvino is None else openvino) else [])]
    threads = sorted({1, max(1, n // 2), n})
    plain = [Engine(name, each) for name in names for each in threads]
    return [*plain, *(Engine(ONNXRUNTIME, each, spinning=True) for each in threads if each > 1)]


def open_network(path: Path, engine: Engine) -> FileNetwork:
    """An ONNX file as a function, computed by this engine.

    Raises:
        InputError: a file that is refused. MissingExtra: the engine is not installed.
    """
    if engine.name == ONNXRUNTIME:
        return load_network(path, threads=engine.threads, spinning=engine.spinning)
    return _openvino_network(path, threads=engine.threads)


def _openvino_network(path: Path, *, threads: int) -> FileNetwork:
    payload = read_model(path)
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra(
            "OpenVINO is not installed", got=error, next_step="pip install 'edgewright[openvino]'"
        ) from error
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    try:
        compiled = core.compile_model(core.read_model(payload, b""), "CPU", settings)
        request = compiled.create_infer_request()
    except RuntimeError as error:
        raise InputError("OpenVINO refuses the model", got=str(error).splitlines()[0], where=path) from error

    def run(tensor: FloatArray) -> list[FloatArray]:
        try:
            found = request.infer([tensor])
            return [np.array(found[place], dtype=np.float32) for place in range(len(outputs))]
        except RuntimeError as error:
            got = str(error).splitlines()[0]
            raise InputError("the model does not take this input", got=got, where=path) from error

    outputs = [_declared(each) for each in compiled.outputs]
    return FileNetwork(run, outputs, where=path)


def _declared(port: Any) -> Output:
    """Of OpenVINO's."""
    shape = tuple(each.get_length() if each.is_static else None for each in port.get_partial_shape())
    name = FEATURE if FEATURE in port.get_names() else ", ".join(sorted(port.get_names()))
    return Output(name, shape, port.get_element_type().to_string() == "f32")
