"""The label-efficiency curve as a picture: mAP50-95 over the number of labels, an interval at every point."""

from __future__ import annotations

import io
from collections import defaultdict

from edgewright.experiment.analysis import GATED, Analysis, Point
from edgewright.experiment.arms import ARMS

_COLORS = ("#222222", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b2182b")
"""Okabe and Ito's palette, told apart by color-blind readers too; markers differ as well."""
_MARKERS = "osD^vP*X<"


def draw_curve(analysis: Analysis, *, title: str) -> bytes:
    """PNG bytes, 1600 × 1000 px."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.25), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    by_arm: dict[str, list[Point]] = defaultdict(list)
    for point in analysis.points:
        if not point.arm.endswith(GATED):
            by_arm[point.arm].append(point)
    for place, arm in enumerate(name for name in ARMS if name in by_arm):
        points, shift = sorted(by_arm[arm], key=lambda one: one.labels), 1 + 0.012 * (place - len(by_arm) / 2)
        axes.errorbar(
            [point.labels * shift for point in points],
            [point.map50_95 for point in points],
            yerr=[[_length(point, side) for point in points] for side in ("low", "high")],
            label=_title(arm, points),
            color=_COLORS[place % len(_COLORS)],
            marker=_MARKERS[place % len(_MARKERS)],
            linewidth=1.6,
            capsize=3,
        )
    axes.set_xscale("log")
    ticks = sorted({point.labels for point in analysis.points})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_xlabel("labeled photographs")
    axes.set_ylabel("mAP50-95 on the test photographs")
    axes.set_title(f"{title}: label efficiency (bars: one-sided 95 % either way, over draws)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _title(arm: str, points: list[Point]) -> str:
    fewest, most = min(point.runs for point in points), max(point.runs for point in points)
    return f"{ARMS[arm].title} ({fewest if fewest == most else f'{fewest}–{most}'} runs)"


def _length(point: Point, side: str) -> float:
    end = point.low if side == "low" else point.high
    return 0.0 if end is None else abs(end - point.map50_95)
