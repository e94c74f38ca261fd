"""What follows from a verdict: go on, go on without synthetic data, ask a person, or end.

Decides nothing that a gate has not decided. No answer lets refused data or a refused model through: a person chooses
between `real_only` and `end`, and silence means `end`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from edgewright.artifacts import ArtifactRef
from edgewright.errors import GateEnded, StageFailed, WaitingForPerson
from edgewright.gates.verdict import Outcome, Verdict
from edgewright.sections import GateDataConfig
from tasks.engine.registry import register_models
from tasks.engine.session import Session, current_session

CHOICES = ("real_only", "end")
_GRACE_S = 1.0
"""For the way from the answer to here."""


def settle_data(training: ArtifactRef | None) -> ArtifactRef | None:
    """Act on the data gate's verdict; the training set holds synthetic images only where it was a pass.

    Raises:
        GateEnded: the recipe says that a refusal ends the run, or a person did.
        WaitingForPerson: nobody has decided yet.
    """
    session = current_session()
    if training is None or session is None or session.plan is not None:
        return training
    return _settle_data(training)  # type: ignore[no-any-return]


def settle_model(verdict: ArtifactRef | None, model: ArtifactRef | None) -> ArtifactRef | None:
    """Register the model, move the aliases on a pass, and end the run on anything else. Raises GateEnded."""
    session = current_session()
    if verdict is None or model is None or session is None or session.plan is not None:
        return verdict
    return _settle_model(verdict, model)  # type: ignore[no-any-return]


@task(
    name="settle_data", task_run_name="settle_data", tags={"pool:control"}, cache_policy=NO_CACHE, persist_result=False
)
def _settle_data(training: ArtifactRef) -> ArtifactRef:
    session = _session()
    verdict = Verdict.from_json(session.store.open(training).json("verdict.json"))
    if verdict.decision == "ask":
        verdict = _ask(session, verdict)
    _note(session, verdict)
    if verdict.decision == "end":
        raise GateEnded(verdict.sentence, where="gate_data", next_step="read the report, or set gate_data.on_refuse")
    return training


@task(
    name="settle_model",
    task_run_name="settle_model",
    tags={"pool:control"},
    cache_policy=NO_CACHE,
    persist_result=False,
)
def _settle_model(verdict_ref: ArtifactRef, model: ArtifactRef) -> ArtifactRef:
    session = _session()
    verdict = Verdict.from_json(session.store.open(verdict_ref).json("verdict.json"))
    passed = verdict.outcome is Outcome.PASS
    _note(session, verdict)
    register_models(session, session.store.open(model), passed=passed)
    if not passed:
        raise GateEnded(verdict.sentence, where="gate_model", next_step="read the report; nothing was released")
    return verdict_ref


def record_decision(session_journal: Any, *, choice: str, person: str, why: str) -> None:
    """Keep who decided what and why."""
    decision = {"choice": choice, "person": person, "why": why, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    session_journal.update(decisions={**session_journal.state["decisions"], "gate_data": decision})


def _session() -> Session:
    session = current_session()
    if session is None:
        raise StageFailed("a verdict was settled outside a pipeline run")
    return session


def _ask(session: Session, verdict: Verdict) -> Verdict:
    decided = session.journal.state["decisions"].get("gate_data")
    if decided is None:
        question = f"{verdict.sentence}\nTrain on real data only, or end the run?"
        answer = _answer(session, question)
        if answer is None:
            session.journal.update(status="waiting", waiting_since=time.time())
            raise WaitingForPerson(
                "the data gate asks a person",
                where=session.journal.run_id,
                next_step=f"edgewright decide {session.journal.run_id} real_only|end --why TEXT",
            )
        record_decision(session.journal, choice=answer[0], person="terminal", why=answer[1])
        decided = session.journal.state["decisions"]["gate_data"]
    values = {
        **verdict.to_json(),
        "decision": decided["choice"],
        "decided_by": decided["person"],
        "why": decided["why"],
    }
    return Verdict.from_json(values)


def _answer(session: Session, question: str) -> tuple[str, str] | None:
    """What a person says in time. Later, only `end` counts: whoever was asked has let the run wait too long."""
    sections = session.journal.state["recipe"]
    allowed_s = float(sections.get("gate_data", {}).get("ask_timeout_s", GateDataConfig().ask_timeout_s))
    began = time.monotonic()
    answer = session.observer.ask(question, timeout_s=allowed_s)
    waited_s = time.monotonic() - began
    if answer and answer[0] != "end" and waited_s > allowed_s + _GRACE_S:
        return "end", f"{answer[0]} came after {waited_s:.0f} s, {allowed_s:.0f} were allowed"
    return answer


def _note(session: Session, verdict: Verdict) -> None:
    session.journal.note_gate(
        {
            "name": verdict.gate,
            "verdict": str(verdict.outcome),
            "decision": verdict.decision,
            "reasons": verdict.reasons,
            "beside": verdict.beside,
            "decided_by": verdict.decided_by,
            "why": verdict.why,
        }
    )
    session.tracker.tag(session.link.mlflow_parent, {f"gate.{verdict.gate}": verdict.outcome})
