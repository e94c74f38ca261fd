"""Measure usefulness: detectors in pairs, with and without the synthetic images; evidence for the data gate."""

from __future__ import annotations

import json

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.gates.utility import UTILITY_FILE, UtilityEvidence
from edgewright.metrics import metrics_of
from edgewright.recipe.gates import MeasureUtilityConfig
from tasks.engine.stage import stage
from tasks.engine.work import Work


@stage(pools=("gpu", "cpu"))
def measure_utility(work: Work, config: MeasureUtilityConfig, real: ArtifactRef, synthetic: ArtifactRef) -> ArtifactRef:
    """Train the pairs that the recipe asks for and measure them on photographs held out in turn; with none, say so."""
    from edgewright.experiment.utility import measure_utility as measure

    store = work.session.store
    evidence = measure(
        Dataset.open(store, real),
        Dataset.open(store, synthetic),
        config,
        store=store,
        scratch=work.scratch,
        seed=work.seed,
        threads=work.threads,
        on_progress=work.on_progress,
    )
    with store.workspace() as out:
        (out / UTILITY_FILE).write_text(json.dumps(evidence.to_json(), indent=1, sort_keys=True, allow_nan=False))
        work.child.log_json(evidence.to_json(), UTILITY_FILE)
        return work.publish(out, kind="utility_evidence", metrics=_numbers(evidence))


def _numbers(evidence: UtilityEvidence) -> dict[str, float]:
    if evidence.gain is None:
        return {"utility/n": 0.0}
    found = metrics_of(evidence.gain, prefix="utility/")
    found |= {"utility/folds": float(evidence.folds), "utility/photographs": float(evidence.n_held_out)}
    for name, gain in evidence.gain_by_class.items():
        found |= metrics_of(gain, prefix=f"utility/{name}/")
    return found
