"""Generate: layouts and crops become labeled synthetic images; the labels are right by construction."""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import spread
from edgewright.metrics import metrics_of
from edgewright.recipe.synth import GenerateConfig
from edgewright.report.figures import picture_of
from tasks.engine.hands import hands_of
from tasks.engine.stage import stage
from tasks.engine.work import Work


@stage(pools=("gpu", "cpu"))
def generate(work: Work, config: GenerateConfig, generator: ArtifactRef, dataset: ArtifactRef) -> ArtifactRef:
    """Compose synthetic images on real training backgrounds."""
    from edgewright.report.figures import grid
    from edgewright.synth.generate import generate as compose

    store = work.session.store
    real = Dataset.open(store, dataset)
    with store.workspace() as out, hands_of(work.session.settings) as hands:
        writer = DatasetWriter(out, classes=real.classes)
        report = compose(
            work.open(generator),
            real,
            config,
            writer=writer,
            seed=work.seed,
            hands=hands,
            scratch=work.scratch,
            on_progress=work.on_progress,
        )
        writer.finish()
        ref = work.publish(out, kind="dataset_synthetic", metrics=metrics_of(report), facts=report.facts)
        work.warn(report.warnings)
    made = Dataset.open(store, ref)
    if made.usable:
        pictures = [picture_of(made, row) for row in spread(made.usable, 12)]
        work.child.log_image(grid(pictures, columns=4, cell_px=192), "synthetic.png")
    return ref
