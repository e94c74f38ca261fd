"""Label: the labeler looks at every picture that no person labeled: synthetic ones are judged, photographs labeled."""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.metrics import metrics_of
from edgewright.recipe.label import LabelConfig
from tasks.engine.hands import hands_of
from tasks.engine.source import find_dataset
from tasks.engine.stage import stage
from tasks.engine.work import Work


@stage(pools=("gpu", "cpu", "fpga"))
def label(
    work: Work, config: LabelConfig, labeler: ArtifactRef, dataset: ArtifactRef, photographs: ArtifactRef
) -> ArtifactRef:
    """Compare constructed labels with what the segmentation network sees; label photographs that nobody labeled."""
    from edgewright.label.annotate import annotate

    store = work.session.store
    synthetic = Dataset.open(store, dataset)
    with store.workspace() as out, hands_of(work.session.settings) as hands:
        writer = DatasetWriter(out, classes=synthetic.classes)
        report = annotate(
            work.open(labeler),
            synthetic,
            config,
            writer=writer,
            photographs=Dataset.open(store, photographs) if config.use_unlabeled else None,
            reviewed=Dataset.open(store, find_dataset(config.reviewed, store)) if config.reviewed else None,
            hands=hands,
            scratch=work.scratch,
            on_progress=work.on_progress,
        )
        writer.finish()
        work.warn(report.warnings)
        return work.publish(out, kind="dataset_labeled", metrics=metrics_of(report), facts=computed_by(config))


def computed_by(config: LabelConfig) -> dict[str, str]:
    """Whether a card or its emulation looked at the pictures, where that was asked for."""
    if config.number_format == "float":
        return {}
    from edgewright.compress.fpga import session

    return {"computed_by": session.computed_by()}
