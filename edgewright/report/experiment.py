"""The page of the label-efficiency experiment: the answer first, then the curve, the numbers and what the gate knew.

Decides the words; the order stands in `templates/experiment.html`, and every number comes from `Analysis`. What is
missing from the plan is said at the top. One file, no script, no request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewright.experiment.analysis import GATED, Analysis, Correlation, PairedGain, Point
from edgewright.experiment.arms import ARMS, Arm
from edgewright.experiment.results import Result
from edgewright.experiment.saved import Bound, Labels, Saved
from edgewright.gates.utility import Gain
from edgewright.report.charts import draw_intervals
from edgewright.report.data import Curve, Series
from edgewright.report.shell import render_page
from edgewright.report.tables import MISSING, words

Rows = Sequence[Sequence[str]]
"""Of a table, as text; the first cell names the row."""


def render_experiment(
    analysis: Analysis, results: Sequence[Result], *, project: str, missing: Mapping[str, str]
) -> str:
    """The whole page as HTML.

    Args:
        missing: title of each planned run that has no line => why not; empty where it was not tried.
    """
    classes = sorted({name for one in analysis.gains for name in one.by_class})
    return render_page(
        "experiment.html",
        project=project,
        n_runs=len(results),
        headline=headline(analysis),
        caveats=_caveats(analysis, results, missing),
        how=_how(results),
        curve=draw_intervals(efficiency_curve(analysis, project=project)),
        points=_points(analysis.points),
        classes=classes,
        gains=_gains(analysis.gains, classes),
        saved=_saved(analysis.saved),
        gates=_gates(results),
        correlations=_correlations(analysis.correlations),
    )


def efficiency_curve(analysis: Analysis, *, project: str) -> Curve:
    """mAP50-95 over the number of labels: a line an arm, an interval at every point."""
    by_arm: dict[str, list[Point]] = {arm: [] for arm in ARMS}
    for point in sorted(analysis.points, key=lambda one: one.labels):
        if not point.arm.endswith(GATED) and point.arm in by_arm:
            by_arm[point.arm].append(point)
    return Curve(
        f"{project}: label efficiency (bars: one-sided 95 % either way, over draws)",
        "labeled photographs",
        "mAP50-95 on the test photographs",
        [_series(arm, points) for arm, points in by_arm.items() if points],
    )


def _series(arm: str, points: Sequence[Point]) -> Series:
    fewest, most = min(point.runs for point in points), max(point.runs for point in points)
    return Series(
        f"{ARMS[arm].title} ({fewest if fewest == most else f'{fewest}–{most}'} runs)",
        [point.labels for point in points],
        [point.map50_95 for point in points],
        low=[point.map50_95 if point.low is None else point.low for point in points],
        high=[point.map50_95 if point.high is None else point.high for point in points],
    )


def headline(analysis: Analysis) -> str:
    """The answer for the best arm with checked synthetic pictures, win or loss, whether it could be chance, and whether
    the gate would have let it happen.

    At the fewest labels, of those that have an interval where any has.
    """
    rivals = _rivals(analysis)
    if not rivals:
        return "No arm with checked synthetic pictures can be compared yet."
    best = max(rivals, key=_rank)
    admitted, sets = analysis.admitted.get((best.arm, best.labels), (0, 0))
    gate = f" The gate admitted {admitted} of {sets} such sets." if sets else ""
    return (
        f"{best.labels} labeled photographs {ARMS[best.arm].title} do what {_WORDS[best.needed.bound]}"
        f"{best.needed.n:.0f} {_ALONE[best.reference]}: {_ratio(best)}. {_settled(analysis, best)}{gate}"
    )


def _rivals(analysis: Analysis) -> list[Saved]:
    """What the first line chooses from, each beside the arm without other pictures that makes it look worst."""
    known = [one for one in analysis.saved if one.reference in _ALONE and one.arm in ARMS]
    made = [one for one in known if _is_product(ARMS[one.arm])]
    sure = [one for one in made if one.low is not None] or made
    here = [one for one in sure if one.labels == min(other.labels for other in sure)]
    return [min((one for one in here if one.arm == arm), key=_rank) for arm in dict.fromkeys(one.arm for one in here)]


def _settled(analysis: Analysis, best: Saved) -> str:
    """Saved only where every arm without other pictures says so: one without a curve by reaching less at as many
    labels."""
    beside = [one for one in analysis.saved if (one.arm, one.labels) == (best.arm, best.labels)]
    known = {one.reference: _chance(one) for one in beside if one.reference in _ALONE}
    if _chance(best) == _SAVED and set(known.values()) != {_SAVED}:
        return "That may be chance."
    reached = {one.arm: one.map50_95 for one in analysis.points if one.labels == best.labels}
    for arm in (name for name in _ALONE if name not in known and reached.get(name, 0) >= reached[best.arm]):
        return f"But “{ARMS[arm].title}” reaches {reached[arm]:.3f} with as many, against {reached[best.arm]:.3f}."
    return _chance(best)


def _rank(saved: Saved) -> tuple[int, float]:
    return _ORDER[saved.ratio.bound], saved.ratio.n


def _is_product(arm: Arm) -> bool:
    """What a run of the pipeline may train on: photographs, and synthetic pictures that a labeler examined."""
    return arm.extra == "synthetic" and arm.checked and arm.photographs


def _chance(saved: Saved) -> str:
    if saved.low is None or saved.high is None:
        return "Too few draws for an interval."
    if _beyond(saved.low, Bound.AT_LEAST, saved.low.n > 1):
        return _SAVED
    return "Labels are lost." if _beyond(saved.high, Bound.AT_MOST, saved.high.n < 1) else "That may be chance."


def _beyond(end: Labels, bound: Bound, beyond_one: bool) -> bool:
    """Whether an end of the interval lies on that side of 1: by its number, or as a bound that points there."""
    return end.bound in (Bound.NONE, bound) and (beyond_one or (end.bound is bound and end.n == 1))


def _caveats(analysis: Analysis, results: Sequence[Result], missing: Mapping[str, str]) -> list[str]:
    """What a reader has to know before believing the first line."""
    found = []
    if len(rivals := _rivals(analysis)) > 1:
        found.append(f"That is the best of {len(rivals)} arms, and the best of several flatters.")
    if missing:
        told = "; ".join(f"{title} ({why})" if why else title for title, why in missing.items())
        found.append(f"Missing from the plan: {told}.")
    if analysis.useless:
        found.append(
            f"Left out of every comparison, because they find nothing: {'; '.join(analysis.useless)}, and their pairs."
        )
    empty = [one.run.title for one in results if one.facts.get("problem")]
    if empty:
        found.append(f"Counted as 0, because nothing was left to train on: {'; '.join(empty)}.")
    if len({one.facts.get("code", "") for one in results}) > 1:
        found.append("The runs were made by more than one version of the code or of its libraries.")
    return found


_ALONE = {
    "real": "photographs alone do",
    "strong": "photographs with stronger augmentation do",
    "repeated": "photographs do where rare objects are shown more often",
}
"""Arms without other pictures, as the first line says them."""
_SAVED = "Labels are saved."
_ORDER = {Bound.AT_MOST: 0, Bound.NONE: 1, Bound.AT_LEAST: 2}
_WORDS = {Bound.AT_MOST: "at most ", Bound.NONE: "", Bound.AT_LEAST: "at least "}


def _ratio(saved: Saved) -> str:
    ends = "" if saved.low is None or saved.high is None else f" [{_bounded(saved.low)}, {_bounded(saved.high)}]"
    return f"{_bounded(saved.ratio)} ×{ends}"


def _bounded(labels: Labels, digits: int = 2) -> str:
    return f"{labels.bound} {labels.n:.{digits}f}".strip()


def _how(results: Sequence[Result]) -> str:
    first = results[0]
    return (
        f"Every detector: {first.steps} optimizer steps at {first.image_px} px, measured on {first.n_test} test "
        "photographs that nothing else ever saw. An arm sees its n labels and no others; pseudo-labels "
        "alone stand on the pool's other photographs."
    )


def _title(arm: str) -> str:
    bare = arm.removesuffix(GATED)
    return ARMS[bare].title + (arm[len(bare) :] if arm != bare else "") if bare in ARMS else arm


def _points(points: Sequence[Point]) -> Rows:
    order = {name: place for place, name in enumerate(ARMS)}
    ranked = sorted(points, key=lambda one: (one.labels, order.get(one.arm.removesuffix(GATED), 99), one.arm))
    return [
        (
            f"{_title(one.arm)}, n = {one.labels}",
            f"{one.map50_95:.3f}{_interval(one)}",
            f"{one.map50:.3f}",
            f"{one.draws}",
            f"{one.runs}",
        )
        for one in ranked
    ]


def _interval(point: Point) -> str:
    return "" if point.low is None or point.high is None else f" [{point.low:.3f}, {point.high:.3f}]"


def _gains(gains: Sequence[PairedGain], classes: Sequence[str]) -> Rows:
    return [
        (
            f"{_title(one.arm)}, n = {one.labels}",
            f"{_hundredths(one.mean)}" + ("" if one.interval is None else _between(one.interval)),
            " ".join(map(_hundredths, one.pairs)),
            *(_hundredths(one.by_class[name]) if name in one.by_class else MISSING for name in classes),
        )
        for one in gains
    ]


def _between(gain: Gain) -> str:
    return f" [{_hundredths(gain.low)}, {_hundredths(gain.high)}]"


def _hundredths(value: float) -> str:
    return f"{100 * value:+.1f}"


def _saved(saved: Sequence[Saved]) -> Rows:
    return [
        (f"{_title(one.arm)}, n = {one.labels}", ARMS[one.reference].title, _bounded(one.needed, digits=0), _ratio(one))
        for one in saved
    ]


def _gates(results: Sequence[Result]) -> Rows:
    return [
        (
            f"{_title(one.arm)}, n = {one.labels}, draw {one.draw}",
            words(one.gate),
            words(one.reference_gate) or MISSING,
            str(one.facts.get("left_out", MISSING)),
        )
        for one in results
        if one.gate
    ]


def _correlations(found: Sequence[Correlation]) -> Rows:
    return [(words(one.metric), f"{one.rho:+.2f}", f"{one.p:.3f}", str(one.n)) for one in found]
