"""The page's tables: gate checks, float against INT8, stages, quarantine.

Decides how numbers are written: figures right-aligned, units in the row's name, a missing value as a dash and never as
zero. On a narrow screen a check becomes a block of its own; wide tables scroll inside their own box.

>>> format_bytes(1_823_456)
'1.82 MB'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgewright.gates.thresholds import THRESHOLDS
from edgewright.gates.verdict import Check, Outcome
from edgewright.report.data import ModelFigures, StageFigures
from edgewright.report.markup import Child, Markup, join, tag
from edgewright.report.svg import draw_interval

MISSING = "–"
MAX_QUARANTINE_ROWS = 200
GLYPHS = {
    Outcome.PASS: ("✓", "pass"),
    Outcome.REFUSE: ("✕", "refused"),
    Outcome.NOT_EVALUABLE: ("?", "not evaluable"),
}


def badge(outcome: Outcome) -> Markup:
    """A glyph and a word; the color only repeats them."""
    glyph, word = GLYPHS[outcome]
    return tag("span", tag("span", glyph, aria_hidden="true"), f" {word}", class_=f"badge {outcome.value}")


def format_bytes(n: int) -> str:
    if n < 1000:
        return f"{n} B"
    return f"{n / 1000:.1f} kB" if n < 1_000_000 else f"{n / 1e6:.2f} MB"


def format_seconds(seconds: float) -> str:
    """
    >>> format_seconds(0.42), format_seconds(12.3), format_seconds(247)
    ('0.4 s', '12 s', '4 min 07 s')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def checks_table(checks: Sequence[Check], *, title: str) -> Markup:
    head = ("Check", "Measured", "Needed", "", "n", "Threshold set in", "Outcome")
    body: list[list[tuple[str | None, str | None, Child]]] = [
        [
            ("Check", None, [check.name, tag("small", " reported only") if not check.decides else None]),
            ("Measured", "num", _measured(check)),
            ("Needed", "num", _needed(check)),
            (None, "plot", draw_interval(check)),
            ("n", "num", str(check.n)),
            ("Set in", "code", _dotted(check.set_at)),
            ("Outcome", None, _outcome(check)),
        ]
        for check in checks
    ]
    rows = [tag("tr", [_cell(label, kind, content) for label, kind, content in row]) for row in body]
    numeric = {"Measured", "Needed", "n"}
    heads = [tag("th", name, scope="col", class_="num" if name in numeric else None) for name in head]
    return _table(tag("tr", heads), rows, caption=title, class_="checks")


def _outcome(check: Check) -> Child:
    if check.decides:
        return badge(check.outcome)
    return f"reported: {GLYPHS[check.outcome][1]}" if check.threshold is not None else "reported"


def thresholds_table(checks: Sequence[Check]) -> Markup:
    """Every threshold of the data gate: this run's, the default, and why the default is what it is."""
    used = {check.set_at.removeprefix("gate_data."): check.threshold for check in checks if check.threshold is not None}
    heads = [
        tag("th", name, scope="col") for name in ("Threshold", "This run", "Default", "Where the default comes from")
    ]
    rows = [
        tag(
            "tr",
            tag("th", each.field.replace("_", " "), scope="row"),
            tag("td", _figure(used[each.field]) if each.field in used else MISSING, class_="num"),
            tag("td", _figure(each.value), class_="num"),
            tag("td", each.source),
        )
        for each in THRESHOLDS
    ]
    return _table(tag("tr", heads), rows, caption="Thresholds of the data gate", class_="thresholds")


def models_table(models: Sequence[ModelFigures], *, classes: Sequence[str]) -> Markup:
    """A column a precision; with two, a column of what changed."""
    rows = [
        _model_row("Size", models, lambda model: float(model.bytes), "{:,.0f}", unit="bytes"),
        _model_row("mAP50", models, lambda model: model.map50, "{:.3f}"),
        _model_row("mAP50–95", models, lambda model: model.map50_95, "{:.3f}"),
        _model_row("Latency p50", models, lambda model: model.p50_ms, "{:.1f}", unit="ms"),
        _model_row("Latency p99", models, lambda model: model.p99_ms, "{:.1f}", unit="ms"),
    ]
    by_class = [_model_row(name, models, _class_map50(name), "{:.3f}", unit="mAP50") for name in classes]
    heads = [tag("th", "", scope="col"), *(tag("th", model.precision, scope="col", class_="num") for model in models)]
    if len(models) == 2:
        heads.append(tag("th", "Change", scope="col", class_="num"))
    named = [row for row in (*rows, *by_class) if row]
    return _table(tag("tr", heads), named, caption="Float and INT8 on the same test pictures", class_="models")


def stages_table(stages: Sequence[StageFigures]) -> Markup:
    heads = [tag("th", name, scope="col") for name in ("Stage", "Pool", "Ran on")]
    heads.append(tag("th", "Time", scope="col", class_="num"))
    rows = [
        tag(
            "tr",
            tag("th", stage.name.replace("_", " "), scope="row"),
            tag("td", stage.pool),
            tag("td", stage.ran_on),
            tag("td", "cached" if stage.cached else format_seconds(stage.seconds), class_="num"),
            class_="cached" if stage.cached else None,
        )
        for stage in stages
    ]
    total = format_seconds(sum(stage.seconds for stage in stages if not stage.cached))
    foot = tag("tr", tag("th", "Together", scope="row", colspan=3), tag("td", total, class_="num"), class_="total")
    return _table(tag("tr", heads), [*rows, foot], caption="Stages of this run", class_="stages")


def quarantine_table(quarantined: Sequence[tuple[str, str]]) -> Markup:
    heads = [tag("th", name, scope="col") for name in ("Picture", "Why")]
    shown = quarantined[:MAX_QUARANTINE_ROWS]
    rows = [tag("tr", tag("td", name, class_="code"), tag("td", reason)) for name, reason in shown]
    rest = len(quarantined) - len(shown)
    if rest:
        rows.append(tag("tr", tag("td", f"and {rest} more, in the data set's index", colspan=2)))
    return _table(tag("tr", heads), rows, caption="Quarantined pictures", class_="quarantine")


def facts_list(facts: Sequence[tuple[str, str]]) -> Markup:
    return tag("dl", [tag("div", tag("dt", label), tag("dd", value)) for label, value in facts], class_="facts")


def _table(head: Markup, rows: Sequence[Markup], *, caption: str, class_: str) -> Markup:
    body = (tag("caption", caption), tag("thead", head), tag("tbody", rows))
    return tag(
        "div", tag("table", *body, class_=class_), class_="scroll", tabindex=0, role="region", aria_label=caption
    )


def _cell(label: str | None, kind: str | None, content: Child) -> Markup:
    return tag("td", content, class_=kind, data_label=label)


def _dotted(path: str) -> Markup:
    """A recipe field that may break after its dot, and only there."""
    parts = path.split(".") if path else [MISSING]
    return join([join(tag("wbr"), ".", part) if number else part for number, part in enumerate(parts)])


def _measured(check: Check) -> Markup | str:
    if check.value is None:
        return MISSING
    interval = f" [{check.low:.3g}, {check.high:.3g}]" if check.low is not None and check.high is not None else None
    return tag("span", _figure(check.value), tag("small", interval) if interval else None)


def _needed(check: Check) -> str:
    sign = {">=": "≥", "<=": "≤"}.get(check.comparison, check.comparison)
    return MISSING if check.threshold is None else f"{sign} {_figure(check.threshold)}"


def _figure(value: float) -> str:
    """Three significant digits, thousands apart, nothing in powers of ten."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _class_map50(name: str) -> Callable[[ModelFigures], float | None]:
    return lambda model: model.map50_by_class.get(name)


def _model_row(
    name: str,
    models: Sequence[ModelFigures],
    value_of: Callable[[ModelFigures], float | None],
    template: str,
    *,
    unit: str = "",
) -> Markup | None:
    """None where no model has the value."""
    values = [value_of(model) for model in models]
    if all(value is None for value in values):
        return None
    cells = [tag("td", MISSING if v is None else template.format(v), class_="num") for v in values]
    if len(values) == 2:
        cells.append(tag("td", _change(values[0], values[1], template), class_="num change"))
    return tag("tr", tag("th", name, tag("small", f" {unit}") if unit else None, scope="row"), cells)


def _change(before: float | None, after: float | None, template: str) -> str:
    """A ratio for sizes and times, a difference for shares."""
    if before is None or after is None:
        return MISSING
    if template != "{:.3f}":
        return _ratio(before, after)
    change = f"{after - before:+.3f}".replace("-", "−")
    return change if change.strip("+−0.") else "0.000"


def _ratio(before: float, after: float) -> str:
    if min(before, after) <= 0:
        return MISSING
    return f"{before / after:.1f}× less" if after < before else f"{after / before:.1f}× more"
