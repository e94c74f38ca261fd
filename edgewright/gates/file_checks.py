"""The model gate's checks of each INT8 file, in every form in which some processor computes it.

Decides that the bounds on bytes, mAP50 and lost mAP50-95 hold for every file in each form that it must hold in: a file
for processors with VNNI or Arm's dot product as it is written and as it runs, that for any other also with saturation.
What the first would be there is told and decides nothing. A convolution far from the float model's is named.

>>> from edgewright.recipe.gates import GateModelConfig
>>> form = FormEvidence(map50=0.6, map50_95=0.278, n_images=79, decides=True)
>>> file = FileEvidence(1_800_000, worst_layer="", layer_error=0.1, forms={"with saturation": form})
>>> [check.outcome.value for check in file_checks({"m.onnx": file}, GateModelConfig(), float_map50_95=0.429)]
['pass', 'pass', 'pass', 'refuse']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgewright.gates.verdict import Check, compare
from edgewright.recipe.gates import GateModelConfig


@dataclass(frozen=True)
class FormEvidence:
    """`decides`: whether the file must hold in this form. None: could not be measured."""

    map50: float | None
    map50_95: float | None
    n_images: int
    decides: bool


@dataclass(frozen=True)
class FileEvidence:
    """Attributes:
    worst_layer, layer_error: the convolution farthest from the float model's; norm of the difference over the norm.
    forms: by name of the form.
    """

    bytes: int
    worst_layer: str
    layer_error: float | None
    forms: Mapping[str, FormEvidence]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FileEvidence:
        """Reads what was measured, too: it says more than decides."""
        forms = {name: FormEvidence(**form) for name, form in value["forms"].items()}
        return cls(value["bytes"], value["worst_layer"], value["layer_error"], forms)


def file_checks(
    files: Mapping[str, FileEvidence], config: GateModelConfig, *, float_map50_95: float | None
) -> Iterator[Check]:
    """Pure. Where the float model finds nothing, nothing can be lost: not evaluable, as is what has no form."""
    if not files:
        yield _unmeasured("the INT8 files", config)
    for name, file in files.items():
        size = float(file.bytes) if file.bytes else None
        yield compare(f"size of {name}, bytes", size, n=1, at_most=config.max_bytes, set_at="gate_model.max_bytes")
        yield compare(
            f"relative error of a convolution of {name}, {file.worst_layer!r}",
            file.layer_error,
            n=1,
            at_most=config.max_layer_error,
            set_at="gate_model.max_layer_error",
        )
        if not any(found.decides for found in file.forms.values()):
            yield _unmeasured(name, config)
        for form, found in file.forms.items():
            yield from _form_checks(f"{name} {form}", found, config, float_map50_95=float_map50_95)


def _unmeasured(what: str, config: GateModelConfig) -> Check:
    at_most, set_at = config.max_map_drop, "gate_model.max_map_drop"
    return compare(f"mAP50-95 lost by {what}", None, n=0, at_most=at_most, set_at=set_at)


def _form_checks(
    what: str, found: FormEvidence, config: GateModelConfig, *, float_map50_95: float | None
) -> Iterator[Check]:
    lost = float_map50_95 - found.map50_95 if float_map50_95 and found.map50_95 is not None else None
    yield compare(
        f"mAP50 of {what}",
        found.map50,
        n=found.n_images,
        at_least=config.min_map50,
        set_at="gate_model.min_map50",
        decides=found.decides,
    )
    yield compare(
        f"mAP50-95 lost by {what}",
        lost,
        n=found.n_images,
        at_most=config.max_map_drop,
        set_at="gate_model.max_map_drop",
        decides=found.decides,
    )
