"""Train the detector on what the data gate admitted."""

from __future__ import annotations

from edgewright.artifacts import Artifact, ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.metrics import HISTORY_FILE, history_of, metrics_of
from edgewright.recipe.detect import TrainDetectorConfig
from tasks.engine.stage import stage
from tasks.engine.told import Told, told_of_start
from tasks.engine.work import Work


def told_of(artifact: Artifact) -> Told:
    """What training began with, and under which licence."""
    from edgewright.detect.train import FACTS_FILE, provenance_of

    return told_of_start(provenance_of(artifact.json(FACTS_FILE)), stage="train_detector")


@stage(pools=("gpu", "cpu"), tells=told_of)
def train_detector(work: Work, config: TrainDetectorConfig, dataset: ArtifactRef) -> ArtifactRef:
    """Train from scratch or from given weights; a killed training continues from its last epoch."""
    from edgewright.detect.train import train_detector as train

    with work.session.store.workspace() as out:
        report = train(
            Dataset.open(work.session.store, dataset),
            config,
            out=out,
            scratch=work.scratch,
            seed=work.seed,
            threads=work.threads,
            on_epoch=work.on_epoch,
        )
        _fill_gaps(work, history_of(out / HISTORY_FILE))
        return work.publish(out, kind="detector", metrics=metrics_of(report, prefix="detector/"))


def _fill_gaps(work: Work, history: list[tuple[int, dict[str, float]]]) -> None:
    """Log the epochs that were trained but not logged, because the process was killed between the two."""
    logged = work.child.steps("map50")
    names = {"map50": "val/map50", "map50_95": "val/map50_95"}
    work.child.log_history(
        [(epoch, {k: row[v] for k, v in names.items() if v in row}) for epoch, row in history if epoch not in logged]
    )
