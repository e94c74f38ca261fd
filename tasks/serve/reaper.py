"""Flow runs whose process died without a word: called crashed when their heartbeat has been away for long.

Decides how long. A process of ours tells at once and every HEARTBEAT_S that it lives, a stranger's by Prefect's default
every three minutes; a stranger's that has never told it is left alone. One that a killed worker had taken, and whose
process never began, counts as dead too: it would keep its place in the pool. A server that was away could hear nobody:
while it was, or this machine was asleep, and for as long again as a silence lasts, nobody is called dead. Looks at the
state once more before it says so, and leaves what waits for a person.

An automation of Prefect's could do the same, and was lost once: on a busy machine an event that ended a silence was not
counted, and a run that waited for a person was called crashed (docs/LOG.md, 2026-11-29).

    with reaping(api_url): …                    # beside `edgewright up`
    python -m tasks.serve.reaper                # for a server of its own: the one that PREFECT_API_URL names
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Crashed

from edgewright.settings import HEARTBEAT_S

SILENCE = timedelta(seconds=4 * HEARTBEAT_S)
LOOK_EVERY_S = 15.0
_ASLEEP = timedelta(seconds=4 * LOOK_EVERY_S)
"""Who has not looked for so long was asleep, with the whole machine: nobody could be heard."""
_HEARTBEAT = "prefect.flow-run.heartbeat"
_OUR_TAGS = ("pool:", "project:")
_ALIVE = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
_TAKEN = ("Pending", "Submitting")
"""Names of states of type PENDING in which nothing has begun; one that waits for its Job or its turn has others."""


@dataclass
class Reaper:
    """Looks after the flow runs of one server.

    Attributes:
        heard_since: since when the server could be heard without a break.
        looked_at: when the last look was over; a look itself may take long.
    """

    client: SyncPrefectClient
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    heard_since: datetime = field(init=False)
    looked_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.heard_since = self.looked_at = self.now()

    def look(self) -> list[UUID]:
        """Those that are called dead now. A server that does not answer is asked again the next time."""
        if self.now() - self.looked_at > _ASLEEP:
            self.heard_since = self.now()
        try:
            return [run.id for run in self._alive() if self._is_dead(run) and self._buried(run)]
        except (httpx.HTTPError, PrefectException, OSError, ValueError):  # the last: an answer that is none
            self.heard_since = self.now()
            return []
        finally:
            self.looked_at = self.now()

    def _alive(self) -> Sequence[FlowRun]:
        kinds = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_ALIVE)))
        return self.client.read_flow_runs(flow_run_filter=FlowRunFilter(state=kinds))

    def _is_dead(self, run: FlowRun) -> bool:
        state = run.state
        if state is None or not self._is_long_ago(state.timestamp):
            return False
        if state.type is StateType.PENDING:
            return state.name in _TAKEN and _is_ours(run)
        last = self._last_heartbeat(run)
        return _is_ours(run) if last is None else self._is_long_ago(last)

    def _is_long_ago(self, sign_of_life: datetime) -> bool:
        return self.now() - max(sign_of_life, self.heard_since) > SILENCE

    def _last_heartbeat(self, run: FlowRun) -> datetime | None:
        """None for one that has never told that it lives."""
        began = run.start_time or run.created or self.heard_since
        page = self.client.read_events(
            EventFilter(
                event=EventNameFilter(name=[_HEARTBEAT]),
                resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
                occurred=EventOccurredFilter(since=began - timedelta(minutes=1), until=self.now()),
            ),
            limit=1,  # the newest first
        )
        return max((event.occurred for event in page.events), default=None)

    def _buried(self, run: FlowRun) -> bool:
        """Whether it still is in the state in which it was found, and is called crashed for it."""
        found = self.client.read_flow_run(run.id).state
        if found is None or run.state is None or found.id != run.state.id:
            return False
        answer = self.client.set_flow_run_state(run.id, _end_of(found))
        return answer.status is SetStateStatus.ACCEPT


def _is_ours(run: FlowRun) -> bool:
    """Ours tells at once that it lives: one that never did died before."""
    return any(tag.startswith(_OUR_TAGS) for tag in run.tags)


def _end_of(state: State) -> State:
    """What becomes of a dead one: cancelled where somebody had wanted that, else crashed."""
    silence_s = SILENCE.total_seconds()
    begun = state.type is not StateType.PENDING
    what = f"has not been heard of for {silence_s:.0f} s" if begun else f"has not begun within {silence_s:.0f} s"
    end = Cancelled if state.type is StateType.CANCELLING else Crashed
    return end(message=f"its process {what}")


@contextmanager
def reaping(api_url: str) -> Iterator[None]:
    """A thread that looks after the flow runs of a server while the block lasts."""
    over = threading.Event()

    def look_on() -> None:
        with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
            reaper = Reaper(client)
            while not over.wait(LOOK_EVERY_S):
                reaper.look()

    thread = threading.Thread(target=look_on, name="reaper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LOOK_EVERY_S)


def main() -> None:
    """Look after the server that PREFECT_API_URL names, until this process is ended; say whom it has called dead."""
    with get_client(sync_client=True) as client:
        reaper = Reaper(client)
        while True:
            for run in reaper.look():
                sys.stdout.write(f"called dead: flow run {run}\n")
                sys.stdout.flush()
            time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    main()
