"""The data gate: real against synthetic gives a verdict, and the dataset that training may see."""

from __future__ import annotations

import json

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Origin
from edgewright.gates.data_gate import decide_data
from edgewright.gates.evidence import EVIDENCE_FILE
from edgewright.gates.utility import UTILITY_FILE, UtilityEvidence
from edgewright.gates.verdict import VERDICT_FILE, Outcome, Verdict
from edgewright.recipe.gates import GateDataConfig
from tasks.engine.stage import stage
from tasks.engine.work import Work


@stage(pools=("gpu", "cpu"))
def gate_data(
    work: Work, config: GateDataConfig, real: ArtifactRef, synthetic: ArtifactRef, utility: ArtifactRef
) -> ArtifactRef:
    """Measure, decide, and admit the synthetic images only on a pass."""
    from edgewright.gates.data_gate import measure_data

    store = work.session.store
    real_set, synthetic_set = Dataset.open(store, real), Dataset.open(store, synthetic)
    synthetic_set.check_classes(real_set.classes)
    evidence = measure_data(
        real_set,
        synthetic_set,
        config,
        seed=work.seed,
        threads=work.threads,
        on_progress=work.on_progress,
        utility=UtilityEvidence.from_json(work.open(utility).json(UTILITY_FILE)),
    )
    verdict = decide_data(evidence, config)
    with store.workspace() as out:
        rows = admit(real_set, synthetic_set, verdict, writer=DatasetWriter(out, classes=real_set.classes))
        (out / VERDICT_FILE).write_text(json.dumps(verdict.to_json(), indent=1, sort_keys=True, allow_nan=False))
        (out / EVIDENCE_FILE).write_text(json.dumps(evidence.to_json(), indent=1, sort_keys=True, allow_nan=False))
        (out / UTILITY_FILE).write_bytes(work.open(utility).path(UTILITY_FILE).read_bytes())
        note = "\n\n".join([*verdict.reasons, verdict.beside])
        work.child.tag({"gate.gate_data": verdict.outcome, "mlflow.note.content": note})
        work.child.log_json(verdict.to_json(), VERDICT_FILE)
        metrics = {_metric(c.name): c.value for c in verdict.checks if c.value is not None}
        return work.publish(out, kind="dataset_training", metrics=metrics, facts={"rows": rows})


def admit(real: Dataset, labeled: Dataset, verdict: Verdict, *, writer: DatasetWriter) -> int:
    """Write what training may see: the real rows, and the synthetic ones only where the verdict is a pass.

    A photograph that the labeler labeled stands as it left it, whatever the verdict: the gate judges synthetic
    pictures, pseudo-labels are gated by their own held-out precision. One on which it is sure of no object stays
    unlabeled.
    """
    pseudo = {row.id: row for row in labeled.pseudo_labeled()}
    for row in real.rows:
        writer.carry(pseudo.get(row.id, row), real)
    if verdict.outcome is Outcome.PASS:
        for row in labeled.select(origin=Origin.SYNTHETIC):
            writer.link(row, labeled)
    return len(writer.finish())


def _metric(name: str) -> str:
    return "gate/" + name.replace(" ", "_")
