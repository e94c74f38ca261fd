"""Flow runs whose process died without a word: Prefect calls them crashed when their heartbeat has been away for long.

Decides how long: a process of ours tells every HEARTBEAT_S that it lives, a stranger's by Prefect's default every three
minutes, and a server that is started again, or a network that is away for a minute, may cost some of that. It counts
from the moment a flow run is running, for one may die before its first word has arrived. Nobody else would say so: a
worker that is killed takes its knowledge with it. One that is killed between taking a flow run and starting its process
leaves it pending, with its place in the pool; that is called crashed too.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from edgewright.settings import HEARTBEAT_S
from tasks.serve.automations import put

SILENCE = timedelta(seconds=4 * HEARTBEAT_S)
_HEARTBEAT = "prefect.flow-run.heartbeat"
_TAKEN = ("Pending", "Submitting")
_BEGINS = ("Running", "InfrastructurePending", "AwaitingConcurrencySlot")
_ENDS = ("Completed", "Cached", "Failed", "Crashed", "Cancelled", "TimedOut", "Suspended", "Paused", "Scheduled")


def reap() -> None:
    """Have the server that this process talks to look after its flow runs."""
    put(
        _crashes(
            "edgewright: runs whose process died",
            f"its process has not been heard of for {SILENCE.total_seconds():.0f} s",
            after={_HEARTBEAT, *_states("Running")},
            expect={_HEARTBEAT, *_states(*_ENDS)},
        )
    )
    put(
        _crashes(
            "edgewright: runs that were taken and did not begin",
            f"its process has not begun within {SILENCE.total_seconds():.0f} s",
            after=_states(*_TAKEN),
            expect=_states("Submitting", *_BEGINS, *_ENDS),
        )
    )


def _crashes(name: str, message: str, *, after: set[str], expect: set[str]) -> AutomationCore:
    """What calls a flow run crashed that did one thing and then none of the others in time."""
    return AutomationCore(
        name=name,
        description="Not heard of in time: called crashed, and free to be run again.",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            after=after,
            expect=expect,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
    )


def _states(*names: str) -> set[str]:
    """The events by which Prefect says that a flow run has come into a state."""
    return {f"prefect.flow-run.{name}" for name in names}
