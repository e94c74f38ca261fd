"""The model gate: may the INT8 model be released?

Decides over numbers of the *shipped* files (`file_checks`: each of them, in every form that it must hold in): bytes,
what INT8 costs in mAP50-95, whether it finds enough, of every class that the test photographs can tell about, whether
it agrees with the float model picture by picture, and how long the device runtime takes. Pure: the numbers are measured
elsewhere. A number that is missing or not finite is not evaluable, and a float model that finds nothing makes the drop
meaningless: both end the run. There is no option that releases a refused model.

>>> from edgewright.gates.file_checks import FormEvidence
>>> from edgewright.recipe.gates import GateModelConfig
>>> file = FileEvidence(1_800_000, "", 0.1, {"as written": FormEvidence(0.70, 0.415, 90, decides=True)})
>>> found = {"bolt": 0.7}, {"bolt": 300}, {"model.onnx": file}, 0.002
>>> evidence = ModelEvidence(1_800_000, 0.71, 0.42, 0.70, 0.415, 90, 0.97, 640, 2.1, 3.4, 100, *found)
>>> decide_model(evidence, GateModelConfig()).decision
'release'
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from edgewright.errors import InputError
from edgewright.gates.file_checks import FileEvidence, file_checks
from edgewright.gates.verdict import Check, Outcome, Verdict, combine, compare
from edgewright.recipe.gates import GateModelConfig

GATE = "gate_model"
MEASURED_FILE = "measured.json"
"""What the evidence is drawn from, whole."""
_SHARES = ("float_map50", "float_map50_95", "int8_map50", "int8_map50_95", "parity")


@dataclass(frozen=True)
class ModelEvidence:
    """Law: `ModelEvidence.from_json(e.to_json()) == e`. None and NaN mean: could not be measured; NaN becomes None.

    Attributes:
        bytes: of the single ONNX file that the device loads.
        n_images: real test images behind the four mAP numbers.
        parity: share of the float model's detections that the INT8 model finds, of `parity_n` detections.
        p50_ms, p99_ms: of `latency_runs` single-image runs on the device runtime.
        int8_ap50: of INT8 at IoU 0.5 by class. n_objects: by class, how many the test images hold.
        files: each INT8 file that a device may load, by name.
        export_difference: largest absolute difference of float ONNX to the trained network, in input px or score.
    """

    bytes: int
    float_map50: float | None
    float_map50_95: float | None
    int8_map50: float | None
    int8_map50_95: float | None
    n_images: int
    parity: float | None
    parity_n: int
    p50_ms: float | None
    p99_ms: float | None
    latency_runs: int
    int8_ap50: Mapping[str, float] = field(default_factory=dict)
    n_objects: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, FileEvidence] = field(default_factory=dict)
    export_difference: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Mapping):
                continue
            if isinstance(value, float) and not math.isfinite(value):
                object.__setattr__(self, each.name, None)
            elif value is not None and (value < 0 or (each.name in _SHARES and value > 1)):
                raise InputError(
                    f"model evidence {each.name!r} is out of range",
                    expected="0 to 1" if each.name in _SHARES else ">= 0",
                    got=value,
                )

    @property
    def map_drop(self) -> float | None:
        """Float mAP50-95 minus INT8 mAP50-95; None where either is missing or the float model finds nothing."""
        if not self.float_map50_95 or self.int8_map50_95 is None:
            return None
        return self.float_map50_95 - self.int8_map50_95

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ModelEvidence:
        return cls(**{**value, "files": {name: FileEvidence.from_json(each) for name, each in value["files"].items()}})


def decide_model(evidence: ModelEvidence, config: GateModelConfig, *, beside: Sequence[Check] = ()) -> Verdict:
    """Pure. `decision`: `release` or `end`.

    Args:
        beside: checks of other numbers than the evidence's: against the champion. What they say without deciding is
            said of a model that passes.
    """
    checks = [*_checks(evidence, config), *beside]
    outcome = combine(checks)
    released = outcome is Outcome.PASS
    verdict = Verdict(GATE, outcome, tuple(checks), "", "release" if released else "end")
    noted = "".join(f"; {check.sentence}" for check in beside if not check.decides)
    sentence = f"the INT8 model may be released: every check holds{noted}" if released else _refusal(verdict)
    return replace(verdict, sentence=sentence)


def _checks(evidence: ModelEvidence, config: GateModelConfig) -> list[Check]:
    images = evidence.n_images
    size = float(evidence.bytes) if evidence.bytes else None
    return [
        compare("file size, bytes", size, n=1, at_most=config.max_bytes, set_at="gate_model.max_bytes"),
        compare("INT8 mAP50", evidence.int8_map50, n=images, at_least=config.min_map50, set_at="gate_model.min_map50"),
        _worst_class(evidence, config),
        compare(
            "mAP50-95 lost to INT8",
            evidence.map_drop,
            n=images,
            at_most=config.max_map_drop,
            set_at="gate_model.max_map_drop",
        ),
        compare(
            "float detections that INT8 finds",
            evidence.parity,
            n=evidence.parity_n,
            at_least=config.min_parity,
            set_at="gate_model.min_parity",
        ),
        compare(
            "latency p99, ms",
            evidence.p99_ms,
            n=evidence.latency_runs,
            min_n=config.latency_runs,
            at_most=config.max_p99_ms,
            set_at="gate_model.max_p99_ms",
        ),
        compare(
            "largest difference of float ONNX to the trained network, px or score",
            evidence.export_difference,
            n=images,
            at_most=config.max_export_difference,
            set_at="gate_model.max_export_difference",
        ),
        *file_checks(evidence.files, config, float_map50_95=evidence.float_map50_95),
    ]


def _worst_class(evidence: ModelEvidence, config: GateModelConfig) -> Check:
    """The class that is found worst, of those with enough test objects to tell; one that was not measured is the worst.

    Where no class has enough, the worst of all is reported and decides nothing. Nothing counted is nothing judged.
    """
    counted = {name: n for name, n in evidence.n_objects.items() if n > 0}
    enough = {name: n for name, n in counted.items() if n >= config.min_class_objects}
    found = {name: evidence.int8_ap50.get(name) for name in enough or counted}
    worst = min(found, key=lambda name: _or_lowest(found[name]), default="")
    return compare(
        f"INT8 mAP50 of the worst class, {worst!r}" if worst else "INT8 mAP50 of the worst class",
        found.get(worst),
        n=counted.get(worst, 0),
        at_least=config.min_class_map50,
        set_at="gate_model.min_class_map50",
        decides=bool(enough) or not counted,
    )


def _or_lowest(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else -1.0


def _refusal(verdict: Verdict) -> str:
    word = "is refused" if verdict.outcome is Outcome.REFUSE else "is not released, because it could not be judged"
    return f"the INT8 model {word}. {verdict.reasons[0]}"
