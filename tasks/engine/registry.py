"""The MLflow model registry: float and INT8 are versions of one model; aliases move only by the gate."""

from __future__ import annotations

from edgewright.artifacts import Artifact
from edgewright.compress.files import FLOAT_FILE, INT8_FILE
from tasks.engine.session import Session


def register_models(session: Session, int8: Artifact, *, passed: bool) -> dict[str, str]:
    """Register both precisions; `challenger` names the INT8 version, and on a pass `champion` and `previous` follow.

    Law: registering the same model again adds nothing and moves nothing.

    Returns:
        precision → version.
    """
    tracker, project = session.tracker, session.link.project
    names = {"float": FLOAT_FILE, "int8": INT8_FILE}
    entries = int8.manifest.content.files
    versions = tracker.register(
        project,
        mlflow_run_id=session.link.mlflow_parent,
        files={precision: int8.path(name) for precision, name in names.items()},
        tags={
            precision: {"sha256": entries[name].sha256, "artifact": int8.ref.sha256, "bytes": str(entries[name].bytes)}
            for precision, name in names.items()
        },
    )
    tracker.tag_version(project, versions["int8"], {"float_version": versions["float"], "gate": str(passed).lower()})
    tracker.set_alias(project, "challenger", versions["int8"])
    champion = tracker.alias(project, "champion")
    if passed and champion != versions["int8"]:
        if champion is not None:
            tracker.set_alias(project, "previous", champion)
        tracker.set_alias(project, "champion", versions["int8"])
    return versions
