"""What was written, opened by the runtime that it is for: (1, 3, S, S) in, the raw output out.

Decides nothing. Refuses a format whose runtime is not installed, with its name.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgewright.convert.formats import Format
from edgewright.detect.forward import as_network
from edgewright.errors import MissingExtra, StageFailed
from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.session import Network, load_network


def open_written(path: Path, format_: Format, *, input_px: int, threads: int) -> Network:
    """Raises MissingExtra where its runtime is not installed."""
    if find_spec(format_.runtime) is None:
        next_step = "pip install 'edgewright[convert]'"
        raise MissingExtra(f"nothing here runs {format_.name}", expected=format_.runtime, next_step=next_step)
    return _READERS[format_.name](path, input_px, threads)


def _onnx(path: Path, _: int, threads: int) -> Network:
    return load_network(path, threads=threads)


def _torchscript(path: Path, _: int, threads: int) -> Network:
    import torch

    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch.export, which other programs do not read yet
        return as_network(torch.jit.load(str(path)), device=torch.device("cpu"))  # type: ignore[no-untyped-call]


def _openvino(path: Path, _: int, threads: int) -> Network:
    import openvino

    compiled = openvino.Core().compile_model(
        path, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    )
    request = compiled.create_infer_request()
    return lambda tensor: np.array(request.infer([tensor])[0], dtype=np.float32)


def _ncnn(path: Path, _: int, threads: int) -> Network:
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = threads
    network.opt.use_vulkan_compute = False
    if network.load_param(str(path)) or network.load_model(str(path.with_suffix(".bin"))):
        raise StageFailed("ncnn does not load what was written for it", where=path)
    into, out = network.input_names()[0], network.output_names()[0]

    def run(tensor: FloatArray) -> FloatArray:
        with network.create_extractor() as extractor:
            extractor.input(into, ncnn.Mat(np.ascontiguousarray(tensor[0])).clone())
            failed, found = extractor.extract(out)
            if failed:
                raise StageFailed("ncnn does not compute what was written for it", got=f"code {failed}", where=path)
            return np.array(found, dtype=np.float32)[None]

    return run


def _mnn(path: Path, input_px: int, threads: int) -> Network:
    import MNN

    interpreter = MNN.Interpreter(str(path))
    session = interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    into, out = interpreter.getSessionInput(session), interpreter.getSessionOutput(session)
    shape, kind, order = (1, 3, input_px, input_px), MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Caffe

    def run(tensor: FloatArray) -> FloatArray:
        into.copyFrom(MNN.Tensor(shape, kind, np.ascontiguousarray(tensor), order))
        interpreter.runSession(session)
        size = out.getShape()
        found = MNN.Tensor(size, kind, np.zeros(size, np.float32), order)
        out.copyToHostTensor(found)
        return np.array(found.getData(), dtype=np.float32).reshape(size)

    return run


_READERS: dict[str, Callable[[Path, int, int], Network]] = {
    "onnx": _onnx,
    "torchscript": _torchscript,
    "openvino": _openvino,
    "ncnn": _ncnn,
    "mnn": _mnn,
}
