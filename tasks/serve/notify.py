"""The user's webhook: what it is told of, and how Prefect comes to tell it.

Decides the occasions: a flow run that failed, crashed, is late or waits for a person, and a gate that refused. The
address may hold a secret: it stands in Prefect's encrypted block and is never shown. Refuses an address that is none.
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from prefect.blocks.webhook import Webhook
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from edgewright.errors import InputError
from tasks.engine.events import GATE_REFUSED
from tasks.serve.automations import put, remove

BLOCK, AUTOMATION = "edgewright-webhook", "edgewright: tell the webhook"
OCCASIONS = (
    "prefect.flow-run.Failed",
    "prefect.flow-run.Crashed",
    "prefect.flow-run.Late",
    "prefect.flow-run.Suspended",
    GATE_REFUSED,
)
PAYLOAD = """{
    "event": {{ event.event | tojson }},
    "what": {{ event.resource.name | default("") | tojson }},
    "resource": {{ event.resource.id | tojson }},
    "occurred": {{ event.occurred | string | tojson }},
    "details": {{ event.payload | tojson }}
}"""
"""Jinja, which Prefect fills in (https://docs.prefect.io/v3/concepts/automations): JSON, whatever a message holds."""


def tell_nobody() -> None:
    """Have the server that this process talks to call nobody any more."""
    remove(AUTOMATION)


def tell(webhook: str) -> None:
    """Have the server that this process talks to call `webhook` on every occasion; again with another is instead.

    Raises:
        InputError: not an http(s) address.
    """
    if urlsplit(webhook).scheme not in ("http", "https") or not urlsplit(webhook).hostname:
        raise InputError(
            "EDGEWRIGHT_WEBHOOK is not the address of a webhook",
            expected="https://…",
            next_step="correct or unset EDGEWRIGHT_WEBHOOK",
        )
    block_id = Webhook(url=webhook).save(BLOCK, overwrite=True)
    put(
        AutomationCore(
            name=AUTOMATION,
            description="Runs that failed, crashed, are late or wait for a person, and gates that refused.",
            trigger=EventTrigger(expect=set(OCCASIONS), posture=Posture.Reactive, threshold=1, within=timedelta(0)),
            actions=[CallWebhook(block_document_id=block_id, payload=PAYLOAD)],
        )
    )
