"""How the pages write numbers: the templates' filters, and the rows that compare.

Decides that a missing value is a dash and never zero; that sizes and times change by a ratio, shares by a difference.

>>> format_bytes(1_823_456)
'1.82 MB'
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewright.gates.thresholds import THRESHOLDS
from edgewright.gates.verdict import Check, Outcome
from edgewright.report.data import FormFigures, Harm, ModelFigures, TierFigures
from edgewright.report.interval import place_interval

MISSING = "–"
_GLYPHS = {
    Outcome.PASS: ("✓", "pass"),
    Outcome.REFUSE: ("✕", "refused"),
    Outcome.NOT_EVALUABLE: ("?", "not evaluable"),
}
_GATE_NAMES = {"gate_data": "Data gate", "gate_model": "Model gate"}
_OPEN_IN_BROWSER = ("http://", "https://", "file://")


@dataclass(frozen=True)
class ModelRow:
    """One measurement of every model; `change` is empty where there are not two."""

    name: str
    unit: str
    values: tuple[str, ...]
    change: str


@dataclass(frozen=True)
class ThresholdRow:
    name: str
    used: str
    default: str
    source: str


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


def format_figure(value: float | None) -> str:
    """Three significant digits, thousands apart, nothing in powers of ten.

    >>> format_figure(0.12345), format_figure(1234.5), format_figure(None)
    ('0.123', '1,234', '–')
    """
    if value is None:
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def gate_name(gate: str) -> str:
    """
    >>> gate_name("gate_model"), gate_name("gate_model@basic")
    ('Model gate', 'Model gate, basic')
    """
    name, _, tier = gate.partition("@")
    return ", ".join(filter(None, [_GATE_NAMES.get(name, name), tier]))


def words(name: str) -> str:
    """
    >>> words("train_detector")
    'train detector'
    """
    return name.replace("_", " ")


def needed(check: Check) -> str:
    sign = {">=": "≥", "<=": "≤"}.get(check.comparison, check.comparison)
    return MISSING if check.threshold is None else f"{sign} {format_figure(check.threshold)}"


def interval_range(check: Check) -> str:
    return f"[{check.low:.3g}, {check.high:.3g}]" if check.low is not None and check.high is not None else ""


def tally(checks: Sequence[Check]) -> str:
    """How many checks decide, and how they came out, in one line.

    >>> from edgewright.gates.verdict import compare
    >>> tally([compare("size", 5, n=1, at_most=9, set_at="a.b"), compare("mAP", 0.2, n=9, at_least=0.5, set_at="a.c")])
    '2 checks decide: 1 pass, 1 refused'
    """
    counts = Counter(check.outcome for check in checks if check.decides)
    outcomes = ", ".join(f"{counts[each]} {word}" for each, (_, word) in _GLYPHS.items() if counts[each])
    n = sum(counts.values())
    return (
        f"{n} check{'s decide' if n != 1 else ' decides'}: {outcomes}" if n else f"{len(checks)} numbers, none decides"
    )


def threshold_rows(checks: Sequence[Check]) -> list[ThresholdRow]:
    """Every threshold of the data gate: this run's, the default, and why the default is what it is."""
    used = {check.set_at.removeprefix("gate_data."): check.threshold for check in checks if check.threshold is not None}
    return [
        ThresholdRow(words(each.field), format_figure(used.get(each.field)), format_figure(each.value), each.source)
        for each in THRESHOLDS
    ]


def model_rows(models: Sequence[ModelFigures], *, classes: Sequence[str]) -> list[ModelRow]:
    """What was measured of any of them; with two models, also what changed."""
    rows = [
        model_row("Size", models, lambda model: float(model.bytes), "{:,.0f}", unit="bytes"),
        model_row("mAP50", models, lambda model: model.map50, "{:.3f}"),
        model_row("mAP50–95", models, lambda model: model.map50_95, "{:.3f}"),
        model_row("Latency p50", models, lambda model: model.p50_ms, "{:.1f}", unit="ms"),
        model_row("Latency p99", models, lambda model: model.p99_ms, "{:.1f}", unit="ms"),
    ]
    by_class = [model_row(name, models, _class_map50(name), "{:.3f}", unit="mAP50") for name in classes]
    return [row for row in (*rows, *by_class) if row]


def form_rows(forms: Sequence[FormFigures]) -> list[tuple[str, ...]]:
    """An INT8 file in one form a row: what a processor finds with it."""
    return [
        (
            f"{form.file}, {form.form}",
            f"{form.bytes:,}",
            *("–" if value is None else f"{value:.3f}" for value in (form.map50, form.map50_95)),
            "yes" if form.decides else "no",
        )
        for form in forms
    ]


def tier_rows(tiers: Sequence[TierFigures]) -> list[tuple[str, ...]]:
    """A tier's INT8 file a row: how large, how good, how fast, and what its gate said."""
    return [
        (
            f"{one.tier}, {one.input_px} px",
            format_bytes(one.bytes),
            *(MISSING if value is None else f"{value:.3f}" for value in (one.map50, one.map50_95)),
            *(MISSING if ms is None else f"{ms:.1f}" for ms in (one.p50_ms, one.p99_ms, one.device_p50_ms)),
            _GLYPHS[Outcome(one.outcome)][1],
        )
        for one in tiers
    ]


def harm_of(facts: Mapping[str, Any], *, n: int) -> list[Harm]:
    """From what `quantize` wrote: of each file the `n` convolutions that INT8 harms most, and all that are in float."""
    return [
        Harm(
            file if found["met"] else f"{file}, more than it may, for want of room or of layers that help",
            found["drop"],
            [
                (_together(layer["names"]), f"{layer['error']:.2%}", "float" if layer["in_float"] else "INT8")
                for place, layer in enumerate(found["layers"])
                if place < n or layer["in_float"]
            ],
        )
        for file, found in (facts.get("searched") or {}).items()
    ]


def _together(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def sparsity_rows(facts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, before, after) from what `compress` wrote: sizes, work, and what is left of the accuracy on val."""
    deflated = f"{format_bytes(facts['compressed_bytes'])} of {format_bytes(facts['stored_bytes'])}"
    return [
        ("Weights", f"{facts['parameters_before']:,}", f"{facts['parameters_after']:,}"),
        (
            "Multiplications",
            format_millions(facts["multiplications_before"]),
            format_millions(facts["multiplications_after"]),
        ),
        ("Zeros", MISSING, f"{facts['zeros']:.1%}"),
        ("Float weights, deflated", MISSING, deflated),
        *(
            (name, format_figure(facts[f"{key}_before"]), format_figure(facts[key]))
            for name, key in (("val mAP50", "map50"), ("val mAP50–95", "map50_95"))
        ),
    ]


def format_millions(n: int) -> str:
    """
    >>> format_millions(123_456_789)
    '123.5 M'
    """
    return f"{n / 1e6:,.1f} M"


def _class_map50(name: str) -> Callable[[ModelFigures], float | None]:
    return lambda model: model.map50_by_class.get(name)


def model_row(
    name: str,
    models: Sequence[ModelFigures],
    value_of: Callable[[ModelFigures], float | None],
    template: str,
    *,
    unit: str = "",
) -> ModelRow | None:
    """None where no model has the value."""
    values = [value_of(model) for model in models]
    if all(value is None for value in values):
        return None
    written = tuple(MISSING if value is None else template.format(value) for value in values)
    return ModelRow(name, unit, written, _change(values[0], values[1], template) if len(values) == 2 else "")


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


FILTERS: Mapping[str, Callable[..., Any]] = {
    "dash": lambda text: text or MISSING,
    "duration": format_seconds,
    "figure": format_figure,
    "gate_name": gate_name,
    "glyph": lambda outcome: _GLYPHS[outcome][0],
    "interval": place_interval,
    # A link where the address is one; text where it might be a script.
    "is_address": lambda url: url.startswith(_OPEN_IN_BROWSER),
    "needed": needed,
    "outcome_word": lambda outcome: _GLYPHS[outcome][1],
    "range": interval_range,
    "needs_server": lambda url: url.startswith("http://127.0.0.1:"),
    "tally": tally,
    "thresholds": threshold_rows,
    "words": words,
}
"""What templates may ask of a value."""
