"""Train the generator: a layout model fitted to the real boxes, and a network for object crops or whole scenes."""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.metrics import HISTORY_FILE, history_of, metrics_of
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.runtime.preprocess import read_image
from tasks.engine.stage import stage
from tasks.engine.work import Work


@stage(pools=("gpu", "cpu"))
def train_generator(work: Work, config: TrainGeneratorConfig, dataset: ArtifactRef) -> ArtifactRef:
    """Fit the layout model and train the network on the real training images only."""
    from edgewright.synth.generator import PREVIEW_FILE
    from edgewright.synth.generator import train_generator as train

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
            work.child.log_image(read_image(out / PREVIEW_FILE), "crops.png")
        return work.publish(out, kind="generator", metrics=metrics_of(report))
