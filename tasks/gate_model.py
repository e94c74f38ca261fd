"""The model gate: bytes, accuracy drop, parity and latency decide whether a model may be released."""

from __future__ import annotations

import json

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.gates.model_gate import ModelEvidence, decide_model
from edgewright.recipe import GateModelConfig
from tasks.stage import Work, stage


@stage(pools=("cpu", "edge"))
def gate_model(
    config: GateModelConfig, model: ArtifactRef, detector: ArtifactRef, dataset: ArtifactRef, *, work: Work
) -> ArtifactRef:
    """Evaluate float and INT8 on the real test images and on the device runtime."""
    from edgewright.compress.measure import measure_model

    int8 = work.open(model)
    measured = measure_model(
        int8,
        work.open(detector),
        Dataset.open(work.session.store, dataset),
        config,
        threads=work.threads,
        on_progress=work.on_progress,
    )
    evidence = ModelEvidence.from_json(measured.evidence)
    verdict = decide_model(evidence, config)
    with work.session.store.workspace() as out:
        (out / "verdict.json").write_text(json.dumps(verdict.to_json(), indent=1, sort_keys=True))
        (out / "measured.json").write_text(json.dumps(measured.to_json(), indent=1, sort_keys=True))
        work.child.tag({"gate.gate_model": verdict.outcome, "mlflow.note.content": "\n\n".join(verdict.reasons)})
        work.child.log_json(measured.to_json(), "measured.json")
        return work.publish(out, kind="model_verdict", metrics=measured.metrics)
