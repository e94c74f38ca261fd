"""From evidence to a verdict, pure: which number is held against which threshold, and what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgewright.gates.data_gate import decide_data
from edgewright.gates.evidence import ClassCount, DataEvidence, Measurement
from edgewright.gates.measure.labels import LAYOUT_STATISTICS
from edgewright.gates.thresholds import THRESHOLDS, threshold_table
from edgewright.gates.utility import Pair, Scores, UtilityEvidence, mean_interval
from edgewright.gates.verdict import Outcome, Verdict
from edgewright.recipe.gates import GateDataConfig

GOOD = {
    "picture_copy_share": (0.0, 0.0, 0.02),
    "scene_copy_share": (0.05, 0.02, 0.09),
    "object_copy_share": (0.05, 0.02, 0.09),
    "object_distance_ratio": (1.0, 0.95, 1.05),
    "fd_ratio": (1.4, 0.9, 2.2),
    "kid_excess": (0.1, -0.1, 0.3),
    "coverage_ratio": (0.97, 0.92, 1.02),
    "precision_ratio": (1.0, 0.95, 1.05),
    "density_ratio": (0.95, 0.85, 1.05),
    "spectrum_excess_db": (-0.5, -1.0, 0.5),
    "picture_coverage_ratio": (0.99, 0.95, 1.03),
    **{f"layout_{name}_ratio": (0.7, 0.5, 0.9) for name in LAYOUT_STATISTICS},
    "label_agreement": (0.7, 0.65, 0.75),
    "label_error_share": (0.1, 0.05, 0.15),
    "left_out_share": (0.1, 0.05, 0.15),
    "fid": (12.0, 10.0, 14.0),
    "recall": (0.9, 0.88, 0.92),
    "recall_ratio": (0.5, 0.4, 0.6),
    "picture_distance_ratio": (0.7, 0.6, 0.8),
}


def evidence_of(**changes: tuple[float | None, ...]) -> DataEvidence:
    numbers = {**GOOD, **changes}
    return DataEvidence(
        n_train=150,
        n_held_out=40,
        n_synthetic=160,
        measurements=tuple(Measurement(name, *three, n=40) for name, three in numbers.items()),
        classes=(ClassCount("disc", 600, 160, 640),),
        fid_width=2048,
    )


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"recall_ratio": (0.0, 0.0, 0.0)}, Outcome.PASS),  # reported only
        ({"fd_ratio": (2.6, 2.0, 3.0)}, Outcome.REFUSE),
        ({"fd_ratio": (2.0, 1.5, 3.7)}, Outcome.PASS),  # within the slack of 1.5
        ({"fd_ratio": (2.0, 1.5, 3.8)}, Outcome.NOT_EVALUABLE),
        ({"coverage_ratio": (0.8, 0.7, 0.9)}, Outcome.REFUSE),
        ({"precision_ratio": (None, None, None)}, Outcome.NOT_EVALUABLE),
        ({"picture_copy_share": (0.2, 0.1, 0.3)}, Outcome.REFUSE),
        # a refusal outweighs what could not be measured
        ({"picture_copy_share": (1.0, 1.0, 1.0), "fd_ratio": (None, None, None)}, Outcome.REFUSE),
    ],
)
@pytest.mark.parametrize(("on_refuse", "decision"), [("real_only", "real_only"), ("fail", "end"), ("ask", "ask")])
def test_decisions(changes: dict[str, Any], outcome: Outcome, on_refuse: str, decision: str) -> None:
    config = GateDataConfig().model_copy(update={"on_refuse": on_refuse})
    verdict = decide_data(evidence_of(**changes), config)
    assert verdict.outcome is outcome
    assert verdict.decision == ("admitted" if outcome is Outcome.PASS else decision)


@pytest.mark.parametrize(
    "change",
    [
        {"max_fd_ratio": 1.0},
        {"max_kid_excess": 0.05},
        {"min_coverage_ratio": 0.99},
        {"min_precision_ratio": 1.1},
        {"min_density_ratio": 0.99},
        {"min_picture_coverage_ratio": 1.0},
        {"max_layout_ratio": 0.6},
        {"min_label_agreement": 0.8},
        {"max_label_error_share": 0.05},
        {"max_left_out_share": 0.05},
        {"require_utility": True},
        {"rule": "fid_recall"},
        {"max_copy_share": 0.0, "interval_slack": 0.0},
        {"max_scene_copy_share": 0.01},
        {"max_object_copy_share": 0.01},
        {"min_copy_distance_ratio": 1.01},
        {"max_spectrum_excess_db": 0.1},
        {"interval_slack": 0.0, "max_fd_ratio": 2.0},
        {"min_images": 41},
    ],
)
def test_every_threshold_changes_the_verdict(change: dict[str, Any]) -> None:
    assert decide_data(evidence_of(), GateDataConfig().model_copy(update=change)).outcome is not Outcome.PASS


def _utility(*gains: float, folds: int = 5) -> UtilityEvidence:
    """A fold a gain; the interval is Student's of them."""
    real = Scores(0.5, 0.3, {"disc": 0.3})
    pairs = [Pair(0, real, Scores(0.5, 0.3 + gain, {"disc": 0.3 + gain}), fold) for fold, gain in enumerate(gains)]
    found = mean_interval(gains)
    counts = {"steps": 10, "n_real": 10, "n_synthetic": 10, "n_held_out": 10}
    return UtilityEvidence(tuple(pairs), folds=folds, **counts, pooled=found, pooled_by_class={"disc": found})


_NOTHING = Scores(0.0, 0.0, {"disc": 0.0})


DEAD = replace(_utility(0.0, 0.0, 0.0), pairs=tuple(Pair(0, _NOTHING, _NOTHING, fold) for fold in range(3)))
"""Detectors that find nothing: a difference of exactly nothing, with an interval of no width."""


UNMEASURED = replace(
    _utility(0.1, 0.1, 0.1),
    pairs=tuple(replace(pair, both=Scores(None, None, {})) for pair in _utility(0.1, 0.1, 0.1).pairs),
)


UNLIKE = {
    "fd_ratio": (10.5, 7.1, 16.8),
    "kid_excess": (12.8, 9.0, 15.0),
    "coverage_ratio": (0.44, 0.4, 0.5),
    "layout_class_frequency_ratio": (15.1, 14.0, 16.0),
    "spectrum_excess_db": (4.0, 3.5, 4.5),
}
"""Of composites with balanced classes."""


@pytest.mark.parametrize(
    ("changes", "gains", "outcome"),
    [
        (UNLIKE, (0.02, 0.025, 0.03), Outcome.PASS),
        (UNLIKE, (0.001, -0.001, 0.0), Outcome.REFUSE),  # neutral is not enough
        (UNLIKE, (-0.02, -0.025, -0.03), Outcome.REFUSE),
        (UNLIKE, (), Outcome.NOT_EVALUABLE),  # not measured
        ({}, (), Outcome.NOT_EVALUABLE),  # though it is as real ones are
        # what usefulness does not excuse
        ({"picture_copy_share": (0.2, 0.1, 0.3)}, (0.02, 0.025, 0.03), Outcome.REFUSE),
        ({"scene_copy_share": (0.9, 0.8, 1.0)}, (0.02, 0.025, 0.03), Outcome.REFUSE),
        ({"object_copy_share": (0.9, 0.8, 1.0)}, (0.02, 0.025, 0.03), Outcome.REFUSE),
        ({"object_distance_ratio": (0.3, 0.2, 0.4)}, (0.02, 0.025, 0.03), Outcome.REFUSE),
        ({"label_agreement": (0.2, 0.1, 0.3)}, (0.02, 0.025, 0.03), Outcome.REFUSE),
        ({"label_error_share": (0.9, 0.8, 1.0)}, (0.02, 0.025, 0.03), Outcome.REFUSE),
        ({"left_out_share": (0.9, 0.8, 1.0)}, (0.02, 0.025, 0.03), Outcome.REFUSE),
    ],
)
def test_the_rule_of_measured_usefulness(changes: dict[str, Any], gains: tuple[float, ...], outcome: Outcome) -> None:
    evidence = replace(evidence_of(**changes), utility=_utility(*gains) if gains else UtilityEvidence())
    assert decide_data(evidence, GateDataConfig(rule="utility")).outcome is outcome
    if changes is UNLIKE:
        assert decide_data(evidence, GateDataConfig()).outcome is Outcome.REFUSE


def test_it_keeps_to_a_gain_that_the_recipe_asks_for() -> None:
    evidence = replace(evidence_of(), utility=_utility(0.02, 0.025, 0.03))
    assert decide_data(evidence, GateDataConfig(rule="utility", min_utility_gain=0.1)).outcome is Outcome.REFUSE


def test_usefulness_is_told_class_by_class() -> None:
    verdict = decide_data(replace(evidence_of(), utility=_utility(0.02, 0.025, 0.03)), GateDataConfig())
    (check,) = (check for check in verdict.checks if check.name == "utility of disc, AP50-95")
    assert (check.value, check.n, check.decides) == (pytest.approx(0.025), 3, False)


@pytest.mark.parametrize(
    ("utility", "require", "outcome", "said"),
    [
        (_utility(0.02, 0.025, 0.03), False, Outcome.PASS, "useful"),
        (_utility(0.001, -0.001, 0.0), False, Outcome.PASS, "neutral"),
        (_utility(0.05, -0.05, 0.0), False, Outcome.REFUSE, "harmful or unproven"),
        (_utility(-0.02, -0.025, -0.03), False, Outcome.REFUSE, "harmful or unproven"),
        (UtilityEvidence(problem="not measured"), False, Outcome.PASS, "not measured"),  # reported
        (UtilityEvidence(problem="not measured"), True, Outcome.NOT_EVALUABLE, "not measured"),
        (_utility(0.02, 0.03, folds=2), True, Outcome.NOT_EVALUABLE, "2 folds of photographs are too few"),
        (replace(_utility(0.02, 0.025, 0.03), learned_from="not refitted"), True, Outcome.PASS, "not refitted"),
        (_utility(0.02, 0.025, 0.03), True, Outcome.PASS, "3 pairs of runs, 10 photographs held out in 5 folds"),
        (DEAD, False, Outcome.NOT_EVALUABLE, "finds nothing when trained on photographs alone"),
        (DEAD, True, Outcome.NOT_EVALUABLE, "finds nothing when trained on photographs alone"),
        (UNMEASURED, False, Outcome.NOT_EVALUABLE, "no finite mAP"),
    ],
)
def test_usefulness_decides_by_its_lower_bound(
    utility: UtilityEvidence, require: bool, outcome: Outcome, said: str
) -> None:
    config = GateDataConfig(require_utility=require)
    verdict = decide_data(replace(evidence_of(), utility=utility), config)
    assert verdict.outcome is outcome
    assert any(said in check.sentence for check in verdict.checks if check.name.startswith("utility"))


@pytest.mark.parametrize(
    ("kind", "n", "changes", "outcome"),
    [
        ("inception", 3000, {}, Outcome.PASS),
        ("inception", 3000, {"coverage_ratio": (0.1, 0.0, 0.2)}, Outcome.PASS),  # the other rule set only reports
        ("inception", 3000, {"fid": (31.0, 29.0, 33.0)}, Outcome.REFUSE),
        ("inception", 3000, {"fid": (29.0, 27.0, 31.0)}, Outcome.NOT_EVALUABLE),
        ("inception", 3000, {"recall": (0.06, 0.05, 0.07)}, Outcome.REFUSE),  # the copier
        ("inception", 2047, {}, Outcome.NOT_EVALUABLE),
        ("random", 3000, {}, Outcome.NOT_EVALUABLE),
        ("random", 3000, {"fid": (99.0, 90.0, 110.0)}, Outcome.NOT_EVALUABLE),
    ],
)
def test_the_literal_rule_decides_where_it_is_chosen(
    kind: str, n: int, changes: dict[str, Any], outcome: Outcome
) -> None:
    evidence = evidence_of(**changes)
    found = tuple(replace(one, n=n) for one in evidence.measurements)
    evidence = replace(evidence, measurements=found, feature_kind=kind)
    assert decide_data(evidence, GateDataConfig(rule="fid_recall")).outcome is outcome
    reported = decide_data(evidence, GateDataConfig())
    literal = [check for check in reported.checks if check.name.startswith("fid_recall")]
    assert [check.decides for check in literal] == [False, False]
    assert all(check.value is not None for check in literal)
    assert f"reported only: {outcome.replace('_', ' ')}. " in reported.beside
    assert next(check.sentence for check in literal if check.outcome is outcome) in reported.beside


def test_the_sentence_tells_what_refused_it_not_what_came_first() -> None:
    evidence = evidence_of(fd_ratio=(2.0, 1.5, 3.8), coverage_ratio=(0.1, 0.05, 0.15))
    verdict = decide_data(evidence, GateDataConfig())
    assert (verdict.outcome, "refused. coverage ratio is 0.1" in verdict.sentence) == (Outcome.REFUSE, True)


@pytest.mark.parametrize("rule", ["default", "fid_recall"])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"feature_kind": "random"}, "set gate_data.features=inception and gate_data.features_weights=FILE"),
        ({"feature_kind": "inception"}, "2048 pictures a side are needed"),
        ({"feature_kind": "inception", "fid_width": 0}, "the rule is about Inception's"),
        ({"problem": "11 synthetic images, 12 are needed"}, "11 synthetic images, 12 are needed"),
    ],
)
def test_the_literal_rule_is_told_on_every_run(rule: str, change: dict[str, Any], why: str) -> None:
    verdict = decide_data(replace(evidence_of(), **change), GateDataConfig.model_validate({"rule": rule}))
    literal = [check for check in verdict.checks if check.name.startswith("fid_recall")]
    assert [check.outcome for check in literal] == [Outcome.NOT_EVALUABLE] * 2
    assert all(why in check.sentence and check.decides == (rule == "fid_recall") for check in literal)
    other = "default" if rule == "fid_recall" else "fid_recall (FID < 30, recall > 0.85)"
    assert verdict.beside.startswith(f"rule {other}, reported only: ")
    assert rule == "fid_recall" or ("not evaluable" in verdict.beside and why in verdict.beside)
    assert "problem" not in change or "reported only: not evaluable" in verdict.beside
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_under_the_literal_rule_a_problem_leaves_the_other_rule_without_a_say() -> None:
    """Labels that would refuse, and a set that nothing could be measured of."""
    evidence = replace(evidence_of(label_agreement=(0.1, 0.05, 0.15)), problem="0 synthetic images")
    assert decide_data(evidence, GateDataConfig()).outcome is Outcome.REFUSE
    verdict = decide_data(evidence, GateDataConfig(rule="fid_recall"))
    assert verdict.outcome is Outcome.NOT_EVALUABLE
    assert {check.name for check in verdict.checks if check.decides} == {
        "fid_recall: FID",
        "fid_recall: recall",
        "evidence",
    }


COUNTS = (ClassCount("disc", 600, 160, 640), ClassCount("ring", 30, 10, 33))


@pytest.mark.parametrize(
    ("rare", "outcome", "said"),
    [
        (ClassCount("ring", 30, 10, 33), Outcome.PASS, "absent classes is 0"),
        (ClassCount("ring", 30, 10, 0), Outcome.REFUSE, "ring (a perfect generator misses it"),
        (
            ClassCount("ring", 1, 1, 0),
            Outcome.NOT_EVALUABLE,
            "may be one",
        ),  # 2 of 762: missed by chance in 19 % of cases
        (ClassCount("ring", 0, 0, 0), Outcome.PASS, "absent classes is 0"),  # nor is it in the real ones
        (ClassCount("ring", 30, 0, 33), Outcome.NOT_EVALUABLE, "none in the held-out photographs"),
    ],
)
def test_a_class_that_is_missing(rare: ClassCount, outcome: Outcome, said: str) -> None:
    verdict = decide_data(replace(evidence_of(), classes=(COUNTS[0], rare)), GateDataConfig())
    assert verdict.outcome is outcome
    assert any(said in check.sentence for check in verdict.checks if check.decides)


def test_classes_that_were_not_counted_are_not_admitted() -> None:
    assert decide_data(replace(evidence_of(), classes=()), GateDataConfig()).outcome is Outcome.NOT_EVALUABLE


def test_evidence_of_older_runs_is_still_read() -> None:
    old = evidence_of().to_json()
    for name in ("utility", "classes", "fid_width"):
        del old[name]
    read = DataEvidence.from_json(old)
    assert read == replace(evidence_of(), classes=(), fid_width=0)
    assert decide_data(read, GateDataConfig()).outcome is Outcome.NOT_EVALUABLE


def test_every_threshold_of_the_recipe_stands_in_the_table_with_its_source() -> None:
    defaults = GateDataConfig()
    fields = [each for each in THRESHOLDS if not each.field.startswith(("fid_recall", "absent classes"))]
    sourced = {name for name in GateDataConfig.model_fields if GateDataConfig.source_of(name)}
    assert [each.field for each in fields] == sorted(sourced, key=[each.field for each in fields].index)
    checked = {check.set_at.removeprefix("gate_data.") for check in decide_data(evidence_of(), defaults).checks}
    assert checked - {"", "rule"} <= {each.field for each in fields}
    assert all(f"`{each.field}`" in threshold_table() and each.source for each in THRESHOLDS)


def test_nothing_measured_is_not_evaluable() -> None:
    verdict = decide_data(replace(evidence_of(), measurements=()), GateDataConfig())
    assert verdict.outcome is Outcome.NOT_EVALUABLE
