"""Assemble: photographs and extra pictures become what one arm's detector is trained on."""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.experiment.plan import AssembleConfig
from edgewright.metrics import metrics_of
from tasks.engine.stage import stage
from tasks.engine.work import Work


@stage(pools=("cpu",))
def assemble(work: Work, config: AssembleConfig, subset: ArtifactRef, extra: ArtifactRef) -> ArtifactRef:
    """Put a training set together, without a gate: an experiment measures what a gate would have kept out too."""
    from edgewright.experiment.subset import assemble as put_together

    store = work.session.store
    own = Dataset.open(store, subset)
    with store.workspace() as out:
        writer = DatasetWriter(out, classes=own.classes)
        counts = put_together(own, Dataset.open(store, extra), config, writer=writer)
        return work.publish(out, kind="dataset_experiment", metrics=metrics_of(counts), facts=counts)
