"""The model gate: bytes, accuracy drop, parity and latency decide whether a model may be released."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.detect.mistakes import MISTAKES_FILE
from edgewright.gates.file_checks import FileEvidence
from edgewright.gates.model_gate import MEASURED_FILE, ModelEvidence, decide_model
from edgewright.gates.verdict import VERDICT_FILE
from edgewright.metrics import metrics_of
from edgewright.recipe.gates import GateModelConfig
from tasks.engine.stage import Work, stage

if TYPE_CHECKING:
    from edgewright.compress.measure import ModelMeasurement


@stage(pools=("cpu", "edge"))
def gate_model(
    work: Work, config: GateModelConfig, model: ArtifactRef, detector: ArtifactRef, dataset: ArtifactRef
) -> ArtifactRef:
    """Evaluate float and INT8 on the real test images and on the device runtime."""
    from edgewright.compress.measure import measure_model

    measured = measure_model(
        work.open(model),
        work.open(detector),
        Dataset.open(work.session.store, dataset),
        config,
        threads=work.threads,
        on_progress=work.on_progress,
    )
    verdict = decide_model(evidence_of(measured), config)
    with work.session.store.workspace() as out:
        (out / VERDICT_FILE).write_text(json.dumps(verdict.to_json(), indent=1, sort_keys=True, allow_nan=False))
        (out / MEASURED_FILE).write_text(json.dumps(measured.to_json(), indent=1, sort_keys=True, allow_nan=False))
        if measured.mistakes:
            (out / MISTAKES_FILE).write_text(json.dumps(measured.mistakes.to_json(), sort_keys=True, allow_nan=False))
        work.child.tag({"gate.gate_model": verdict.outcome, "mlflow.note.content": "\n\n".join(verdict.reasons)})
        work.child.log_json(measured.to_json(), MEASURED_FILE)
        numbers = {
            name: value for name, value in evidence_of(measured).to_json().items() if not isinstance(value, dict)
        }
        return work.publish(out, kind="model_verdict", metrics=metrics_of(numbers))


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
