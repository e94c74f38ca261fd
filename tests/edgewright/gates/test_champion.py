"""What a new model has to show against the champion, and that nothing is passed over in silence."""

from __future__ import annotations

from typing import Any

import pytest

from edgewright.artifacts import ArtifactRef
from edgewright.detect.bootstrap import Paired
from edgewright.gates.champion import Champion, Comparison, champion_check
from edgewright.gates.model_gate import decide_model
from edgewright.gates.verdict import Outcome
from edgewright.recipe.gates import GateModelConfig
from tests.measured_models import GOOD

PASS, REFUSE, UNKNOWN = Outcome.PASS, Outcome.REFUSE, Outcome.NOT_EVALUABLE
CONFIG = GateModelConfig()
REF = ArtifactRef(f"file:///store/artifacts/{'ab' * 32}", "ab" * 32, "application/vnd.edgewright.int8_model")
CHAMPION = Champion(REF)


def compared(difference: float | None, low: float | None = None, high: float | None = None, n: int = 79) -> Comparison:
    first = None if difference is None else 0.5 + difference
    ends = (difference, difference) if low is None else (low, high)
    return Comparison.of(CHAMPION, paired=Paired(first, 0.5, difference, *ends, n, 500))


@pytest.mark.parametrize(
    ("comparison", "outcome", "said"),
    [
        # the same predictions
        (
            compared(0.0),
            PASS,
            "no worse than the champion: mAP50-95 0.500 against 0.500 of abababababab on the same 79",
        ),
        (compared(0.03, 0.01, 0.05), PASS, "a difference of +0.030 [+0.010, +0.050]"),
        # as good on these photographs, however few there are
        (compared(0.0, -0.3, 0.3, 6), PASS, "on the same 6 test photographs"),
        # a loss within the margin, though a sure one
        (compared(-0.019, -0.03, -0.01), PASS, "no worse than the champion"),
        # a loss beyond the margin that two equal detectors may have
        (compared(-0.04, -0.11, 0.03), PASS, "no worse than the champion"),
        # a loss that may be a large one
        (
            compared(-0.01, -0.13, 0.11),
            UNKNOWN,
            "the interval reaches past -0.12 (gate_model.regression_slack), so it is",
        ),
        (compared(-0.04, -0.13, 0.03), UNKNOWN, "perhaps far worse than the champion"),
        # a loss beyond the margin and beyond chance
        (
            compared(-0.021, -0.03, -0.001),
            REFUSE,
            "worse than the champion by more than 0.02 (gate_model.max_regression)",
        ),
        (compared(-0.2, -0.25, -0.15), REFUSE, "a difference of -0.200 [-0.250, -0.150]"),
        # nothing measured
        (compared(None), UNKNOWN, "could not be measured"),
        (Comparison.of(CHAMPION), UNKNOWN, "could not be measured"),
        (
            Comparison.of(CHAMPION, problem="it knows other classes (a) than the data set (b)"),
            UNKNOWN,
            "cannot be compared with: it knows other classes (a) than the data set (b). Next: restore it, or set gate_",
        ),
        (Comparison.of(Champion(REF, "no such artifact")), UNKNOWN, "cannot be compared with: no such artifact"),
        (Comparison.of(Champion(unreadable="version 3 names none")), UNKNOWN, "the champion cannot be compared with"),
    ],
)
def test_the_check_decides(comparison: Comparison, outcome: Outcome, said: str) -> None:
    check = champion_check(comparison, CONFIG)
    assert (check.outcome, check.decides) == (outcome, True)
    assert said in check.sentence
    verdict = decide_model(GOOD, CONFIG, beside=[check])
    assert (verdict.outcome, verdict.decision) == (outcome, "release" if outcome is PASS else "end")
    assert outcome is PASS or check.sentence in verdict.sentence


def test_without_a_champion_it_passes_and_says_so() -> None:
    verdict = decide_model(GOOD, CONFIG, beside=[champion_check(Comparison.of(Champion()), CONFIG)])
    assert verdict.decision == "release"
    assert verdict.sentence.endswith("every check holds; there is no champion yet: nothing to compare with")


@pytest.mark.parametrize("champion", [CHAMPION, Champion(REF, "no such artifact"), Champion()])
def test_who_ignores_the_champion_reads_it_in_the_verdict(champion: Champion) -> None:
    config = CONFIG.model_copy(update={"champion": "ignore"})
    verdict = decide_model(GOOD, config, beside=[champion_check(Comparison.of(champion), config)])
    assert verdict.decision == "release"
    whom = "the champion abababababab" if champion.ref else "a champion, were there one"
    assert verdict.sentence.endswith(f"; not compared with {whom}: gate_model.champion is ignore")


@pytest.mark.parametrize("change", [{"max_regression": 0.0}, {"regression_slack": 0.0}, {"champion": "ignore"}])
def test_every_field_changes_the_check(change: dict[str, Any]) -> None:
    comparison = compared(-0.01, -0.03, -0.001)
    assert champion_check(comparison, CONFIG).outcome is PASS
    assert champion_check(comparison, CONFIG.model_copy(update=change)).outcome is not PASS


def test_what_a_champion_stands_for_in_a_key() -> None:
    digests = [one.digest for one in (Champion(), CHAMPION, Champion(REF, "gone"), Champion(REF, "corrupt"))]
    assert digests == ["none", REF.sha256, f"{REF.sha256} gone", f"{REF.sha256} corrupt"]


@pytest.mark.parametrize(
    "comparison", [Comparison(), compared(0.01, -0.01, 0.02), Comparison.of(CHAMPION, problem="x")]
)
def test_round_trip(comparison: Comparison) -> None:
    assert Comparison.from_json(comparison.to_json()) == comparison


def test_numbers_for_a_tracker() -> None:
    found = compared(0.01, -0.01, 0.02).numbers
    assert found == {"map50_95": 0.5, "gain": 0.01, "low": -0.01, "high": 0.02}
    assert Comparison().numbers == {}
