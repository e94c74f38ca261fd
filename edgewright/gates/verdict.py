"""`Verdict`: pass, refuse or not_evaluable, each with its numbers and a sentence a person can read.

Decides how single checks add up: one refusal refuses; otherwise one check that could not be evaluated makes the whole
not evaluable; only checks that all pass are a pass. A verdict without checks is not evaluable.

>>> at = "gate_data.min_coverage_ratio"
>>> check = compare("coverage ratio", 0.9, at_least=0.85, low=0.87, high=0.93, n=40, set_at=at)
>>> check.outcome
<Outcome.PASS: 'pass'>
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

VERDICT_FILE = "verdict.json"


class Outcome(StrEnum):
    PASS = "pass"
    REFUSE = "refuse"
    NOT_EVALUABLE = "not_evaluable"


@dataclass(frozen=True)
class Check:
    """One number against one threshold.

    Attributes:
        name: what was measured, with its unit.
        value: the estimate; None where it could not be measured.
        low, high: the ends of its interval; None where there is none.
        n: how many samples the estimate rests on.
        threshold: None for a number that is only reported.
        comparison: `>=` or `<=`.
        set_at: the recipe field that holds the threshold.
        decides: whether the check takes part in the verdict, or is only reported.
        limit: what the interval's worse end is held against; the threshold itself where no slack is given.
    """

    name: str
    outcome: Outcome
    value: float | None
    low: float | None
    high: float | None
    n: int
    threshold: float | None
    comparison: str
    set_at: str
    sentence: str
    decides: bool = True
    limit: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Law: `Verdict.from_json(v.to_json()) == v`.

    Attributes:
        gate: `gate_data` or `gate_model`.
        decision: what follows, in the gate's own words (`admitted`, `real_only`, `ask`, `end`, `release`).
        decided_by, why: who decided where a person was asked; empty where the rule decided.
        beside: what a rule set that does not decide would have said; empty where there is none.
    """

    gate: str
    outcome: Outcome
    checks: tuple[Check, ...]
    sentence: str
    decision: str
    decided_by: str = ""
    why: str = ""
    beside: str = ""

    @property
    def reasons(self) -> list[str]:
        return reasons_of(self.checks) or [self.sentence]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Verdict:
        checks = tuple(Check(**{**check, "outcome": Outcome(check["outcome"])}) for check in value["checks"])
        return cls(**{**value, "outcome": Outcome(value["outcome"]), "checks": checks})


def compare(
    name: str,
    value: float | None,
    *,
    n: int,
    set_at: str,
    at_least: float | None = None,
    at_most: float | None = None,
    low: float | None = None,
    high: float | None = None,
    slack: float = 0.0,
    min_n: int = 1,
    decides: bool = True,
) -> Check:
    """One estimate against `at_least` or `at_most`, and the worse end of its interval against a limit `slack` beyond.

    An estimate on the wrong side of the threshold refuses. One on the right side whose interval reaches past the limit
    (`threshold * (1 + slack)`, or `/ (1 + slack)` for `at_least`) is not evaluable: more pictures would tell. With
    `slack` 0 the whole interval must hold.
    """
    threshold, comparison = (at_least, ">=") if at_least is not None else (at_most, "<=")
    limit = None if threshold is None else threshold * (1 + slack) ** (-1 if comparison == ">=" else 1)
    numbers = [number for number in (value, low, high) if number is not None]
    if threshold is None or limit is None or value is None or n < min_n or not all(map(math.isfinite, numbers)):
        outcome = Outcome.NOT_EVALUABLE
    else:
        sign = 1 if comparison == ">=" else -1
        worst = low if comparison == ">=" else high
        if sign * value < sign * threshold:
            outcome = Outcome.REFUSE
        else:
            outcome = Outcome.PASS if worst is None or sign * worst >= sign * limit else Outcome.NOT_EVALUABLE
    finite = [number if number is not None and math.isfinite(number) else None for number in (value, low, high)]
    check = Check(name, outcome, finite[0], finite[1], finite[2], n, threshold, comparison, set_at, "", decides, limit)
    return replace(check, sentence=_sentence(check, min_n=min_n))


def reasons_of(checks: Sequence[Check]) -> list[str]:
    """The sentences of the deciding checks that did not pass, what refuses before what could not be judged; of all
    deciding checks where all passed."""
    deciding = [check for check in checks if check.decides]
    worst = (Outcome.REFUSE, Outcome.NOT_EVALUABLE)
    bad = [check.sentence for outcome in worst for check in deciding if check.outcome is outcome]
    return bad or [check.sentence for check in deciding]


def combine(checks: Sequence[Check]) -> Outcome:
    """The outcome of a gate from its deciding checks; an empty list is not evaluable."""
    outcomes = {check.outcome for check in checks if check.decides}
    for outcome in (Outcome.REFUSE, Outcome.NOT_EVALUABLE):
        if outcome in outcomes:
            return outcome
    return Outcome.PASS if outcomes else Outcome.NOT_EVALUABLE


def _sentence(check: Check, *, min_n: int) -> str:
    if check.value is None:
        return f"{check.name}: could not be measured (n = {check.n})"
    interval = f" [{check.low:.3g}, {check.high:.3g}]" if check.low is not None and check.high is not None else ""
    measured = f"{check.name} is {check.value:.4g}{interval} on n = {check.n}"
    if check.n < min_n:
        return f"{measured}: too few to judge, {min_n} are needed"
    if check.threshold is None:
        return measured
    threshold = f"{check.comparison} {check.threshold:g} ({check.set_at})"
    if check.outcome is Outcome.NOT_EVALUABLE:
        return f"{measured}: it holds {threshold}, but the interval reaches past {check.limit:.4g}, so it is undecided"
    return f"{measured}: {'holds' if check.outcome is Outcome.PASS else 'fails'} {threshold}"
