"""Label: the labeler annotates the synthetic images independently; agreement decides keep, correct, drop or review."""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.recipe import LabelConfig
from tasks.numbers import numbers_of
from tasks.stage import Work, stage


@stage(pools=("gpu", "fpga"))
def label(config: LabelConfig, labeler: ArtifactRef, dataset: ArtifactRef, *, work: Work) -> ArtifactRef:
    """Compare constructed labels with what the segmentation network sees; label photographs that nobody labeled."""
    from edgewright.label.annotate import annotate

    synthetic = Dataset.open(work.session.store, dataset)
    with work.session.store.workspace() as out:
        writer = DatasetWriter(out, classes=synthetic.classes)
        report = annotate(
            work.open(labeler),
            synthetic,
            config,
            writer=writer,
            threads=work.threads,
            on_progress=work.on_progress,
        )
        writer.finish()
        return work.publish(out, kind="dataset_labeled", metrics=numbers_of(report))
