"""Who is called dead, by a real server's records and a clock that is put forward. With real deaths: tests/faults."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import Request, urlopen
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.serve.reaper import SILENCE, Reaper
from tests.conftest import free_port

LONGEST = timedelta(minutes=5)
STRANGERS_HEARTBEAT = timedelta(minutes=3)
"""Prefect's default: whoever keeps to it lives."""
LATER = SILENCE + timedelta(minutes=10)


@pytest.fixture
def client(prefect_api: str) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: prefect_api}), get_client(sync_client=True) as found:
        yield found


@flow(name="watched")
def watched() -> None:
    """Never called: its runs are made by their states."""


def run_in(client: SyncPrefectClient, state: State[Any], *, heartbeat: timedelta | None = None) -> UUID:
    """A flow run in a state; its heartbeat so long after now."""
    tags = ["pool:cpu"] if state.type is StateType.PENDING else []
    made = client.create_flow_run(watched, state=state, tags=tags).id
    if heartbeat is not None:
        event = {
            "id": str(uuid4()),
            "occurred": (datetime.now(UTC) + heartbeat).isoformat(),
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{made}"},
        }
        headers = {"Content-Type": "application/json"}
        urlopen(
            Request(f"{str(client.api_url).rstrip('/')}/events", json.dumps([event]).encode(), headers), timeout=20
        ).close()
    return made


def reaper_at(client: SyncPrefectClient, later: timedelta) -> Reaper:
    """One that has heard the server all along, and looks so much later."""
    now = datetime.now(UTC)
    reaper = Reaper(client, lambda: now)
    reaper.now = lambda: now + later
    reaper.looked_at = now + later
    return reaper


RUNNING, PENDING = State(type=StateType.RUNNING), State(type=StateType.PENDING)
AT_ONCE = timedelta(0)


@pytest.mark.parametrize(
    ("state", "heartbeat", "dead"),
    [
        (RUNNING, AT_ONCE, True),
        (RUNNING, LATER - STRANGERS_HEARTBEAT, False),
        (RUNNING, None, False),
        (State(type=StateType.CANCELLING), AT_ONCE, True),
        (PENDING, None, True),
        (State(type=StateType.PENDING, name="Submitting"), None, True),
        (State(type=StateType.PENDING, name="InfrastructurePending"), None, False),
        (State(type=StateType.PAUSED, name="Suspended"), AT_ONCE, False),
        (State(type=StateType.COMPLETED), AT_ONCE, False),
    ],
)
def test_who_is_dead(client: SyncPrefectClient, state: State[Any], heartbeat: timedelta | None, dead: bool) -> None:
    run = run_in(client, state, heartbeat=heartbeat)
    events_are_kept(client, run, heartbeat)
    assert (run in reaper_at(client, LATER).look()) is dead
    ended = client.read_flow_run(run).state
    assert ended is not None
    assert (ended.is_crashed() or ended.is_cancelled()) is dead
    client.delete_flow_run(run)


def test_nobody_is_dead_when_the_machine_wakes(client: SyncPrefectClient) -> None:
    run = run_in(client, RUNNING, heartbeat=AT_ONCE)
    events_are_kept(client, run, AT_ONCE)
    reaper = reaper_at(client, LATER)
    reaper.looked_at = datetime.now(UTC)  # and not since
    assert reaper.look() == []
    reaper.heard_since = datetime.now(UTC)
    assert run in reaper.look(), "awake for as long, it finds it"
    client.delete_flow_run(run)


def events_are_kept(client: SyncPrefectClient, run: UUID, heartbeat: timedelta | None) -> None:
    """The server writes events down a little after it has taken them."""
    deadline = time.monotonic() + 30
    reaper = reaper_at(client, LATER)
    while heartbeat is not None and reaper._last_heartbeat(client.read_flow_run(run)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_one_of_ours_that_never_told_that_it_lives_died_before(client: SyncPrefectClient) -> None:
    ours = client.create_flow_run(watched, state=RUNNING, tags=["pool:cpu"]).id
    reaper = reaper_at(client, LATER)
    assert ours in reaper.look()
    client.delete_flow_run(ours)


def test_nobody_is_dead_within_a_silence(client: SyncPrefectClient) -> None:
    run = run_in(client, RUNNING, heartbeat=AT_ONCE)
    events_are_kept(client, run, AT_ONCE)
    assert run not in reaper_at(client, SILENCE - timedelta(seconds=1)).look()
    client.delete_flow_run(run)


def test_who_could_not_be_heard_is_not_dead(client: SyncPrefectClient) -> None:
    run = run_in(client, RUNNING, heartbeat=AT_ONCE)
    events_are_kept(client, run, AT_ONCE)
    reaper = reaper_at(client, LATER)
    away = {PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}
    with temporary_settings(away), get_client(sync_client=True) as nobody:
        reaper.client = nobody
        assert reaper.look() == []
    reaper.client = client
    assert run not in reaper.look(), "the server was away until now"
    client.delete_flow_run(run)


def test_it_is_said_within_five_minutes_and_not_before_a_stranger_could_tell() -> None:
    assert STRANGERS_HEARTBEAT < SILENCE < LONGEST
