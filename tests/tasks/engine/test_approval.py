"""When a run on a server takes an answer. With a worker and its form: tests/slow/test_stack.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Pending, Running, Scheduled

from edgewright.errors import InputError
from tasks.engine.approval import resume_suspended
from tasks.engine.journal import Journal

ANSWER = {"choice": "end", "person": "a test", "why": "enough"}


@flow
def asking() -> None:
    """Never run: only its states count."""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.begin(tmp_path, project="asking", source="", recipe={}, plan="")


def answered(state: State[None], journal: Journal, api: str, *, deployed: bool = True) -> bool:
    """What becomes of an answer to a flow run in this state."""
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        if deployed:
            deployment = client.create_deployment(flow_id=client.create_flow(asking), name="asking")
            run = client.create_flow_run_from_deployment(deployment, state=state)
        else:
            run = client.create_flow_run(asking, state=state)
        journal.update(prefect_flow_run_id=str(run.id))
        return resume_suspended(journal, **ANSWER)


def test_a_run_that_no_server_knows_takes_its_answer_from_the_record(journal: Journal) -> None:
    assert not resume_suspended(journal, **ANSWER)


@pytest.mark.parametrize("state", [Completed(), Cancelled()], ids=lambda state: state.name)
def test_so_does_one_whose_flow_run_is_over(journal: Journal, prefect_api: str, state: State[None]) -> None:
    assert not answered(state, journal, prefect_api)


def test_so_does_one_that_no_worker_could_begin_again(journal: Journal, prefect_api: str) -> None:
    assert not answered(Running(), journal, prefect_api, deployed=False), "its process may have been killed"


@pytest.mark.parametrize("state", [Scheduled(name="Resuming"), Pending(), Running()], ids=lambda state: state.name)
def test_a_second_answer_is_refused(journal: Journal, prefect_api: str, state: State[None]) -> None:
    with pytest.raises(InputError, match=f"asks nobody at this moment.*got flow run {state.name}"):
        answered(state, journal, prefect_api)
