"""Events on the Prefect server, by which something else begins: reviewed labels are there, a gate has refused, hard
frames have come in.

Decides their names. Refuses to start a server for an event: where none is named nobody listens, and none is emitted.
"""

from __future__ import annotations

from collections.abc import Mapping

from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL

DATASET_READY, GATE_REFUSED = "edgewright.dataset.ready", "edgewright.gate.refused"
FRAMES_READY = "edgewright.hard_frames.ready"
DATASET_RESOURCE, GATE_RESOURCE, FRAMES_RESOURCE = "edgewright.dataset.", "edgewright.gate.", "edgewright.hard_frames."


def dataset_ready(*, project: str, digest: str) -> None:
    """Reviewed labels of a project have become a data set."""
    _emit(DATASET_READY, f"{DATASET_RESOURCE}{project}", {"project": project, "digest": digest})


def gate_refused(*, project: str, gate: str, run_id: str, sentence: str) -> None:
    """A gate's verdict was not a pass."""
    payload = {"project": project, "gate": gate, "run": run_id, "sentence": sentence}
    _emit(GATE_REFUSED, f"{GATE_RESOURCE}{project}.{gate}", payload)


def hard_frames_ready(*, project: str, count: int) -> None:
    """So many hard frames of a project's devices have come in and wait for a person."""
    _emit(FRAMES_READY, f"{FRAMES_RESOURCE}{project}", {"project": project, "frames": str(count)})


def _emit(event: str, resource: str, payload: Mapping[str, str]) -> None:
    if not PREFECT_API_URL.value():
        return
    emit_event(
        event, resource={"prefect.resource.id": resource, "prefect.resource.name": resource}, payload=dict(payload)
    )
