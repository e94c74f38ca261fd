"""Flow runs whose process died without a word: called crashed when nobody has heard of them for long.

Decides how long: a process of ours tells every HEARTBEAT_S that it lives, a stranger's by Prefect's default every three
minutes, and a server that is started again, or a network that is away for a minute, may cost some of that. It counts
from the moment a flow run is running, for one may die before its first word has arrived. Nobody else would say so: a
worker that is killed takes its knowledge with it. One that is killed between taking a flow run and starting its process
leaves it pending, with its place in the pool; that is called crashed too.

What runs is looked after by an automation of the server. What is pending is not, since Prefect's triggers now and then
miss that a flow run has begun, and would call a live one crashed: `reap_pending` looks itself.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Crashed

from edgewright.settings import HEARTBEAT_S
from tasks.engine.stage import POOLS
from tasks.serve.automations import put

AUTOMATION = "edgewright: runs whose process died"
SILENCE = timedelta(seconds=4 * HEARTBEAT_S)
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = ("Completed", "Cached", "Failed", "Crashed", "Cancelled", "TimedOut", "Suspended", "Paused", "Scheduled")


def reap() -> None:
    """Have the server that this process talks to look after its flow runs."""
    put(
        AutomationCore(
            name=AUTOMATION,
            description="Not heard of for four heartbeats: called crashed, and free to be run again.",
            trigger=EventTrigger(
                match={"prefect.resource.id": "prefect.flow-run.*"},
                after={_HEARTBEAT, *_states("Running")},
                expect={_HEARTBEAT, *_states(*_ENDS)},
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


def reap_pending() -> None:
    """Call crashed what a worker of our pools took and did not begin in time; nothing where the server is silent."""
    taken = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING])))
    pools = WorkPoolFilter(name=WorkPoolFilterName(any_=list(POOLS)))
    with (
        suppress(httpx.TransportError, httpx.HTTPStatusError),
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True) as client,
    ):
        for run in client.read_flow_runs(flow_run_filter=taken, work_pool_filter=pools):
            if is_overdue(run, now=datetime.now(UTC)):
                message = f"its process has not begun within {SILENCE.total_seconds():.0f} s"
                client.set_flow_run_state(run.id, Crashed(message=message))


def is_overdue(run: FlowRun, *, now: datetime) -> bool:
    """Whether a flow run has been pending for too long."""
    return run.state is not None and run.state.is_pending() and now - run.state.timestamp > SILENCE


def _states(*names: str) -> set[str]:
    """The events by which Prefect says that a flow run has come into a state."""
    return {f"prefect.flow-run.{name}" for name in names}
