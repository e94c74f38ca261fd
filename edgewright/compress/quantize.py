"""A float detector becomes one INT8 ONNX file.

Decides the scheme, each part of it measured (docs: the guide's edge chapter): static QDQ, unsigned 8-bit activations by
signed 8-bit weights (the other pairing is twice as slow as float on VNNI processors), convolutions alone with their
ReLU folded in, the decoding of boxes and scores in float (one scale over 0-640 px and 0-1 scores zeroes every score).
Refuses to calibrate on anything but the user's own labeled train photographs.

    report = quantize(detector, dataset, config, out=work, seed=0, threads=2)
    report.bytes                                       # of the file that the device loads
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgewright.artifacts import Artifact, canonical_json
from edgewright.compress.calibrate import CalibrationImages, choose_calibration_rows
from edgewright.compress.export import INPUT, export_onnx, minify
from edgewright.compress.files import FACTS_FILE, FLOAT_FILE, INT8_FILE, SPEC_FILE
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Row, Split
from edgewright.detect.network import load_module
from edgewright.progress import OnProgress, silent
from edgewright.recipe.compress import QuantizeConfig
from edgewright.runtime.session import load_network

_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


@dataclass(frozen=True)
class QuantizeReport:
    """What quantization gave. `zero_share`: of the INT8 weights, how many are 0."""

    bytes: int
    float_bytes: int
    convolutions: int
    quantized_convolutions: int
    zero_share: float
    calibration_ids: tuple[str, ...]


def quantize(
    detector: Artifact,
    dataset: Dataset,
    config: QuantizeConfig,
    *,
    out: Path,
    seed: int,
    threads: int,
    on_progress: OnProgress = silent,
) -> QuantizeReport:
    """Export, calibrate on real `train` images, quantize. `out` gets `model.onnx float.onnx spec.json quantize.json`.

    Raises:
        InputError: the data set has another class list or no real train image.
        StageFailed: the network cannot be exported.
    """
    set_threads(threads)
    module, float_spec = load_module(detector.path)
    dataset.check_classes(float_spec.classes)
    spec = replace(float_spec, score_threshold=config.score_threshold, iou_threshold=config.iou_threshold)
    real = dataset.select(split=Split.TRAIN, origin=Origin.REAL)
    rows = choose_calibration_rows(real, count=config.calibration_images, seed=seed, n_classes=len(spec.classes))
    reader = CalibrationImages(dataset, rows, input_name=INPUT, input_px=spec.input_px, on_progress=on_progress)
    exported = export_onnx(module, input_px=spec.input_px)
    (out / FLOAT_FILE).write_bytes(minify(exported).SerializeToString(deterministic=True))
    int8 = quantize_model(exported, reader, method=config.calibration, per_channel=config.per_channel)
    (out / INT8_FILE).write_bytes(int8.SerializeToString(deterministic=True))
    (out / SPEC_FILE).write_bytes(canonical_json(spec.to_json()))
    load_network(out / INT8_FILE)  # what the device's own runtime refuses is not published
    report = _report(out, int8, rows)
    versions = {name: version(name) for name in ("onnx", "onnxruntime", "torch")}
    facts = {**asdict(report), "versions": versions}
    (out / FACTS_FILE).write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
    return report


def quantize_model(
    model: onnx.ModelProto, reader: CalibrationDataReader, *, method: str, per_channel: bool
) -> onnx.ModelProto:
    """A float model => the minified QDQ model. Temporary files are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="edgewright-int8-") as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        copy = onnx.ModelProto()
        copy.CopyFrom(model)  # the next call moves the weights out of what it is given
        quant_pre_process(copy, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantized,
            reader,
            quant_format=QuantFormat.QDQ,
            # A Relu or Clip (ReLU6) between two quantized tensors is folded into their range.
            op_types_to_quantize=["Conv", "Relu", "Clip"],
            nodes_to_exclude=_float_nodes(onnx.load_model(prepared)),
            per_channel=per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=_METHODS[method],
            # One image at a time: memory stays that of one picture's activations, whatever the method.
            extra_options={"CalibStridedMinMax": 1},
        )
        return minify(onnx.load_model(quantized))


def set_threads(threads: int) -> None:
    """How many cores torch takes for the export."""
    import torch

    torch.set_num_threads(threads)


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """The box decoder's expectation over distances is a convolution too; in INT8 it costs the boxes their edges."""
    return [node.name for node in model.graph.node if node.op_type == "Conv" and "/dfl/" in node.name]


def _report(out: Path, model: onnx.ModelProto, rows: Sequence[Row]) -> QuantizeReport:
    weights = _int8_weights(model)
    values = np.concatenate([value.reshape(-1) for value in weights]) if weights else np.zeros(0, np.int8)
    return QuantizeReport(
        bytes=(out / INT8_FILE).stat().st_size,
        float_bytes=(out / FLOAT_FILE).stat().st_size,
        convolutions=sum(node.op_type == "Conv" for node in model.graph.node),
        quantized_convolutions=len(weights),
        zero_share=float((values == 0).mean()) if len(values) else 0.0,
        calibration_ids=tuple(row.id for row in rows),
    )


def _int8_weights(model: onnx.ModelProto) -> list[Any]:
    """The INT8 kernels; zero points are INT8 too, but have no four axes."""
    return [
        numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
