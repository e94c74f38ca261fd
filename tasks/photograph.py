"""Photograph: the changed line of a rehearsal, with its truth, for whoever measures and for the arm that labels all."""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.rehearsal.plan import RehearsalConfig
from tasks.engine.stage import stage
from tasks.engine.work import Work


@stage(pools=("cpu",))
def photograph(work: Work, config: RehearsalConfig, dataset: ArtifactRef) -> ArtifactRef:
    """Scenes that no device sees, by the camera of the simulated photographs in `dataset`."""
    from edgewright.rehearsal.frames import changed_frames
    from edgewright.simulate.camera import SimulatedCamera
    from edgewright.simulate.shift import shift_named

    camera = SimulatedCamera(work.seed, shift=shift_named(config.shift))
    classes = Dataset.open(work.session.store, dataset).classes
    with work.session.store.workspace() as out:
        rows = changed_frames(camera, config, writer=DatasetWriter(out, classes=classes))
        return work.publish(out, kind="dataset_changed", metrics={"rows": rows})
