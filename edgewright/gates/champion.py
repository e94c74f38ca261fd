"""The champion: what a new model has to be no worse than, before it may take its place.

Decides over a paired difference in mAP50-95 on the same test photographs: more than `max_regression` lost is worse than
the champion and refused; a loss within it whose interval reaches more than `regression_slack` past it is undecided; an
equal or better model passes. Without a champion there is nothing to compare with, which is said and passes. Refuses to
guess: a champion that cannot be compared (other classes, files that are gone or corrupt) makes the gate not evaluable,
until a person restores it or writes `gate_model.champion: ignore`, which the verdict then says. Pure: the numbers are
measured elsewhere.

>>> from edgewright.recipe.gates import GateModelConfig
>>> champion_check(Comparison(), GateModelConfig()).sentence
'there is no champion yet: nothing to compare with'
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from edgewright.artifacts import ArtifactRef
from edgewright.detect.bootstrap import Paired
from edgewright.gates.verdict import Check, Outcome, compare
from edgewright.recipe.gates import GateModelConfig

CHAMPION_FILE = "champion.json"
CHECK = "mAP50-95 gained on the champion"
_SET_AT, _HOW_AT = "gate_model.max_regression", "gate_model.champion"
_WAY = "restore it, or set gate_model.champion=ignore, which the verdict will say"
_SHORT = 12


@dataclass(frozen=True)
class Champion:
    """Whom a model has to beat: an input of the model gate. Law: equal work has an equal `digest`.

    Attributes:
        ref: its artifact; None where there is no champion yet.
        unreadable: what is wrong with it where its files cannot be read; empty where they can.
    """

    ref: ArtifactRef | None = None
    unreadable: str = ""

    @property
    def digest(self) -> str:
        """What it stands for in a cache key: one that is readable again is compared again."""
        return f"{self.ref.sha256 if self.ref else 'none'} {self.unreadable}".rstrip()

    def __str__(self) -> str:
        return self.digest


@dataclass(frozen=True)
class Comparison:
    """What came of comparing a model with the champion. Law: `Comparison.from_json(c.to_json()) == c`.

    Attributes:
        champion: the start of its artifact's digest; empty where there is none.
        paired: challenger less champion; None where they were not compared.
        problem: why they could not be compared; empty where they were, or were not to be.
    """

    champion: str = ""
    paired: Paired | None = None
    problem: str = ""

    @classmethod
    def of(cls, champion: Champion, *, paired: Paired | None = None, problem: str = "") -> Comparison:
        named = champion.ref.sha256[:_SHORT] if champion.ref else ""
        return cls(named, paired, problem or champion.unreadable)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Comparison:
        return cls(**{**value, "paired": Paired(**value["paired"]) if value["paired"] else None})

    @property
    def numbers(self) -> dict[str, float]:
        """What a tracker keeps of it, what was measured alone."""
        if self.paired is None:
            return {}
        one = self.paired
        found = {"map50_95": one.second, "gain": one.difference, "low": one.low, "high": one.high}
        return {name: value for name, value in found.items() if value is not None}


def champion_check(comparison: Comparison, config: GateModelConfig) -> Check:
    """One check of the model gate."""
    name = comparison.champion
    if config.champion == "ignore":
        whom = f"the champion {name}" if name else "a champion, were there one"
        return _said(f"not compared with {whom}: {_HOW_AT} is ignore", Outcome.NOT_EVALUABLE)
    if comparison.problem:
        whom = f"the champion {name}".rstrip()
        said = f"{whom} cannot be compared with: {comparison.problem}. Next: {_WAY}"
        return replace(_said(said, Outcome.NOT_EVALUABLE), decides=True)
    if not name:
        return _said("there is no champion yet: nothing to compare with", Outcome.PASS)
    return _judged(name, comparison.paired, config)


def _judged(name: str, paired: Paired | None, config: GateModelConfig) -> Check:
    gain, n = (paired.difference, paired.n_images) if paired else (None, 0)
    check = compare(CHECK, gain, n=n, at_least=-config.max_regression, set_at=_SET_AT)
    if paired is None or gain is None or paired.low is None or check.outcome is Outcome.NOT_EVALUABLE:
        return check
    low, high, limit = paired.low, paired.high, -config.max_regression - config.regression_slack
    check = replace(check, low=low, high=high, limit=limit)
    numbers = (
        f"mAP50-95 {paired.first:.3f} against {paired.second:.3f} of the champion {name} on the same {n} test "
        f"photographs, a difference of {gain:+.3f} [{low:+.3f}, {high:+.3f}]"
    )
    if check.outcome is Outcome.REFUSE:
        said = f"worse than the champion: {numbers}, fails >= {-config.max_regression:g} ({_SET_AT})"
    elif gain < 0 and low < limit:
        check = replace(check, outcome=Outcome.NOT_EVALUABLE)
        said = (
            f"perhaps worse than the champion: {numbers}; the interval reaches past {limit:g} "
            "(gate_model.regression_slack), so it is undecided: more test photographs would tell"
        )
    else:
        said = f"no worse than the champion: {numbers}, holds >= {-config.max_regression:g} ({_SET_AT})"
    return replace(check, sentence=said)


def _said(sentence: str, outcome: Outcome) -> Check:
    """Without a number."""
    return Check(CHECK, outcome, None, None, None, 0, None, ">=", _HOW_AT, sentence, decides=False)
