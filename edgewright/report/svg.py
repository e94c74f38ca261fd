"""Curves and intervals as inline SVG: no script, no font, no request. Colors come from the page's style sheet.

Decides ticks and scales. Series differ in dash as well as in color. Values that are not finite are left out.

>>> ticks(0, 0.87)
[0.0, 0.2, 0.4, 0.6, 0.8]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from edgewright.gates.verdict import Check
from edgewright.report.data import Curve, Series
from edgewright.report.markup import Markup, join, tag

WIDTH, HEIGHT = 460, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 12, 40
_MAX_POINTS = 400
N_STYLES = 6
"""How many series the style sheet tells apart; more of them repeat."""

Scale = Callable[[float], float]
Point = tuple[float, float]


def ticks(low: float, high: float, *, n: int = 5) -> list[float]:
    """About `n` round numbers in `[low, high]`: steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if not span > 1e-9 * max(abs(low), abs(high), 1e-290):
        return [low]
    rough = span / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{index * step:.12g}") + 0.0 for index in range(first, math.floor(high / step + 1e-9) + 1)]


def draw_curve(curve: Curve) -> Markup:
    """Axes, grid and one line a series; empty where no series has two finite points."""
    lines = [(number, _finite_points(series)) for number, series in enumerate(curve.series)]
    lines = [(number, points) for number, points in lines if len(points) > 1]
    if not lines:
        return Markup()
    xs = [x for _, points in lines for x, _ in points]
    ys = [y for _, points in lines for _, y in points]
    x_range, y_range = (min(xs), max(xs)), _y_range(ys)
    x_of = _scale(*x_range, start=_LEFT, end=WIDTH - _RIGHT)
    y_of = _scale(*y_range, start=HEIGHT - _BOTTOM, end=_TOP)
    return tag(
        "svg",
        _y_axis(ticks(*y_range), y_of),
        _x_axis(ticks(*x_range), x_of),
        tag("text", curve.x_label, x=(WIDTH + _LEFT - _RIGHT) / 2, y=HEIGHT - 4, class_="axis", text_anchor="middle"),
        [_line(number, points, x_of, y_of) for number, points in lines],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=_spoken(curve, lines),
        class_="curve",
    )


def draw_swatch(number: int) -> Markup:
    """The line of series `number`, for a legend."""
    line = tag("line", x1=0, y1=5, x2=26, y2=5, class_=f"series s{number % N_STYLES}")
    return tag("svg", line, viewBox="0 0 26 10", class_="swatch", aria_hidden="true")


def draw_interval(check: Check) -> Markup:
    """Estimate (dot), interval (bar) and threshold (tick) on one line; empty without an estimate or a threshold."""
    if check.value is None or check.threshold is None:
        return Markup()
    low = check.value if check.low is None else check.low
    high = check.value if check.high is None else check.high
    numbers = (low, high, check.value, check.threshold)
    if not all(map(math.isfinite, numbers)):
        return Markup()
    margin = (max(numbers) - min(numbers)) * 0.2 or abs(check.threshold) * 0.2 or 1.0
    x_of = _scale(min(numbers) - margin, max(numbers) + margin, start=0, end=120)
    threshold = x_of(check.threshold)
    return tag(
        "svg",
        _allowed_side(threshold, check.comparison),
        tag("line", x1=_number(x_of(low)), x2=_number(x_of(high)), y1=9, y2=9, class_="bar"),
        tag("line", x1=_number(threshold), x2=_number(threshold), y1=1, y2=17, class_="limit"),
        tag("circle", cx=_number(x_of(check.value)), cy=9, r=3.5, class_="dot"),
        viewBox="0 0 120 18",
        class_="interval",
        aria_hidden="true",
    )


def _allowed_side(threshold: float, comparison: str) -> Markup:
    x, width = (threshold, 120 - threshold) if comparison == ">=" else (0.0, threshold)
    return tag("rect", x=_number(x), y=4, width=_number(max(0.0, width)), height=10, class_="allowed")


def _finite_points(series: Series) -> list[Point]:
    """At most _MAX_POINTS of a series, evenly, its last one kept."""
    pairs = zip(series.x, series.y, strict=True)
    points = [(float(x), float(y)) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    step = max(1, math.ceil(len(points) / _MAX_POINTS))
    return points[::step] + (points[-1:] if step > 1 and (len(points) - 1) % step else [])


def _y_range(values: Sequence[float]) -> tuple[float, float]:
    """From zero where that costs little room; shares end at 1."""
    low, high = min(values), max(values)
    if 0 <= low < 0.5 * high or low == high:
        low = min(0.0, low)
    if 0.6 < high <= 1 and low == 0:
        high = 1.0
    return (low, high) if high > low else (low, low + 1)


def _scale(low: float, high: float, *, start: float, end: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _y_axis(values: Sequence[float], y_of: Scale) -> Markup:
    rows = []
    for value in values:
        y = _number(y_of(value))
        rows.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        rows.append(tag("text", f"{value:g}", x=_LEFT - 8, y=_number(y_of(value) + 4), text_anchor="end"))
    return join(rows)


def _x_axis(values: Sequence[float], x_of: Scale) -> Markup:
    y = HEIGHT - _BOTTOM
    labels = [tag("text", f"{v:g}", x=_number(x_of(v)), y=y + 17, text_anchor="middle") for v in values]
    return join(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="base"), labels)


def _line(number: int, points: Sequence[Point], x_of: Scale, y_of: Scale) -> Markup:
    path = " ".join(f"{_number(x_of(x))},{_number(y_of(y))}" for x, y in points)
    return tag("polyline", points=path, class_=f"series s{number % N_STYLES}")


def _spoken(curve: Curve, lines: Sequence[tuple[int, list[Point]]]) -> str:
    ends = "; ".join(f"{curve.series[number].name} ends at {points[-1][1]:.3g}" for number, points in lines)
    return f"{curve.title}: {curve.y_label} over {curve.x_label}. {ends}"


def _number(value: float) -> str:
    return f"{value:.1f}"
