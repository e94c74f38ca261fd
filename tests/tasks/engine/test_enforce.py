"""What a person's answer is worth when it comes too late."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edgewright.artifacts import LocalStore
from edgewright.gates.verdict import Outcome, Verdict
from tasks.engine.enforce import _ask, close_unanswered
from tasks.engine.journal import Journal
from tasks.engine.session import Session, Silent

ASKED = Verdict("gate_data", Outcome.REFUSE, (), "Copies.", "ask")


@dataclass(frozen=True)
class Person(Silent):
    """Answers `real_only` after a while, without regard to the time that was given."""

    after_s: float

    def ask(self, question: str, *, timeout_s: float) -> tuple[str, str]:
        assert (question.startswith("Copies."), timeout_s) == (True, 0.1)
        time.sleep(self.after_s)
        return "real_only", "looked at them"


@pytest.mark.parametrize(
    ("after_s", "decision", "why"),
    [
        (0.0, "real_only", "looked at them"),
        (1.3, "end", "real_only came after 1 s, 0 were allowed"),  # a second of grace
    ],
)
def test_an_answer_that_comes_too_late_means_end(
    open_session: Callable[[LocalStore], Session], tmp_path: Path, after_s: float, decision: str, why: str
) -> None:
    session = open_session(LocalStore(tmp_path / "store"))
    session.journal.update(recipe={"gate_data": {"ask_timeout_s": 0.1}})
    verdict = _ask(replace(session, observer=Person(after_s)), ASKED)
    assert (verdict.decision, verdict.why) == (decision, why)
    assert session.journal.state["decisions"]["gate_data"]["choice"] == decision


def test_a_question_that_nobody_answers_ends_its_run(tmp_path: Path) -> None:
    runs = {}
    for name, status, since_s in (("late", "waiting", 0.0), ("in time", "waiting", 900.0), ("done", "finished", 0.0)):
        journal = Journal.begin(
            tmp_path, project=name, source="", recipe={"gate_data": {"ask_timeout_s": 600}}, plan=""
        )
        journal.update(status=status, waiting_since=since_s)
        runs[name] = journal
    assert close_unanswered(tmp_path, now_s=1000.0) == [runs["late"].run_id]
    assert [journal.state["status"] for journal in runs.values()] == ["ended", "waiting", "finished"]
    decided = runs["late"].state["decisions"]["gate_data"]
    assert (decided["choice"], decided["person"], decided["why"]) == ("end", "nobody", "no answer within 600 s")
    assert close_unanswered(tmp_path, now_s=1000.0) == []
