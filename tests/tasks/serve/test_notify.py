"""What the webhook is told is JSON, whatever a message holds. That it is told: tests/slow/test_stack.py."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.utilities.user_templates import render_user_template_sync, validate_user_template
from prefect.settings import PREFECT_API_URL, temporary_settings

from edgewright.errors import InputError
from tasks.serve.notify import AUTOMATION, PAYLOAD, tell, tell_nobody

MESSAGE = """can't open "photos\\a.png": {{ it }} is no picture,
or was none"""


@pytest.mark.parametrize("name", [{"prefect.resource.name": 'a "run"'}, {}])
def test_a_message_is_told_as_it_was(name: dict[str, str]) -> None:
    event = ReceivedEvent(
        id=uuid4(),
        occurred=datetime(2026, 11, 30, tzinfo=UTC),
        event="prefect.flow-run.Failed",
        resource={"prefect.resource.id": "prefect.flow-run.1", **name},
        payload={"validated_state": {"message": MESSAGE}},
    )
    validate_user_template(PAYLOAD)
    told = json.loads(render_user_template_sync(PAYLOAD, {"event": event}))
    assert told["details"] == {"validated_state": {"message": MESSAGE}}
    assert (told["event"], told["resource"]) == ("prefect.flow-run.Failed", "prefect.flow-run.1")
    assert told["occurred"].startswith("2026-11-30")
    assert told["what"] == name.get("prefect.resource.name")


def test_whoever_unsets_the_address_is_told_nothing_more(prefect_api: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_api}), get_client(sync_client=True) as client:
        for _ in range(2):
            tell("http://127.0.0.1:9/hook")
        assert len(client.read_automations_by_name(AUTOMATION)) == 1
        tell_nobody()
        assert client.read_automations_by_name(AUTOMATION) == []


@pytest.mark.parametrize("address", ["hook", "ftp://example.org/hook", "https://"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="EDGEWRIGHT_WEBHOOK is not the address of a webhook"):
        tell(address)
