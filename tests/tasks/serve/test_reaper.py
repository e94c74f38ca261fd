"""What the server is told to look for, and what is pending for too long. That it happens, in time: tests/faults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Pending, Running, Scheduled

from tasks.serve.reaper import AUTOMATION, SILENCE, is_overdue, reap, reap_pending
from tests.listeners import closed_port

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LONGEST = timedelta(minutes=5)
STRANGERS_HEARTBEAT = timedelta(minutes=3)
"""Prefect's default: whoever keeps to it lives."""


def test_a_server_takes_it_and_keeps_it_once(prefect_api: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        reap()
        reap()
        with get_client(sync_client=True) as client:
            [known] = client.read_automations_by_name(AUTOMATION)
    assert known.trigger.within == SILENCE
    assert STRANGERS_HEARTBEAT < SILENCE < LONGEST


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (Pending(timestamp=NOW - SILENCE - timedelta(seconds=1)), True),
        (Pending(name="Submitting", timestamp=NOW - SILENCE - timedelta(seconds=1)), True),
        (Pending(timestamp=NOW - SILENCE + timedelta(seconds=1)), False),
        (Running(timestamp=NOW - timedelta(days=1)), False),
        (Scheduled(timestamp=NOW - timedelta(days=1)), False),
    ],
)
def test_what_is_pending_for_too_long(state: State[Any], expected: bool) -> None:
    assert is_overdue(FlowRun(flow_id=uuid4(), state=state), now=NOW) == expected


def test_where_nothing_is_pending_and_where_nobody_answers_nothing_happens(prefect_api: str) -> None:
    for url in (prefect_api, f"http://127.0.0.1:{closed_port()}/api"):
        with temporary_settings({PREFECT_API_URL: url}):
            reap_pending()
