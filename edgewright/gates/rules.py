"""The data gate's two rule sets: evidence in, checks out. Pure.

Decides which measurement is held against which recipe field. `default` is ours; `fid_recall` is the literal FID < 30
and recall > 0.85, evaluated on every run and deciding only where the recipe chooses it. It is not evaluable outside of
Inception's space, in which alone 30 means anything, and under MIN_FID_IMAGES pictures a side.

    checks = checks_of(evidence, config)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgewright.gates.claims import LAYOUT_STATISTICS
from edgewright.gates.evidence import DataEvidence, Measurement
from edgewright.gates.thresholds import MAX_FID, MIN_FID_IMAGES, MIN_RECALL
from edgewright.gates.utility import UtilityEvidence
from edgewright.gates.verdict import Check, Outcome, compare
from edgewright.recipe import GateDataConfig


@dataclass(frozen=True)
class _Rule:
    """One check: a measurement and the recipe field that holds its threshold; `""` for a number that is only
    reported."""

    measurement: str
    comparison: str
    field: str


_RULES = (
    _Rule("picture_copy_share", "<=", "max_copy_share"),
    _Rule("object_copy_share", "<=", "max_object_copy_share"),
    _Rule("object_distance_ratio", ">=", "min_copy_distance_ratio"),
    _Rule("fd_ratio", "<=", "max_fd_ratio"),
    _Rule("kid_excess", "<=", "max_kid_excess"),
    _Rule("coverage_ratio", ">=", "min_coverage_ratio"),
    _Rule("picture_coverage_ratio", ">=", "min_picture_coverage_ratio"),
    _Rule("precision_ratio", ">=", "min_precision_ratio"),
    _Rule("density_ratio", ">=", "min_density_ratio"),
    _Rule("spectrum_excess_db", "<=", "max_spectrum_excess_db"),
    *(_Rule(f"layout_{name}_ratio", "<=", "max_layout_ratio") for name in LAYOUT_STATISTICS),
    _Rule("label_agreement", ">=", "min_label_agreement"),
    _Rule("label_error_share", "<=", "max_label_error_share"),
    _Rule("left_out_share", "<=", "max_left_out_share"),
    _Rule("recall_ratio", ">=", ""),
    _Rule("picture_distance_ratio", ">=", ""),
    _Rule("clipped_coverage", ">=", ""),
    _Rule("clipped_density", ">=", ""),
    _Rule("realism", ">=", ""),
    _Rule("authenticity", ">=", ""),
)


def checks_of(evidence: DataEvidence, config: GateDataConfig) -> list[Check]:
    """Both rule sets; the one that the recipe did not choose is reported only."""
    if evidence.problem:
        measured = [rule for rule in _RULES if evidence.measurement(rule.measurement).value is not None]
        return [*(_check(rule, evidence, config) for rule in measured), _problem(evidence, config)]
    utility = [utility_check(evidence.utility, config), *class_gain_checks(evidence.utility)]
    default = [*(_check(rule, evidence, config) for rule in _RULES), *utility]
    literal = _fid_recall(evidence)
    if config.rule == "fid_recall":
        return [*literal, *(replace(check, decides=False) for check in default)]
    return [*default, *(replace(check, decides=False) for check in literal)]


def utility_check(utility: UtilityEvidence, config: GateDataConfig) -> Check:
    """The lower bound of the gain decides: above 0 useful, above `min_utility_gain` neutral, else refused.

    Not measured: reported only, and not evaluable where the recipe requires it. Measured by detectors of which one has
    no finite mAP, or finds nothing on photographs alone: not evaluable, whether it was required or not.
    """
    set_at, name = "gate_data.min_utility_gain", "utility, mAP50-95"
    gain = utility.gain
    if gain is None:
        broken = any(pair.problem for pair in utility.pairs)
        check = compare(name, None, n=len(utility.pairs), set_at=set_at, decides=config.require_utility or broken)
        return replace(check, sentence=f"{name}: {'no evidence' if broken else 'not measured'} ({utility.why_none})")
    check = compare(
        name, gain.low, n=gain.n, set_at=set_at, low=gain.low, high=gain.high, at_least=config.min_utility_gain
    )
    word = "useful" if gain.low > 0 else "neutral" if check.outcome is Outcome.PASS else "harmful or unproven"
    sentence = f"{name}: {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] in {gain.n} pairs of runs: {word}"
    return replace(check, value=gain.mean, sentence=sentence)


def class_gain_checks(utility: UtilityEvidence) -> list[Check]:
    """Usefulness class by class, reported only: a rare class of a small `val` has no gain that could decide."""
    found = []
    for name, gain in utility.gain_by_class.items():
        title = f"utility of {name}, AP50-95"
        check = compare(title, gain.mean, n=gain.n, set_at="", low=gain.low, high=gain.high, decides=False)
        sentence = f"{title}: {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] in {gain.n} pairs of runs"
        found.append(replace(check, sentence=sentence))
    return found


def _problem(evidence: DataEvidence, config: GateDataConfig) -> Check:
    n = min(evidence.n_train, evidence.n_held_out, evidence.n_synthetic)
    check = compare("evidence", None, n=n, set_at="gate_data.min_images", at_least=float(config.min_images))
    return replace(check, sentence=f"the synthetic images could not be judged: {evidence.problem}")


def _check(rule: _Rule, evidence: DataEvidence, config: GateDataConfig) -> Check:
    found = evidence.measurement(rule.measurement)
    threshold = float(getattr(config, rule.field)) if rule.field else None
    return compare(
        rule.measurement.replace("_db", ", dB").replace("_", " "),
        found.value,
        n=found.n,
        low=found.low,
        high=found.high,
        at_least=threshold if rule.comparison == ">=" else None,
        at_most=threshold if rule.comparison == "<=" else None,
        slack=config.interval_slack,
        min_n=config.min_images,
        set_at=f"gate_data.{rule.field}" if rule.field else "",
        decides=bool(rule.field),
    )


def _fid_recall(evidence: DataEvidence) -> list[Check]:
    """FID below MAX_FID and recall above MIN_RECALL, the whole interval on the right side."""
    fid, recall = evidence.measurement("fid"), evidence.measurement("recall")
    return [
        _literal(fid, evidence, at_most=MAX_FID, at_least=None, name="fid_recall: FID"),
        _literal(recall, evidence, at_most=None, at_least=MIN_RECALL, name="fid_recall: recall"),
    ]


def _literal(
    found: Measurement, evidence: DataEvidence, *, at_most: float | None, at_least: float | None, name: str
) -> Check:
    check = compare(
        name,
        found.value,
        n=found.n,
        low=found.low,
        high=found.high,
        at_most=at_most,
        at_least=at_least,
        min_n=MIN_FID_IMAGES,
        set_at="gate_data.rule",
    )
    if evidence.feature_kind == "inception" or found.value is None:
        return check
    reason = f"the space is {evidence.feature_kind or 'unknown'}, and the rule is about Inception's"
    sentence = f"{name} is {found.value:.4g} on n = {found.n}, not evaluable: {reason}"
    return replace(check, outcome=Outcome.NOT_EVALUABLE, sentence=sentence)
