"""What follows from a verdict: go on, go on without synthetic data, ask a person, or end.

Decides nothing that a gate has not decided. No answer lets refused data or a refused model through: a person chooses
between `real_only` and `end`, and silence means `end`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from edgewright.artifacts import ArtifactRef
from edgewright.device.offer import TIERS
from edgewright.errors import GateEnded, InputError, StageFailed, WaitingForPerson
from edgewright.gates.verdict import VERDICT_FILE, Outcome, Verdict
from edgewright.recipe.gates import GateDataConfig
from tasks.engine.champion import require_compared
from tasks.engine.control import control
from tasks.engine.events import gate_refused
from tasks.engine.journal import Journal, journals
from tasks.engine.prefect_log import run_log
from tasks.engine.registry import register_models
from tasks.engine.session import Session, current_session
from tasks.engine.tracking import titled

CHOICES = ("real_only", "end")
_GRACE_S = 1.0
"""For the way from the answer to here."""
_LATE_S = 120.0
"""For an answer in time whose run a worker has still to begin again."""


@control
def enforce_data(training: ArtifactRef) -> ArtifactRef:
    """Act on the data gate's verdict; the training set holds synthetic images only where it was a pass.

    Raises:
        GateEnded: the recipe says that a refusal ends the run, or a person did.
        WaitingForPerson: nobody has decided yet.
    """
    session = _session()
    verdict = Verdict.from_json(session.store.open(training).json(VERDICT_FILE))
    if verdict.decision == "ask":
        verdict = _ask(session, verdict)
    _note(session, verdict)
    if verdict.decision == "end":
        raise GateEnded(verdict.sentence, where="gate_data", next_step="read the report, or set gate_data.on_refuse")
    return training


@control
def enforce_model(verdict: ArtifactRef, model: ArtifactRef, tier: str) -> ArtifactRef:
    """Register the model, move the tier's aliases on a pass, and end the run on anything else: a release is all tiers.

    Raises:
        GateEnded: not a pass.
        StageFailed: the champion is another one by now than the model was compared with.
    """
    session = _session()
    judged = session.store.open(verdict)
    measured = Verdict.from_json(judged.json(VERDICT_FILE))
    further = "" if tier == TIERS[0] else tier
    _note(session, measured, further)
    if measured.outcome is Outcome.PASS:
        require_compared(session, judged, model, tier)
    register_models(session, session.store.open(model), measured, tier=tier)
    if measured.outcome is not Outcome.PASS:
        where = titled("gate_model", further)
        raise GateEnded(measured.sentence, where=where, next_step="read the report; nothing was released")
    return verdict


def decide_run(journal: Journal, *, choice: str, person: str, why: str) -> None:
    """Keep a person's answer; `real_only` makes the same command go on, `end` closes the run.

    Raises:
        InputError: the run waits for nobody, or has waited too long.
    """
    state = journal.state
    if state["status"] != "waiting":
        raise InputError("the run waits for no decision", got=f"status {state['status']}", where=journal.run_id)
    waited = time.time() - float(state["waiting_since"])
    allowed = float(state["recipe"]["gate_data"]["ask_timeout_s"])
    if choice == "real_only" and waited > allowed:
        journal.update(status="ended")
        raise InputError(
            "the time to decide is over, which means end", expected=f"<= {allowed:.0f} s", got=f"{waited:.0f} s"
        )
    record_decision(journal, choice=choice, person=person, why=why)
    journal.update(status="ended" if choice == "end" else "interrupted")


def close_unanswered(runs: Path, *, now_s: float) -> list[str]:
    """The runs whose question nobody has answered in time, which means `end`: ended here, for nobody else would.

    Args:
        now_s: seconds since 1970.
    """
    closed = []
    for journal in journals(runs):
        try:
            state = journal.state
        except FileNotFoundError:  # taken away meanwhile
            continue
        if state["status"] != "waiting":
            continue
        allowed_s = float(state["recipe"]["gate_data"]["ask_timeout_s"])
        if now_s - float(state["waiting_since"]) > allowed_s + _LATE_S:
            record_decision(journal, choice="end", person="nobody", why=f"no answer within {allowed_s:.0f} s")
            journal.update(status="ended")
            closed.append(journal.run_id)
    return closed


def record_decision(journal: Journal, *, choice: str, person: str, why: str) -> None:
    """Keep who decided what and why."""
    decision = {"choice": choice, "person": person, "why": why, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    journal.update(decisions={**journal.state["decisions"], "gate_data": decision})


def _session() -> Session:
    session = current_session()
    if session is None:
        raise StageFailed("a verdict was enforced outside a pipeline run")
    return session


def _ask(session: Session, verdict: Verdict) -> Verdict:
    decided = session.journal.state["decisions"].get("gate_data")
    if decided is None:
        question = f"{verdict.sentence}\nTrain on real data only, or end the run?"
        answer = _answer(session, question)
        if answer is None:
            session.journal.update(status="waiting", waiting_since=time.time(), question=question)
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


def _note(session: Session, verdict: Verdict, tier: str = "") -> None:
    name = titled(verdict.gate, tier)
    session.journal.note_gate(
        {
            "name": name,
            "verdict": str(verdict.outcome),
            "decision": verdict.decision,
            "reasons": verdict.reasons,
            "beside": verdict.beside,
            "decided_by": verdict.decided_by,
            "why": verdict.why,
        }
    )
    tag = ".".join(filter(None, ["gate", verdict.gate, tier]))
    session.tracker.tag(session.link.mlflow_parent, {tag: verdict.outcome})
    if verdict.outcome is not Outcome.PASS:
        gate_refused(project=session.link.project, gate=name, run_id=session.journal.run_id, sentence=verdict.sentence)
    run_log().info("%s: %s (%s). %s", name, verdict.outcome, verdict.decision, verdict.sentence)
