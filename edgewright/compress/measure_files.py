"""Each INT8 file of a model on the test photographs, in every form in which some processor computes it.

Decides nothing: the model gate does, of each file in the forms that it must hold in (`forms.MUST_HOLD`). Emulated on at
most EMULATED_IMAGES photographs where that form is only told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgewright.artifacts import Artifact
from edgewright.compress.files import FACTS_FILE
from edgewright.compress.forms import MUST_HOLD, Form, Forms
from edgewright.data.rows import Row, spread
from edgewright.detect.evaluate import Evaluation
from edgewright.runtime.session import Network

EMULATED_IMAGES = 100
"""The emulation takes a third of a second a picture of 256 px (docs/LOG.md)."""


@dataclass(frozen=True)
class FormMeasurement:
    """`decides`: whether the file must hold in this form."""

    map50: float | None
    map50_95: float | None
    n_images: int
    decides: bool


@dataclass(frozen=True)
class FileMeasurement:
    """Law: `FileMeasurement.from_json(asdict(f)) == f`.

    Attributes:
        bytes: of the file.
        saturating: convolutions that can saturate on x86 without VNNI.
        worst_layer, layer_error: the convolution farthest from the float model's, and its relative error.
        forms: by name of the form.
    """

    bytes: int
    saturating: int
    worst_layer: str
    layer_error: float | None
    forms: Mapping[str, FormMeasurement]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FileMeasurement:
        return cls(**{**value, "forms": {name: FormMeasurement(**form) for name, form in value["forms"].items()}})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


Judge = Callable[[str, Network, Sequence[Row]], Evaluation]
"""What is evaluated, its network and the photographs => the evaluation."""


def measure_file(
    int8: Artifact, file: str, forms: Forms, rows: Sequence[Row], *, judge: Judge, known: Mapping[Form, Evaluation]
) -> FileMeasurement:
    """Every form of a file.

    Args:
        known: forms that were evaluated already.
    """
    measured: dict[str, FormMeasurement] = {}
    for form, network in forms.networks.items():
        decides = form in MUST_HOLD[file]
        shown = rows if decides else spread(rows, EMULATED_IMAGES)
        found = known[form] if form in known else judge(f"{file} {form}", network, shown)
        measured[form] = FormMeasurement(found.map50, found.map50_95, found.n_images, decides)
    if Form.SATURATED not in measured:
        as_written = measured[Form.WRITTEN]
        decides = Form.SATURATED in MUST_HOLD[file]
        measured[Form.SATURATED] = FormMeasurement(as_written.map50, as_written.map50_95, as_written.n_images, decides)
    layers = int8.json(FACTS_FILE)["layers"][file]
    return FileMeasurement(
        bytes=int8.path(file).stat().st_size,
        saturating=forms.saturating,
        worst_layer=layers[0]["name"] if layers else "",
        layer_error=layers[0]["error"] if layers else None,
        forms=measured,
    )
