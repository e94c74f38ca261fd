"""The champion: what a new model has to be no worse than, before it may take its place.

Decides over a paired difference in mAP50-95 on the same test photographs. A loss of more than `max_regression` that is
more than chance (its interval lies below 0) is worse than the champion and refused. A loss whose interval reaches more
than `regression_slack` past that is undecided: the photographs are too few to rule out a large one. Everything else is
no worse, an equal or better model always. Without a champion there is nothing to compare with: said, and a pass.

Refuses to guess: a champion that cannot be compared (other classes, files that are gone or corrupt) makes the gate not
evaluable, until a person restores it or writes `gate_model.champion: ignore`, which the verdict then says. Pure: the
numbers are measured elsewhere.

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
_SET_AT, _SLACK_AT, _HOW_AT = "gate_model.max_regression", "gate_model.regression_slack", "gate_model.champion"
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
    if paired is None or gain is None or paired.low is None or paired.high is None:
        return check
    limit = -config.max_regression - config.regression_slack
    outcome = _outcome(gain, paired.low, paired.high, beyond=check.outcome is Outcome.REFUSE, limit=limit)
    said = {
        Outcome.REFUSE: f"worse than the champion by more than {config.max_regression:g} ({_SET_AT}) and than chance",
        Outcome.NOT_EVALUABLE: f"perhaps far worse than the champion: the interval reaches past {limit:g} "
        f"({_SLACK_AT}), so it is undecided, and more test photographs would tell",
        Outcome.PASS: "no worse than the champion",
    }[outcome]
    numbers = (
        f"mAP50-95 {paired.first:.3f} against {paired.second:.3f} of {name} on the same {n} test photographs, "
        f"a difference of {gain:+.3f} [{paired.low:+.3f}, {paired.high:+.3f}]"
    )
    return replace(check, outcome=outcome, low=paired.low, high=paired.high, limit=limit, sentence=f"{said}: {numbers}")


def _outcome(gain: float, low: float, high: float, *, beyond: bool, limit: float) -> Outcome:
    if beyond and high < 0:
        return Outcome.REFUSE
    return Outcome.NOT_EVALUABLE if gain < 0 and low < limit else Outcome.PASS


def _said(sentence: str, outcome: Outcome) -> Check:
    """Without a number."""
    return Check(CHECK, outcome, None, None, None, 0, None, ">=", _HOW_AT, sentence, decides=False)
