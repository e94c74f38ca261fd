"""The inference session: a model file and its specification become a function from picture to boxes.

A file may have a second output, `feature`: what its network says of the whole picture, for whoever asks whether the
pictures change. Decides nothing about quality. Refuses a model that is more than one file (external data), larger than
the cap, of another shape than its specification says, or with any other second output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes, FloatArray, Image
from edgewright.runtime.decode import LAYOUTS, decode
from edgewright.runtime.onnx_file import refuse_external_data
from edgewright.runtime.preprocess import letterbox

MAX_MODEL_BYTES = 64_000_000
FEATURE, MAX_FEATURE = "feature", 512
"""The second output's name, and how many numbers it may hold."""
MAX_INPUT_PX = 4096
"""A picture of this side takes 200 MB as the network's input."""
EVALUATION_SCORE_THRESHOLD = 0.001
"""Average precision needs the whole curve (COCO practice); a device uses the threshold in its specification."""

_REFUSALS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)
"""What ONNX Runtime raises: its exceptions share no base class but Exception."""

Network = Callable[[FloatArray], FloatArray]
"""(1, 3, S, S) float32 RGB [0, 1] => the raw output that `decode` reads."""
Predictor = Callable[[Image], Boxes]
"""Picture => detections in source px, best score first."""
OnPhase = Callable[[str], None]
"""Told after each part of the way: `interconnect` (the letterbox), `compute` (the network), `post` (boxes)."""


@dataclass(frozen=True)
class Output:
    """What a file declares of an output. Attributes: shape: no number for what is open. is_float: of 32 bits."""

    name: str
    shape: tuple[object, ...]
    is_float: bool


class FileNetwork:
    """A model's file as a `Network`, and what it said beside the detections.

    Attributes:
        feature_size: numbers of its feature; 0 where it has none.
        feature: (D,) float32 of the last picture; None where the file has none, or not all of it was finite.
    """

    def __init__(
        self, run: Callable[[FloatArray], list[FloatArray]], outputs: Sequence[Output], *, where: Path
    ) -> None:
        """Raises InputError where the outputs are not detections, alone or with a feature."""
        self._run, self._where = run, where
        self.feature_size = _feature_size(outputs, where=where)
        self.feature: FloatArray | None = None

    def __call__(self, tensor: FloatArray) -> FloatArray:
        found = self._run(tensor)
        if self.feature_size:
            self.feature = self._checked(found[1])
        return found[0]

    def _checked(self, feature: FloatArray) -> FloatArray | None:
        if feature.shape != (1, self.feature_size):
            raise InputError(
                "the model's feature is not what it declares",
                expected=(1, self.feature_size),
                got=feature.shape,
                where=self._where,
            )
        return feature[0] if np.isfinite(feature).all() else None


@dataclass(frozen=True)
class ModelSpec:
    """What a model file does not say of itself. Law: `ModelSpec.from_json(s.to_json()) == s`.

    Attributes:
        classes: names by class id.
        input_px: side of the square input, a multiple of 32 up to MAX_INPUT_PX.
        layout: `dense` or `end2end` (see `decode`).
        score_threshold: detections below are not reported, in [0, 1].
        iou_threshold: overlap above which the lower score of one class is suppressed, in [0, 1].
    """

    classes: tuple[str, ...]
    input_px: int
    layout: str
    score_threshold: float
    iou_threshold: float

    def __post_init__(self) -> None:
        square = 32 <= self.input_px <= MAX_INPUT_PX and self.input_px % 32 == 0
        if not self.classes or not square or self.layout not in LAYOUTS:
            raise InputError("not a model specification", got=asdict(self))
        if not (0 <= self.score_threshold <= 1 and 0 <= self.iou_threshold <= 1):
            raise InputError("a threshold outside [0, 1]", got=asdict(self))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ModelSpec:
        try:
            return cls(
                classes=tuple(str(name) for name in value["classes"]),
                input_px=int(value["input_px"]),
                layout=str(value["layout"]),
                score_threshold=float(value["score_threshold"]),
                iou_threshold=float(value["iou_threshold"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("not a model specification", got=error) from error


def predictor(
    network: Network, spec: ModelSpec, *, score_threshold: float | None = None, on_phase: OnPhase = lambda _: None
) -> Predictor:
    """The whole way from picture to boxes around any network: float, ONNX, INT8, on the device."""
    threshold = spec.score_threshold if score_threshold is None else score_threshold

    def predict(image: Image) -> Boxes:
        tensor, geometry = letterbox(image, size_px=spec.input_px)
        on_phase("interconnect")
        output = network(tensor)
        on_phase("compute")
        found = decode(output, layout=spec.layout, score_threshold=threshold, iou_threshold=spec.iou_threshold)
        if len(found) and found.class_id.max() >= len(spec.classes):
            raise InputError(
                "the model knows more classes than its specification",
                expected=f"{len(spec.classes)} classes",
                got=f"class {found.class_id.max()}",
            )
        boxes = geometry.to_source(found)
        on_phase("post")
        return boxes

    return predict


def load_network(path: Path, *, threads: int = 1, spinning: bool = False) -> FileNetwork:
    """An ONNX file as a function on CPU, as fast as ONNX Runtime makes it on this processor.

    Args:
        spinning: threads wait awake for their next work: faster on idle cores, slower on shared ones.

    Raises:
        InputError: missing, over MAX_MODEL_BYTES, with external data, refused by ONNX Runtime, or not one input and
            one output, or two of which the second is a feature.
    """
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return _network(path, threads=threads, level=level, spinning=spinning)


def load_exact_network(path: Path, *, threads: int = 1) -> FileNetwork:
    """As `load_network`, with what is quantized computed in float, as it is written: on every processor alike."""
    return _network(path, threads=threads, level=onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)


def read_model(path: Path) -> bytes:
    """Raises InputError: missing, over MAX_MODEL_BYTES, with external data."""
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise InputError("cannot read the model", got=error.strerror, where=path) from error
    if len(payload) > MAX_MODEL_BYTES:
        raise InputError("model file too large", expected=f"<= {MAX_MODEL_BYTES} bytes", got=len(payload), where=path)
    refuse_external_data(payload, where=path)
    return payload


def _feature_size(outputs: Sequence[Output], *, where: Path) -> int:
    if not 1 <= len(outputs) <= 2:
        raise InputError("not a detector", expected="1 output, or 2", got=len(outputs), where=where)
    if len(outputs) == 1:
        return 0
    second = outputs[1]
    size = second.shape[-1] if second.shape else None
    if isinstance(size, int) and 1 <= size <= MAX_FEATURE and second == Output(FEATURE, (1, size), is_float=True):
        return size
    expected = f"float32 {FEATURE!r} of shape (1, 1 to {MAX_FEATURE})"
    raise InputError("a second output that is no feature", expected=expected, got=second, where=where)


def _network(
    path: Path, *, threads: int, level: onnxruntime.GraphOptimizationLevel, spinning: bool = False
) -> FileNetwork:
    payload = read_model(path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A spinning pool starves its neighbors: 2 threads took 63 ms where 1 took 32 on a shared CPU (measured).
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    try:
        # From bytes, not from a path: what was checked is what is loaded.
        session = onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
    except _REFUSALS as error:
        raise InputError("ONNX Runtime refuses the model", got=error, where=path) from error
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise InputError("not a detector", expected="1 input", got=len(inputs), where=path)
    name = inputs[0].name

    def run(tensor: FloatArray) -> list[FloatArray]:
        try:
            return [np.asarray(each, dtype=np.float32) for each in session.run(None, {name: tensor})]
        except _REFUSALS as error:
            raise InputError("the model does not take this input", expected=inputs[0].shape, got=error) from error

    outputs = [Output(each.name, tuple(each.shape), each.type == "tensor(float)") for each in session.get_outputs()]
    return FileNetwork(run, outputs, where=path)
