"""Train the labeler: a small semantic segmentation network that has seen real labeled images only."""

from __future__ import annotations

from edgewright.artifacts import Artifact, ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.learning.provenance import Provenance
from edgewright.metrics import HISTORY_FILE, history_of, metrics_of
from edgewright.recipe.label import TrainLabelerConfig
from edgewright.runtime.preprocess import read_image
from tasks.engine.stage import stage
from tasks.engine.told import Told, told_of_start
from tasks.engine.work import Work


def told_of(artifact: Artifact) -> Told:
    """What training began with, and under which licence."""
    from edgewright.label.network.net import SPEC_FILE

    return told_of_start(Provenance(**artifact.json(SPEC_FILE).get("start", {})), stage="train_labeler")


@stage(pools=("gpu", "cpu"), tells=told_of)
def train_labeler(work: Work, config: TrainLabelerConfig, dataset: ArtifactRef) -> ArtifactRef:
    """Train on the real training images, calibrate and audit on what each fold leaves out; examine the teacher."""
    from edgewright.label.train import PREVIEW_FILE
    from edgewright.label.train import train_labeler as train

    real = Dataset.open(work.session.store, dataset)
    with work.session.store.workspace() as out:
        report = train(
            real,
            config,
            out=out,
            scratch=work.scratch,
            seed=work.seed,
            threads=work.threads,
            on_progress=work.on_progress,
        )
        work.child.log_history(history_of(out / HISTORY_FILE))
        if (out / PREVIEW_FILE).exists():
            work.child.log_image(read_image(out / PREVIEW_FILE), "masks.png")
        return work.publish(out, kind="labeler", metrics=metrics_of(report))
