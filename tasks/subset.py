"""Subset: the images that one arm of an experiment may see."""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.experiment.plan import SubsetConfig
from tasks.engine.stage import stage
from tasks.engine.work import Work


@stage(pools=("cpu",))
def subset(work: Work, config: SubsetConfig, dataset: ArtifactRef) -> ArtifactRef:
    """Draw n labeled photographs of the pool; test is never handed out."""
    from edgewright.experiment.subset import write_subset

    pool = Dataset.open(work.session.store, dataset)
    with work.session.store.workspace() as out:
        rows = write_subset(pool, config, writer=DatasetWriter(out, classes=pool.classes))
        return work.publish(out, kind="dataset_subset", metrics={"rows": rows})
