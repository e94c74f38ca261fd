"""The formats, who writes each of them, and which module runs it here.

Decides that formats whose converter takes any graph are written here, for every family alike; all others are written by
ultralytics' exporters, for its own graphs. Refuses a name that neither knows.

>>> format_named("ncnn").file
'detector.ncnn.param'
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from edgewright.errors import InputError, MissingExtra


@dataclass(frozen=True)
class Format:
    """Attributes:
    file: by which a runtime opens it.
    writer: the module that writes it; "" where torch and onnx do.
    runtime: the module that runs it.
    top_k: whether the runtime selects the best, as a graph without suppression (YOLO26) ends with.
    """

    name: str
    file: str
    writer: str
    runtime: str
    top_k: bool = True


OWN = (
    Format("onnx", "detector.onnx", "", "onnxruntime"),
    Format("torchscript", "detector.torchscript", "", "torch"),
    Format("openvino", "detector.xml", "openvino", "openvino"),
    Format("ncnn", "detector.ncnn.param", "pnnx", "ncnn", top_k=False),
    Format("mnn", "detector.mnn", "MNN", "MNN"),
)


def format_named(name: str) -> Format | None:
    """One of OWN, or None where it is ultralytics' to write. Raises MissingExtra where its converter is not here."""
    found = next((each for each in OWN if each.name == name), None)
    if found and found.writer and find_spec(found.writer) is None:
        raise MissingExtra(
            f"{name} is written by a package that is not installed",
            expected=found.writer,
            next_step="pip install 'edgewright[convert]'",
        )
    return found


def require_known(names: list[str]) -> None:
    """Raises InputError naming what can be asked for; MissingExtra where only ultralytics would know."""
    known = [each.name for each in OWN]
    if set(names) <= set(known):
        return
    known += [name for name in _of_ultralytics() if name not in known]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError("not a format", expected=", ".join(known), got=", ".join(unknown))


def _of_ultralytics() -> list[str]:
    from edgewright.detect.yolo.library import open_ultralytics

    return [name for name in open_ultralytics("engine.exporter").export_formats()["Argument"] if name != "-"]
