"""Flow runs whose process died without a word: Prefect calls them crashed when their heartbeat has been away for long.

Decides how long: a process tells every HEARTBEAT_S that it lives, and a server that is started again, or a network that
is away for a minute, may cost some of that. Nobody else would: a worker that is killed takes its knowledge with it.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from edgewright.settings import HEARTBEAT_S
from tasks.serve.automations import put

AUTOMATION = "edgewright: runs whose process died"
SILENCE = timedelta(seconds=3 * HEARTBEAT_S)
_BEAT = "prefect.flow-run.heartbeat"
_ENDS = tuple(
    f"prefect.flow-run.{state}"
    for state in ("Completed", "Cached", "Failed", "Crashed", "Cancelled", "Suspended", "Paused", "Scheduled")
)


def reap() -> None:
    """Have the server that this process talks to look after its flow runs."""
    put(
        AutomationCore(
            name=AUTOMATION,
            description="Not heard of for three heartbeats: called crashed, and free to be run again.",
            trigger=EventTrigger(
                match={"prefect.resource.id": "prefect.flow-run.*"},
                after={_BEAT},
                expect={_BEAT, *_ENDS},
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=SILENCE,
            ),
            actions=[
                ChangeFlowRunState(
                    state=StateType.CRASHED,
                    message=f"its process has not been heard of for {SILENCE.total_seconds():.0f} s",
                )
            ],
        )
    )
