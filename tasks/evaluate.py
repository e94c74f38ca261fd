"""Evaluate: a float detector on the test photographs."""

from __future__ import annotations

import json

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Split
from edgewright.detect.evaluate import EVALUATION_FILE
from edgewright.experiment.plan import EvaluateConfig
from edgewright.metrics import metrics_of
from tasks.engine.stage import stage
from tasks.engine.work import Work


@stage(pools=("gpu", "cpu"))
def evaluate(work: Work, config: EvaluateConfig, detector: ArtifactRef, dataset: ArtifactRef) -> ArtifactRef:
    """Average precision on the labeled real test images."""
    from edgewright.experiment.score import score_detector

    found = score_detector(
        work.open(detector).path,
        Dataset.open(work.session.store, dataset),
        split=Split.TEST,
        score_threshold=config.score_threshold,
        threads=work.threads,
        on_progress=work.on_progress,
    )
    with work.session.store.workspace() as out:
        (out / EVALUATION_FILE).write_text(json.dumps(found.to_json(), sort_keys=True))
        metrics = {"test/map50": 0.0, "test/map50_95": 0.0, **metrics_of(found.numbers, prefix="test/")}
        return work.publish(out, kind="evaluation", metrics=metrics)
