"""A float detector becomes two INT8 ONNX files, of which a device loads one: for its processor.

Decides the scheme, each part of it measured (docs: the guide's edge chapter): static QDQ, unsigned 8-bit activations by
signed 8-bit weights (the other pairing is twice as slow as float on VNNI processors), convolutions alone with their
ReLU folded in, the decoding of boxes and scores in float (one scale over 0-640 px and 0-1 scores zeroes every score).
Weights of 8 bits are for processors that add products in 32 bits; the second file is for x86 that does not (`safe`).
Of either file, as a processor computes it that it is for, convolutions go back to float until it loses no more on val
than it may (`sensitivity`).
Refuses to calibrate on anything but the user's own labeled train photographs.

    report = quantize(detector, dataset, config, out=work, seed=0, threads=2)
    report.bytes, report.safe_bytes                    # of the file that the device loads, by its processor
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from edgewright.artifacts import Artifact, canonical_json
from edgewright.compress.bias import correct_biases, mean_patches
from edgewright.compress.calibrate import CalibrationImages, choose_calibration_rows
from edgewright.compress.emulate import LayerSaturation, exact_network, measure_saturation, with_saturation
from edgewright.compress.export import INPUT, export_onnx, fold_constants, minify
from edgewright.compress.files import FACTS_FILE, FLOAT_FILE, FPGA_FILE, INT8_FILE, SAFE_FILE, SPEC_FILE
from edgewright.compress.fpga.operators import is_decoder, support_of
from edgewright.compress.fpga.quantize import largest_sum, quantize_for_fpga
from edgewright.compress.fpga.session import NUMBER_FORMAT
from edgewright.compress.layers import LayerError, compare_layers
from edgewright.compress.qdq import quantized_convs
from edgewright.compress.safe import SafeFile, make_safe
from edgewright.compress.sensitivity import Alone, Sensitivity, search
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Row, Split, spread
from edgewright.detect.evaluate import Sample, evaluate
from edgewright.detect.lesson import SCORE_THRESHOLD
from edgewright.detect.network import load_module
from edgewright.detect.operating import best_score
from edgewright.detect.train import FACTS_FILE as DETECTOR_FILE
from edgewright.detect.train import provenance_of
from edgewright.progress import OnProgress, silent
from edgewright.recipe.compress import QuantizeConfig
from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.session import EVALUATION_SCORE_THRESHOLD, ModelSpec, load_network, predictor

_WATCHED_IMAGES = 4
"""Of the calibration's, on which saturation is watched; the emulation takes 0.3 s a picture of 256 px."""
_RANKED_IMAGES = 2
"""On which one kernel alone is looked at: a network runs anew for each."""
_JUDGED_IMAGES = 100
"""Of val, on which a file's loss is measured; as they are written, which takes several times as long as they run."""
_LOWEST_SCORE = 0.05
"""Below it no device should report."""
_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


@dataclass(frozen=True)
class QuantizeReport:
    """What quantization gave.

    Attributes:
        zero_share: of the INT8 weights, how many are 0.
        safe_bytes: of the file for x86 without VNNI.
        saturation: what such a processor would do to the convolutions of the other file, the worst first.
        narrowed, in_float: convolutions with weights of less than 8 bits, and without, in the safe file.
        searched: of each file, which convolutions INT8 harms, the worst first, and which of them went back to float;
            None where val holds no object, or nothing was asked for.
        layers: of each file, what its convolutions say beside the float model's, as a processor computes them that the
            file is for; the worst first.
    """

    bytes: int
    float_bytes: int
    convolutions: int
    quantized_convolutions: int
    zero_share: float
    calibration_ids: tuple[str, ...]
    safe_bytes: int
    saturation: tuple[LayerSaturation, ...]
    narrowed: tuple[str, ...]
    in_float: tuple[str, ...]
    searched: dict[str, FileSearch] | None
    layers: dict[str, tuple[LayerError, ...]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class FileSearch:
    """Attributes:
    drop: of mAP50-95 on val that is left. met: whether it is within its bound.
    """

    drop: float
    met: bool
    layers: tuple[Sensitivity, ...]


@dataclass(frozen=True)
class Int8Models:
    """Attributes:
    whole: weights of 8 bits, with the names that the quantizer gave. safe: for every x86, with the same names.
    prepared: what was quantized. watched: inputs on which they are compared.
    """

    whole: onnx.ModelProto
    safe: SafeFile
    prepared: onnx.ModelProto
    watched: Sequence[FloatArray]


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
    """Export, calibrate on real `train` images, quantize.

    `out` gets `model.onnx model-safe.onnx float.onnx spec.json quantize.json`, where wanted `model-fpga.onnx` too.

    Raises:
        InputError: the data set has another class list or no real train image; a feature of a network that gives none.
        StageFailed: the network cannot be exported.
    """
    set_threads(threads)
    module, float_spec = load_module(detector.path)
    dataset.check_classes(float_spec.classes)
    spec = replace(float_spec, iou_threshold=config.iou_threshold)
    real = dataset.select(split=Split.TRAIN, origin=Origin.REAL)
    rows = choose_calibration_rows(real, count=config.calibration_images, seed=seed, n_classes=len(spec.classes))
    reader = CalibrationImages(dataset, rows, input_name=INPUT, input_px=spec.input_px, on_progress=on_progress)
    exported = export_onnx(module, input_px=spec.input_px, feature=config.feature)
    (out / FLOAT_FILE).write_bytes(minify(exported).SerializeToString(deterministic=True))
    int8, searched = _searched(
        quantize_model(exported, reader, config, threads=threads),
        spec,
        dataset,
        config,
        threads=threads,
        on_progress=on_progress,
    )
    for name, model in ((INT8_FILE, int8.whole), (SAFE_FILE, int8.safe.model)):
        (out / name).write_bytes(minify(model).SerializeToString(deterministic=True))
        load_network(out / name)  # what the device's own runtime refuses is not published
    fpga = _for_fpga(int8.prepared, reader, out=out) if config.fpga else None
    spec = replace(spec, score_threshold=_reports_from(out / INT8_FILE, spec, dataset, config))
    (out / SPEC_FILE).write_bytes(canonical_json(spec.to_json()))
    report = _report(out, int8, rows, searched)
    versions = {name: version(name) for name in ("onnx", "onnxruntime", "torch")}
    began = provenance_of(detector.json(DETECTOR_FILE)).facts()
    facts = {**report.to_json(), "versions": versions, "start": began, **({"fpga": fpga} if fpga else {})}
    (out / FACTS_FILE).write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
    return report


def _for_fpga(prepared: onnx.ModelProto, reader: CalibrationImages, *, out: Path) -> dict[str, Any]:
    """The file for the unit, and what is said of it."""
    model = quantize_for_fpga(prepared, lambda: _first(reader, len(reader)))
    (out / FPGA_FILE).write_bytes(minify(model).SerializeToString(deterministic=True))
    load_network(out / FPGA_FILE)
    return {
        "number_format": NUMBER_FORMAT,
        "bytes": (out / FPGA_FILE).stat().st_size,
        "largest_sum": largest_sum(model),
        "support": support_of(prepared).to_json(),
    }


def _searched(
    int8: Int8Models,
    spec: ModelSpec,
    dataset: Dataset,
    config: QuantizeConfig,
    *,
    threads: int,
    on_progress: OnProgress,
) -> tuple[Int8Models, dict[str, FileSearch] | None]:
    """Both files with what has to stay in float."""
    rows = spread(dataset.select(split=Split.VAL, origin=Origin.REAL, labeled=True), _JUDGED_IMAGES)
    if config.max_drop is None or not any(len(row.boxes) for row in rows):
        return int8, None
    judged = 0

    def map_of(model: onnx.ModelProto) -> float:
        nonlocal judged
        judged += 1
        predict = predictor(exact_network(model, threads=threads), spec, score_threshold=EVALUATION_SCORE_THRESHOLD)
        found = evaluate(
            predict,
            (Sample(dataset.image(row), row.boxes, row.ignored) for row in rows),
            classes=spec.classes,
            n_samples=len(rows),
            on_progress=lambda done, total, _: on_progress(done, total, f"what INT8 loses, model {judged}"),
        )
        return found.map50_95 or 0.0

    whole, alone = map_of(int8.prepared), Alone(int8.prepared, int8.watched[:_RANKED_IMAGES])
    found = {
        name: search(
            model,
            alone,
            drop_of=lambda model: whole - map_of(model),
            max_drop=config.max_drop,
            max_bytes=config.max_bytes,
        )
        for name, model in ((INT8_FILE, int8.whole), (SAFE_FILE, int8.safe.model))
    }
    back = {name for layer in found[SAFE_FILE].layers if layer.in_float for name in layer.names}
    narrowed = tuple(name for name in int8.safe.narrowed if name not in back)
    safe = SafeFile(found[SAFE_FILE].model, narrowed, (*int8.safe.in_float, *sorted(back)))
    return replace(int8, whole=found[INT8_FILE].model, safe=safe), {
        name: FileSearch(each.drop, each.met, each.layers) for name, each in found.items()
    }


def _reports_from(model: Path, spec: ModelSpec, dataset: Dataset, config: QuantizeConfig) -> float:
    """The score that the recipe names, or the best one on val: photographs that chose the epoch and taught nothing."""
    if config.score_threshold is not None:
        return config.score_threshold
    rows = dataset.select(split=Split.VAL, origin=Origin.REAL, labeled=True)
    found = evaluate(
        predictor(load_network(model), spec, score_threshold=_LOWEST_SCORE),
        (Sample(dataset.image(row), row.boxes, row.ignored) for row in rows),
        classes=spec.classes,
        collect=True,
    )
    return best_score(found.matched.by_class if found.matched else (), otherwise=SCORE_THRESHOLD)


def quantize_model(
    model: onnx.ModelProto, reader: CalibrationDataReader, config: QuantizeConfig, *, threads: int = 1
) -> Int8Models:
    """A float model => its QDQ models. Temporary files are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="edgewright-int8-") as folder:
        prepared, quantized = fold_constants(model), Path(folder) / "int8.onnx"
        quantize_static(
            prepared,
            quantized,
            reader,
            quant_format=QuantFormat.QDQ,
            # A Relu or Clip (ReLU6) between two quantized tensors is folded into their range.
            op_types_to_quantize=["Conv", "Relu", "Clip"],
            nodes_to_exclude=_float_nodes(prepared),
            per_channel=config.per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=_METHODS[config.calibration],
            # One image at a time: memory stays that of one picture's activations, whatever the method.
            extra_options={"CalibStridedMinMax": 1},
        )
        whole, float_model = onnx.load_model(quantized), fold_constants(model)
        watched = watch(reader)
        safe = make_safe(whole, float_model, watched, max_loss=config.safe_max_loss, max_bytes=config.max_bytes)
        if config.bias_correction:
            patches = mean_patches(float_model, quantized_convs(whole), _first(reader, len(reader)), threads=threads)
            whole = correct_biases(whole, float_model, patches)
            safe = replace(safe, model=correct_biases(safe.model, float_model, patches))
        return Int8Models(whole, safe, float_model, watched)


def set_threads(threads: int) -> None:
    """How many cores torch takes for the export."""
    import torch

    torch.set_num_threads(threads)


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """The box decoder's expectation over distances is a convolution too; in INT8 it costs the boxes their edges."""
    return [node.name for node in model.graph.node if node.op_type == "Conv" and is_decoder(node)]


def watch(reader: CalibrationDataReader) -> list[FloatArray]:
    """The first inputs of a calibration."""
    return list(_first(reader, _WATCHED_IMAGES))


def _first(reader: CalibrationDataReader, n: int) -> Iterator[FloatArray]:
    """One at a time."""
    reader.set_range(0, min(n, len(reader)))
    return (fed[INPUT] for fed in iter(reader.get_next, None))


def _report(out: Path, int8: Int8Models, rows: Sequence[Row], searched: dict[str, FileSearch] | None) -> QuantizeReport:
    weights = _int8_weights(int8.whole)
    saturation = measure_saturation(with_saturation(int8.whole), int8.watched)
    computed = {INT8_FILE: int8.whole, SAFE_FILE: with_saturation(int8.safe.model).model}
    layers = {name: compare_layers(int8.prepared, model, int8.watched) for name, model in computed.items()}
    values = np.concatenate([value.reshape(-1) for value in weights]) if weights else np.zeros(0, np.int8)
    return QuantizeReport(
        bytes=(out / INT8_FILE).stat().st_size,
        float_bytes=(out / FLOAT_FILE).stat().st_size,
        convolutions=sum(node.op_type == "Conv" for node in int8.whole.graph.node),
        quantized_convolutions=len(weights),
        zero_share=float((values == 0).mean()) if len(values) else 0.0,
        calibration_ids=tuple(row.id for row in rows),
        safe_bytes=(out / SAFE_FILE).stat().st_size,
        saturation=tuple(sorted(saturation, key=lambda layer: -layer.share)),
        narrowed=int8.safe.narrowed,
        in_float=int8.safe.in_float,
        searched=searched,
        layers={name: tuple(sorted(each, key=lambda layer: -layer.error)) for name, each in layers.items()},
    )


def _int8_weights(model: onnx.ModelProto) -> list[Any]:
    """The INT8 kernels; zero points are INT8 too, but have no four axes."""
    return [
        numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
