"""The data gate's rule sets: evidence in, checks out. Pure.

Decides which measurement is held against which recipe field. `default` is ours. `utility` is for pictures that differ
from the photographs on purpose (balanced classes, hard scenes): measured usefulness, its lower bound above 0, takes the
place of likeness, which is only reported; copies, labels and absent classes decide as ever, because a detector may gain
by what should not be there. `fid_recall` is the literal FID < 30 and recall > 0.85, printed on every run and deciding
only where the recipe chooses it. It is not evaluable outside of Inception's space, in which alone 30 means anything,
and under as many pictures a side as a picture has features (2,048). Where nothing could be measured, every rule set
says why.

    checks = checks_of(evidence, config)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgewright.gates.evidence import ClassCount, DataEvidence, Measurement
from edgewright.gates.measure.labels import LAYOUT_STATISTICS
from edgewright.gates.thresholds import MAX_FID, MAX_MISS_CHANCE, MIN_RECALL
from edgewright.gates.utility import UtilityEvidence
from edgewright.gates.verdict import Check, Outcome, combine, compare, reasons_of
from edgewright.recipe.gates import GateDataConfig


@dataclass(frozen=True)
class _Rule:
    """One check: a measurement and the recipe field that holds its threshold; `""` for a number that is only
    reported."""

    measurement: str
    comparison: str
    field: str


_RULES = (
    _Rule("picture_copy_share", "<=", "max_copy_share"),
    _Rule("scene_copy_share", "<=", "max_scene_copy_share"),
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
    _Rule("scene_distance_ratio", ">=", ""),
    _Rule("clipped_coverage", ">=", ""),
    _Rule("clipped_density", ">=", ""),
    _Rule("realism", ">=", ""),
    _Rule("authenticity", ">=", ""),
)


_REALISM = frozenset(
    (
        *("fd_ratio", "kid_excess", "coverage_ratio", "picture_coverage_ratio", "precision_ratio", "density_ratio"),
        *("spectrum_excess_db", *(f"layout_{name}_ratio" for name in LAYOUT_STATISTICS)),
    )
)
"""What the rule `utility` only reports."""


def checks_of(evidence: DataEvidence, config: GateDataConfig) -> list[Check]:
    """The chosen rule set's, and the rule fid_recall or ours beside it, reported only. A problem decides under each."""
    default, literal = _default(evidence, config), _fid_recall(evidence)
    if config.rule == "fid_recall":
        chosen, other = literal, default
    else:
        chosen, other = default, literal
    return [*chosen, *_problems(evidence, config), *(replace(check, decides=False) for check in other)]


def told_beside(evidence: DataEvidence, config: GateDataConfig) -> str:
    """What the rule set that was not chosen would have said: fid_recall beside ours, ours beside fid_recall."""
    name, checks = (
        ("default", [*_default(evidence, config), *_problems(evidence, config)])
        if config.rule == "fid_recall"
        else (f"fid_recall (FID < {MAX_FID:g}, recall > {MIN_RECALL:g})", _fid_recall(evidence))
    )
    outcome, reasons = combine(checks), reasons_of(checks)
    told = "; ".join(reasons) if outcome is Outcome.PASS else reasons[0]
    return f"rule {name}, reported only: {outcome.replace('_', ' ')}. {told}"


def _default(evidence: DataEvidence, config: GateDataConfig) -> list[Check]:
    """Where there was a problem, of the measured statistics alone: the problem says the rest."""
    rules = [
        rule for rule in _RULES if not evidence.problem or evidence.measurement(rule.measurement).value is not None
    ]
    useful = config.rule == "utility"
    measured = [_check(rule, evidence, config) for rule in rules]
    return [
        *(
            replace(check, decides=False) if useful and rule.measurement in _REALISM else check
            for rule, check in zip(rules, measured, strict=True)
        ),
        *class_checks(evidence.classes),
        utility_check(evidence.utility, _strict(config) if useful else config),
        *class_gain_checks(evidence.utility),
    ]


def _strict(config: GateDataConfig) -> GateDataConfig:
    """Usefulness has to be measured, and neutral is not enough."""
    least = max(0.0, config.min_utility_gain)
    return config.model_copy(update={"require_utility": True, "min_utility_gain": least})


def class_checks(classes: Sequence[ClassCount]) -> list[Check]:
    """`absent classes`, and a check for each class that has objects in `train` and none in `val`.

    A class that real `train` or `val` hold and no synthetic picture does refuses: the distances of layouts do not see a
    rare class. Unless it is so rare that a perfect generator would miss it with a chance above MAX_MISS_CHANCE:
    `(1 - p)^n`, p its share of the real objects and n the synthetic objects, taken as independent; then it is not
    evaluable. Of a class that the held-out photographs lack nothing was measured, whatever is claimed: not evaluable.
    """
    return [_absent(classes), *(_not_held_out(one) for one in classes if one.n_train and not one.n_held_out)]


def _absent(classes: Sequence[ClassCount]) -> Check:
    name = "absent classes"
    n_made, n_real = sum(one.n_synthetic for one in classes), sum(one.n_real for one in classes)
    chances = {one.name: (1 - one.n_real / n_real) ** n_made for one in classes if one.n_real and not one.n_synthetic}
    absent = [missing for missing, chance in chances.items() if chance <= MAX_MISS_CHANCE]
    undecided = bool(chances) or not n_real
    value = None if undecided and not absent else float(len(absent))
    check = compare(name, value, n=n_made, set_at="", at_most=0.0)
    if not chances:
        return check
    told = ", ".join(
        f"{missing} (a perfect generator misses it with chance {chances[missing]:.2g})" for missing in chances
    )
    verb = "refused" if absent else f"not evaluable, a chance above {MAX_MISS_CHANCE:g} may be one"
    return replace(check, sentence=f"{name}: {told} among {n_made} synthetic objects: {verb}")


def _not_held_out(one: ClassCount) -> Check:
    name = f"{one.name}, held out"
    told = f"{one.n_train} objects in train, none in the held-out photographs, so nothing measured there speaks of them"
    check = compare(name, None, n=0, set_at="")
    return replace(check, sentence=f"{name}: {told}: label more photographs, or divide them by another seed")


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
    over = f"{utility.n_held_out} photographs held out in {utility.folds} folds"
    told = f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] in {gain.n} pairs of runs, {over}"
    note = f"; {utility.learned_from}" if utility.learned_from else ""
    sentence = f"{name}: {told}: {word}{note}"
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


def _problems(evidence: DataEvidence, config: GateDataConfig) -> list[Check]:
    """Why nothing, or not all, could be measured: one check that cannot pass, or none."""
    if not evidence.problem:
        return []
    n = min(evidence.n_train, evidence.n_held_out, evidence.n_synthetic)
    check = compare("evidence", None, n=n, set_at="gate_data.min_images", at_least=float(config.min_images))
    return [replace(check, sentence=f"the synthetic images could not be judged: {evidence.problem}")]


def _check(rule: _Rule, evidence: DataEvidence, config: GateDataConfig) -> Check:
    found = evidence.measurement(rule.measurement)
    check = _compared(rule, found, config)
    return replace(check, sentence=f"{check.name}: could not be measured ({found.why})") if found.why else check


def _compared(rule: _Rule, found: Measurement, config: GateDataConfig) -> Check:
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
        _one_of_two(fid, evidence, at_most=MAX_FID, at_least=None, name="fid_recall: FID"),
        _one_of_two(recall, evidence, at_most=None, at_least=MIN_RECALL, name="fid_recall: recall"),
    ]


def _one_of_two(
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
        set_at="gate_data.rule",
    )
    why = _why_not_fid_recall(found, evidence)
    if not why:
        return check
    number = "" if check.value is None else f"{check.value:.4g} on n = {check.n}, "
    return replace(check, outcome=Outcome.NOT_EVALUABLE, sentence=f"{name}: {number}{why}")


def _why_not_fid_recall(found: Measurement, evidence: DataEvidence) -> str:
    """What is missing, and which field to set; empty where the rule can be evaluated."""
    if evidence.problem:
        return evidence.problem
    if evidence.feature_kind != "inception" or not evidence.fid_width:
        kind = evidence.feature_kind or "unknown"
        needed = "set gate_data.features=inception and gate_data.features_weights=FILE"
        return f"the feature space is {kind}, and the rule is about Inception's: {needed}"
    if found.n < evidence.fid_width:
        more = "more photographs in val (ingest.val_share), more pictures (generate.images)"
        return f"{evidence.fid_width} pictures a side are needed, as many as a picture has features: {more}"
    return ""
