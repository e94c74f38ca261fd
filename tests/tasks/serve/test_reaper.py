"""What the server is told to look for. That it then happens, in time: tests/faults."""

from __future__ import annotations

from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.serve.reaper import SILENCE, reap

LONGEST = timedelta(minutes=5)
STRANGERS_HEARTBEAT = timedelta(minutes=3)
"""Prefect's default: whoever keeps to it lives."""


def test_a_server_takes_it_and_keeps_it_once(prefect_api: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        reap()
        reap()
        with get_client(sync_client=True) as client:
            known = [one for one in client.read_automations() if one.name.startswith("edgewright: runs")]
    assert [one.trigger.within for one in known] == [SILENCE, SILENCE]
    assert STRANGERS_HEARTBEAT < SILENCE < LONGEST
