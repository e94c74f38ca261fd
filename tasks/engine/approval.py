"""A gate that asks a person, where a worker runs the flow: the flow run is suspended with a form until it is answered.

Decides that nobody waits on a worker: the process ends, and begins again from the top when there is an answer; stages
are then taken from the store. The answer comes from the form in Prefect's pages or from `edgewright decide`. Refuses to
suspend what has no deployment to begin again from: there the run ends as waiting, and the same command continues it.
"""

from __future__ import annotations

from typing import Literal

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.flow_runs import resume_flow_run, suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from edgewright.errors import InputError
from tasks.engine.enforce import record_decision
from tasks.engine.journal import Journal

_FORM = "Prefect's form"


class Decision(RunInput):
    """The form."""

    choice: Literal["real_only", "end"] = Field(
        "end", description="real_only: train on photographs alone; end: the run ends here"
    )
    why: str = Field("", max_length=2000, description="Kept with the run")
    person: str = Field("", max_length=200, description="Who decides; kept with the run")


def own_flow_run() -> str:
    """The id of the flow run around this call; "" outside of one."""
    context = FlowRunContext.get()
    return str(context.flow_run.id) if context and context.flow_run else ""


def can_suspend() -> bool:
    """Whether this is a flow run that a worker can begin again."""
    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None


def await_decision(journal: Journal, *, timeout_s: float) -> None:
    """Suspend this flow run, and keep the answer in the journal when it begins again.

    Raises:
        prefect.exceptions.Pause: the first time; Prefect ends the process by it.
    """
    form = Decision.with_initial_data(description=journal.state["question"], choice="end")
    answer: Decision = suspend_flow_run(wait_for_input=form, key=f"gate-data-{journal.run_id}", timeout=int(timeout_s))  # type: ignore[assignment]
    record_decision(journal, choice=answer.choice, person=answer.person or _FORM, why=answer.why)


def resume_suspended(journal: Journal, *, choice: str, person: str, why: str) -> bool:
    """Answer the form of a suspended run; False where its flow run has ended, or never could be begun again.

    Raises:
        InputError: it has been answered already and begins again, or Prefect does not take the answer any more.
    """
    flow_run_id = journal.state["prefect_flow_run_id"]
    if not flow_run_id:
        return False
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(flow_run_id)
    state = run.state
    if state is None or state.is_final() or run.deployment_id is None:
        return False
    if not state.is_paused():
        raise InputError(
            "the run asks nobody at this moment: an answer is on its way, or it is only about to ask",
            got=f"flow run {state.name}",
            where=journal.run_id,
            next_step="look again in a minute: edgewright runs",
        )
    try:
        resume_flow_run(flow_run_id, run_input={"choice": choice, "person": person, "why": why})
    except (RuntimeError, TimeoutError) as error:
        raise InputError("Prefect does not take the answer any more", got=error, where=journal.run_id) from error
    return True
