"""The page of the label-efficiency experiment: the answer first, then the curve, the numbers and what the gate knew.

Decides the order and the words; every number comes from `Analysis`. One file, no script, no request.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from edgewright.experiment.analysis import GATED, Analysis, Correlation, Point, Saved
from edgewright.experiment.arms import ARMS
from edgewright.experiment.results import Result
from edgewright.report.markup import Child, Markup, join, raw, tag

_DASH = "–"


def render_experiment(analysis: Analysis, results: Sequence[Result], curve_png: bytes, *, project: str) -> str:
    """The whole page as HTML."""
    title = f"{project}: label efficiency"
    source = "data:image/png;base64," + base64.b64encode(curve_png).decode()
    picture = tag("img", src=source, alt="mAP50-95 over labeled photographs, a line an arm", width="100%")
    body = (
        _section("Curve", _how(results), picture),
        _section("Arms", "Means over draws; one-sided 95 % either way.", _points(analysis.points)),
        _section("Gain over photographs alone", "Same photographs and seed; points of mAP50-95.", _gains(analysis)),
        _section("Labels saved", _saved_note(), _saved(analysis.saved)),
        _section("What the gate knew", _gate_note(), _gates(results), _correlations(analysis.correlations)),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", raw(files("edgewright.report").joinpath("page.css").read_text(encoding="utf-8"))),
    )
    over = tag("p", tag("b", "edgewright"), tag("span", project), tag("span", f"{len(results)} runs"), class_="over")
    header = tag("header", over, tag("h1", headline(analysis)))
    return raw("<!doctype html>\n") + tag("html", head, tag("body", header, tag("main", body)), lang="en")


def headline(analysis: Analysis) -> str:
    """The answer for the best arm with synthetic pictures at the fewest labels, win or loss, with its interval."""
    known = [one for one in analysis.saved if one.reference == "real" and not one.arm.endswith(GATED)]
    made = [one for one in known if one.arm in ARMS and ARMS[one.arm].extra == "synthetic"]
    if not made:
        return "No arm with synthetic pictures can be compared yet."
    fewest = min(one.labels for one in made)
    best = max((one for one in made if one.labels == fewest), key=lambda one: one.ratio)
    word = "at least " if best.beyond else ""
    return (
        f"{best.labels} labeled photographs {ARMS[best.arm].title} do what {word}{best.needed:.0f} photographs alone "
        f"do: {best.ratio:.2f} × [{best.low:.2f}, {best.high:.2f}]."
    )


def _section(name: str, note: str, *children: Child) -> Markup:
    margin = tag("div", tag("h2", name), tag("p", note, class_="note"), class_="margin")
    return tag("section", margin, tag("div", *children, class_="content"))


def _how(results: Sequence[Result]) -> str:
    first = results[0]
    return (
        f"Every detector: {first.steps} optimizer steps at {first.image_px} px, measured on {first.n_test} test "
        "photographs that nothing else ever saw. An arm sees its n photographs and no others."
    )


def _saved_note() -> str:
    return (
        "Isotonic in log n, inverted; interval by bootstrap over draws. A ratio marked ≥ lies beyond the most labels "
        "that the reference was given."
    )


def _gate_note() -> str:
    return (
        "“own” judged with the arm's own held-out images alone, “pool” with the photographs that no arm saw. "
        "Spearman's rank correlation of each measurement with the gain over the paired run."
    )


def _title(arm: str) -> str:
    bare = arm.removesuffix(GATED)
    return ARMS[bare].title + (arm[len(bare) :] if arm != bare else "") if bare in ARMS else arm


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """The first column names the row; the others are numbers."""
    body = [
        tag("tr", tag("th", row[0], scope="row"), [tag("td", cell, class_="num") for cell in row[1:]]) for row in rows
    ]
    top = tag("tr", tag("th", head[0]), [tag("th", name, class_="num") for name in head[1:]])
    return tag("div", tag("table", tag("thead", top), tag("tbody", body)), class_="scroll")


def _points(points: Sequence[Point]) -> Markup:
    order = {name: place for place, name in enumerate(ARMS)}
    ranked = sorted(points, key=lambda one: (one.labels, order.get(one.arm.removesuffix(GATED), 99), one.arm))
    rows = [
        (
            f"{_title(one.arm)}, n = {one.labels}",
            f"{one.map50_95:.3f}"
            + ("" if one.low is None or one.high is None else f" [{one.low:.3f}, {one.high:.3f}]"),
            f"{one.map50:.3f}",
            str(one.runs),
        )
        for one in ranked
    ]
    return _table(("Arm", "mAP50-95", "mAP50", "runs"), rows)


def _interval(point: Point) -> str:
    return "" if point.low is None or point.high is None else f" [{point.low:.3f}, {point.high:.3f}]"


def _gains(analysis: Analysis) -> Markup:
    rows = [
        (f"{_title(arm)}, n = {labels}", f"{100 * float(np.mean(gains)):+.1f}", _each(gains))
        for arm, by_labels in analysis.gains.items()
        for labels, gains in sorted(by_labels.items())
    ]
    return _table(("Arm", "mean", "each pair"), rows)


def _each(gains: Sequence[float]) -> str:
    return " ".join(f"{100 * gain:+.1f}" for gain in gains)


def _saved(saved: Sequence[Saved]) -> Markup:
    rows = [
        (
            f"{_title(one.arm)}, n = {one.labels}",
            ARMS[one.reference].title,
            f"{'≥ ' if one.beyond else ''}{one.needed:.0f}",
            f"{'≥ ' if one.beyond else ''}{one.ratio:.2f} [{one.low:.2f}, {one.high:.2f}]",
        )
        for one in saved
    ]
    return _table(("Arm", "against", "labels needed", "ratio"), rows)


def _gates(results: Sequence[Result]) -> Markup:
    rows = [
        (
            f"{_title(one.arm)}, n = {one.labels}, draw {one.draw}",
            one.gate.replace("_", " "),
            one.reference_gate.replace("_", " ") or _DASH,
            str(one.facts.get("left_out", _DASH)),
        )
        for one in results
        if one.gate
    ]
    return _table(("Synthetic set", "own", "pool", "left out by the labeler"), rows) if rows else join()


def _correlations(found: Sequence[Correlation]) -> Markup:
    rows = [(one.metric.replace("_", " "), f"{one.rho:+.2f}", f"{one.p:.3f}", str(one.n)) for one in found]
    return _table(("Measurement", "ρ", "p", "n"), rows) if rows else tag("p", "Too few synthetic sets to correlate.")
