"""Automations of the Prefect server that this process talks to, known by their names."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore


def put(automation: AutomationCore) -> None:
    """Make it, or replace the one of its name."""
    with get_client(sync_client=True) as client:
        known = client.read_automations_by_name(automation.name)
        if known:
            client.update_automation(known[0].id, automation)
        else:
            client.create_automation(automation)


def remove(name: str) -> None:
    """Those of this name, where there are some."""
    with get_client(sync_client=True) as client:
        for known in client.read_automations_by_name(name):
            client.delete_automation(known.id)
