"""Charts, all of them in one style: matplotlib's geometry as SVG in the page, or as PNG where a file is wanted.

Decides ranges, ticks, dashes and markers: lines differ in more than their color. The SVG brings no color and no font of
its own: it takes the page's, so that it is read in the light and in the dark. It holds no date and no random name: the
same data give the same bytes. Values that are not finite are left out; without two finite points there is no picture.

    draw_curves([Curve("Training", "epoch", "mAP", [Series("mAP50", epochs, scores)])])[0].svg
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from markupsafe import Markup

from edgewright.report.data import Curve, Series

if TYPE_CHECKING:  # half a second, which only who draws pays
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES: tuple[tuple[float, ...], ...] = ((), (7, 5), (1.5, 5), (12, 4, 2, 4), (14, 6), (4, 3))
_MARKERS = "osD^vP*X<"
_COLORS = ("ink", "muted", "rule", *(f"s{number}" for number in range(len(_DASHES))))
"""The style sheet's variables that charts use; a line's is `s` and its number."""
_MAX_POINTS = 400
_PNG_DPI = 144
Palette = Mapping[str, str]
"""Variable => #rrggbb."""


@dataclass(frozen=True)
class LineStyle:
    """How a line looks, for its legend: CSS."""

    color: str
    dashes: str


@dataclass(frozen=True)
class DrawnCurve:
    curve: Curve
    svg: Markup
    styles: tuple[LineStyle, ...]


@dataclass(frozen=True)
class _Frame:
    """A picture's size and the margins of what is drawn in it, px (matplotlib's pt)."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int


_SMALL = _Frame(460, 270, left=46, right=14, top=12, bottom=40)
_LARGE = _Frame(800, 500, left=58, right=14, top=40, bottom=48)


def draw_curves(curves: Iterable[Curve]) -> list[DrawnCurve]:
    """Small charts, for a grid of them, legends apart; without those that have nothing to show."""
    return [DrawnCurve(curve, svg, _styles(curve)) for curve in curves if (svg := _draw_small(curve))]


def draw_points(curves: Iterable[Curve]) -> list[DrawnCurve]:
    """Small charts of points, a color a series; without those that have nothing to show."""
    shown = (replace(curve, series=[one for one in curve.series if len(one.x)]) for curve in curves)
    with _house_style():
        return [
            DrawnCurve(curve, _as_markup(_plot_points(curve, _SENTINELS), curve), _styles(curve))
            for curve in shown
            if curve.series
        ]


def draw_intervals(curve: Curve) -> Markup:
    """A large chart with an interval at every point, over the logarithm of x, with title and legend in it."""
    with _house_style():
        return _as_markup(_plot_intervals(curve, _SENTINELS), curve)


def draw_intervals_png(curve: Curve) -> bytes:
    """The same as a file, 1600 × 1000 px, in the colors of the light page."""
    buffer = io.BytesIO()
    with _house_style():
        figure = _plot_intervals(curve, _light_palette())
        figure.savefig(buffer, format="png", dpi=_PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _draw_small(curve: Curve) -> Markup:
    thinned = replace(curve, series=[_finite(series) for series in curve.series])
    if not any(len(series.x) > 1 for series in thinned.series):
        return Markup()
    with _house_style():
        return _as_markup(_plot_lines(thinned, _SENTINELS), thinned)


def _plot_lines(curve: Curve, palette: Palette) -> Figure:
    figure, axes = _empty(_SMALL, curve, palette)
    for number, series in enumerate(curve.series):
        if len(series.x) > 1:
            axes.plot(series.x, series.y, **_look(number, palette))
    shown = [series for series in curve.series if len(series.x) > 1]
    axes.set_xlim(*_wide(min(min(one.x) for one in shown), max(max(one.x) for one in shown)))
    axes.set_ylim(*_y_range([value for one in shown for value in one.y]))
    return figure


def _plot_points(curve: Curve, palette: Palette) -> Figure:
    figure, axes = _empty(_SMALL, curve, palette)
    for number, series in enumerate(curve.series):
        mark = _MARKERS[number % len(_MARKERS)]
        axes.plot(series.x, series.y, mark, color=palette[_color(number)], markersize=3, markeredgewidth=0, alpha=0.6)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    return figure


def _plot_intervals(curve: Curve, palette: Palette) -> Figure:
    figure, axes = _empty(_LARGE, curve, palette)
    for number, series in enumerate(curve.series):
        shift = 1 + 0.012 * (number - len(curve.series) / 2)  # so that intervals at one x can be told apart
        axes.errorbar(
            [x * shift for x in series.x],
            series.y,
            yerr=[_lengths(series.y, series.low), _lengths(series.y, series.high)],
            label=series.name,
            marker=_MARKERS[number % len(_MARKERS)],
            capsize=3,
            **_look(number, palette),
        )
    ticks = sorted({x for series in curve.series for x in series.x})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.minorticks_off()
    axes.set_title(curve.title, color=palette["ink"])
    axes.set_ylabel(curve.y_label, color=palette["muted"])
    axes.legend(frameon=False, labelcolor=palette["ink"])
    return figure


def _empty(frame: _Frame, curve: Curve, palette: Palette) -> tuple[Figure, Axes]:
    """The house's axes: a base line, horizontal rules, no box, few ticks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure = Figure(figsize=(frame.width / 72, frame.height / 72))
    FigureCanvasAgg(figure)
    width, height = frame.width - frame.left - frame.right, frame.height - frame.top - frame.bottom
    area = (frame.left / frame.width, frame.bottom / frame.height, width / frame.width, height / frame.height)
    axes = figure.add_axes(area, facecolor="none")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
    axes.tick_params(length=0, labelcolor=palette["muted"], pad=7)
    axes.grid(axis="y", color=palette["rule"], linewidth=1)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(palette["muted"])
    axes.set_xlabel(curve.x_label, color=palette["muted"], labelpad=8)
    return figure, axes


def _look(number: int, palette: Palette) -> dict[str, Any]:
    dashes = _DASHES[number % len(_DASHES)]
    return {
        "color": palette[_color(number)],
        "linestyle": (0, dashes) if dashes else "solid",
        "linewidth": 2.2,
        "solid_capstyle": "round",
        "dash_capstyle": "round",
    }


def _color(number: int) -> str:
    return f"s{number % len(_DASHES)}"


def _styles(curve: Curve) -> tuple[LineStyle, ...]:
    return tuple(
        LineStyle(f"var(--{_color(number)})", " ".join(f"{px:g}" for px in _DASHES[number % len(_DASHES)]))
        for number in range(len(curve.series))
    )


def _lengths(values: Sequence[float], ends: Sequence[float]) -> list[float]:
    """How far an interval's end lies from its point; nothing where there is no interval."""
    return [abs(end - value) for value, end in zip(values, ends or values, strict=True)]


def _finite(series: Series) -> Series:
    """At most _MAX_POINTS of a series, evenly, its last one kept."""
    pairs = zip(series.x, series.y, strict=True)
    points = [(float(x), float(y)) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    step = max(1, math.ceil(len(points) / _MAX_POINTS))
    kept = points[::step] + (points[-1:] if step > 1 and (len(points) - 1) % step else [])
    return Series(series.name, [x for x, _ in kept], [y for _, y in kept])


def _y_range(values: Sequence[float]) -> tuple[float, float]:
    """From zero where that costs little room; shares end at 1."""
    low, high = min(values), max(values)
    if 0 <= low < 0.5 * high or low == high:
        low = min(0.0, low)
    if 0.6 < high <= 1 and low == 0:
        high = 1.0
    return _wide(low, high)


def _wide(low: float, high: float) -> tuple[float, float]:
    """A range that is one: numbers apart too little for floating point would stand on one another."""
    least = 1e-9 * max(abs(low), abs(high), 1e-290)
    return (low, high) if high - low > least else (low, low + (abs(low) or 1.0))


# --------------------------------------------------------------- SVG for a page

_SENTINELS: Palette = {name: f"#0000{number:02x}" for number, name in enumerate(_COLORS, start=1)}
"""Nearly black, each a name: what matplotlib writes, until the page's variables take their place."""
_KEPT = {"path": ("d", "style", "transform"), "text": ("x", "y", "style", "transform"), "use": ("x", "y", "style")}
_FONT = re.compile(r"font(-family)?:[^;]*;\s*")
_NUMBER = re.compile(r"-?\d+\.\d+(e-?\d+)?")


@contextmanager
def _house_style() -> Iterator[None]:
    """matplotlib's defaults whatever the user's own are, text as text, names that depend on the data alone."""
    from matplotlib import style

    house = {
        "font.size": 12,
        "axes.titlesize": 12,
        "lines.scale_dashes": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "edgewright",
        "text.parse_math": False,  # a project may be called a$b$c
    }
    with style.context(["default", house]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's browser has it
        yield


@cache
def _light_palette() -> Palette:
    """The style sheet's own colors: they stand there alone."""
    sheet = files("edgewright.report").joinpath("templates/page.css").read_text(encoding="utf-8")
    light = sheet[: sheet.index("}")]
    return {name: re.findall(rf"--{name}: (#[0-9a-f]{{6}})", light)[0] for name in _COLORS}


def _as_markup(figure: Figure, curve: Curve) -> Markup:
    """What is drawn and nothing else: matplotlib's style sheet would reach the whole page, its clips would ask for
    addresses, its names would meet those of the next chart."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawn = ET.fromstring(buffer.getvalue())  # noqa: S314 - written above
    width, height = figure.get_size_inches() * 72
    svg = ET.Element("svg", viewBox=f"0 0 {width:g} {height:g}", role="img")
    svg.attrib |= {"class": "curve", "aria-label": _spoken(curve)}
    marks = {element.get("id"): element for defs in drawn.iter(_svg("defs")) for element in defs.iter(_svg("path"))}
    if marks:
        svg.append(defs := ET.Element("defs"))
        defs.extend(_bare(mark, id=str(name)) for name, mark in marks.items())
    inside = set(map(id, marks.values()))
    svg.extend(_bare(element) for element in drawn.iter() if _name(element) in _KEPT and id(element) not in inside)
    text = ET.tostring(svg, encoding="unicode")
    for name, sentinel in _SENTINELS.items():
        text = text.replace(sentinel, f"var(--{name})")
    return Markup(text)  # noqa: S704 - its text was escaped when it was written


def _bare(element: ET.Element, **attributes: str) -> ET.Element:
    """An element without its names and fonts, its numbers to a hundredth of a px."""
    name = _name(element)
    found = {key: _short(value) for key in _KEPT[name] if (value := element.get(key)) and "rotate(-0" not in value}
    if target := element.get("{http://www.w3.org/1999/xlink}href"):
        found["href"] = target
    bare = ET.Element(name, attributes | found)
    bare.text = element.text if name == "text" else None
    return bare


def _short(value: str) -> str:
    rounded = _NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), _FONT.sub("", value))
    return " ".join(rounded.split())


def _svg(name: str) -> str:
    return f"{{http://www.w3.org/2000/svg}}{name}"


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _spoken(curve: Curve) -> str:
    ends = "; ".join(f"{one.name} ends at {one.y[-1]:.3g}" for one in curve.series if len(one.y))
    return f"{curve.title}: {curve.y_label} over {curve.x_label}. {ends}"
