"""The model gate: bytes, accuracy, parity, latency and the champion decide whether a model may be released."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.detect.mistakes import MISTAKES_FILE
from edgewright.gates.champion import CHAMPION_FILE, Champion, Comparison, champion_check
from edgewright.gates.file_checks import FileEvidence
from edgewright.gates.model_gate import MEASURED_FILE, ModelEvidence, decide_model
from edgewright.gates.verdict import VERDICT_FILE
from edgewright.metrics import metrics_of
from edgewright.recipe.gates import GateModelConfig
from tasks.engine.stage import stage
from tasks.engine.work import Work

if TYPE_CHECKING:
    from edgewright.compress.measure import ModelMeasurement


@stage(pools=("cpu", "edge"), identify={"champion": lambda champion, _: champion.digest})
def gate_model(
    work: Work,
    config: GateModelConfig,
    model: ArtifactRef,
    detector: ArtifactRef,
    dataset: ArtifactRef,
    champion: Champion,
) -> ArtifactRef:
    """Evaluate float and INT8 on the real test images and on the device runtime, and INT8 against the champion."""
    from edgewright.compress.measure import measure_model

    real = Dataset.open(work.session.store, dataset)
    measured = measure_model(
        work.open(model),
        work.open(detector),
        real,
        config,
        threads=work.threads,
        on_progress=work.on_progress,
    )
    comparison = _compare(work, config, measured, champion, real)
    verdict = decide_model(evidence_of(measured), config, beside=[champion_check(comparison, config)])
    with work.session.store.workspace() as out:
        (out / VERDICT_FILE).write_text(json.dumps(verdict.to_json(), indent=1, sort_keys=True, allow_nan=False))
        (out / MEASURED_FILE).write_text(json.dumps(measured.to_json(), indent=1, sort_keys=True, allow_nan=False))
        (out / CHAMPION_FILE).write_text(json.dumps(comparison.to_json(), indent=1, sort_keys=True, allow_nan=False))
        if measured.mistakes:
            (out / MISTAKES_FILE).write_text(json.dumps(measured.mistakes.to_json(), sort_keys=True, allow_nan=False))
        work.child.tag({"gate.gate_model": verdict.outcome, "mlflow.note.content": "\n\n".join(verdict.reasons)})
        work.child.log_json(measured.to_json(), MEASURED_FILE)
        return work.publish(out, kind="model_verdict", metrics=_numbers(measured, comparison))


def _compare(
    work: Work, config: GateModelConfig, measured: ModelMeasurement, champion: Champion, dataset: Dataset
) -> Comparison:
    """Without numbers where there is nothing to compare with, or nobody wants it."""
    if config.champion == "ignore" or champion.ref is None or champion.unreadable or measured.matched is None:
        return Comparison.of(champion)
    from edgewright.compress.challenge import challenge

    return challenge(
        measured.matched,
        champion,
        work.open(champion.ref),
        dataset,
        seed=work.seed,
        threads=work.threads,
        on_progress=work.on_progress,
    )


def _numbers(measured: ModelMeasurement, comparison: Comparison) -> dict[str, float]:
    """What MLflow keeps, in one batch: what the gate decides on, and what the evaluator says besides."""
    evidence = evidence_of(measured).to_json()
    found = metrics_of({name: value for name, value in evidence.items() if not isinstance(value, dict)})
    for precision, evaluation in (("float", measured.float_torch), ("int8", measured.int8)):
        found |= {f"{precision}_{name}": value for name, value in evaluation.numbers.items()}
    if measured.fpga:
        found |= metrics_of({"fpga_map50": measured.fpga.map50, "fpga_map50_95": measured.fpga.map50_95})
    return found | {f"champion_{name}": value for name, value in comparison.numbers.items()}


def evidence_of(measured: ModelMeasurement) -> ModelEvidence:
    """What the gate decides on: the float model is the trained one, the INT8 model is the shipped file."""
    return ModelEvidence(
        bytes=measured.bytes,
        float_map50=measured.float_torch.map50,
        float_map50_95=measured.float_torch.map50_95,
        int8_map50=measured.int8.map50,
        int8_map50_95=measured.int8.map50_95,
        n_images=measured.int8.n_images,
        parity=measured.parity.share,
        parity_n=measured.parity.n,
        p50_ms=measured.int8_latency.p50_ms,
        p99_ms=measured.int8_latency.p99_ms,
        latency_runs=measured.int8_latency.runs,
        int8_ap50=measured.int8.ap50,
        n_objects=measured.int8.n_truth,
        export_difference=measured.export_difference,
        files={name: FileEvidence.from_json(each.to_json()) for name, each in measured.files.items()},
    )
