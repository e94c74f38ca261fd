"""What a person's answer is worth when it comes too late."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edgewright.artifacts import LocalStore
from edgewright.gates.verdict import Outcome, Verdict
from tasks.engine.enforce import _ask
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
