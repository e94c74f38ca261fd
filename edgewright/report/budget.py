"""The page of a budget: what was picked or why nothing was, the front, every candidate, and the test, measured once.

Decides the words; the order stands in `templates/budget.html`. One file, no script, no request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewright.budget.pick import Limits, Picked, Point, front
from edgewright.budget.weighed import Weighed
from edgewright.report.charts import draw_intervals, draw_intervals_png
from edgewright.report.data import Curve, Series
from edgewright.report.shell import render_page
from edgewright.report.tables import format_bytes


def render_budget(
    points: Sequence[Point],
    picked: Picked,
    limits: Limits,
    tested: Weighed | None,
    *,
    project: str,
    failed: Mapping[str, str],
) -> str:
    """The whole page as HTML.

    Args:
        tested: what was picked, on test; None where nothing was.
        failed: candidate => why it could not be measured.
    """
    best = front(points)
    return render_page(
        "budget.html",
        project=project,
        n_points=len(points),
        headline=picked.sentence,
        limits=_limits(limits),
        tested=_tested(tested) if tested else "",
        curve=draw_intervals(front_curve(points, project=project)),
        rows=[_row(one, best, picked) for one in sorted(points, key=lambda one: (-one.steps, one.bytes))],
        failed=sorted(failed.items()),
    )


def draw_front_png(points: Sequence[Point], *, project: str) -> bytes:
    return draw_intervals_png(front_curve(points, project=project))


def front_curve(points: Sequence[Point], *, project: str) -> Curve:
    """mAP over bytes: a line a family, and one through those that no other beats."""
    families = dict.fromkeys(one.family for one in points)
    lines = [_series(name, [one for one in points if one.family == name]) for name in families]
    return Curve(
        f"{project}: INT8 size and accuracy, each after its last rung",
        "MB of the larger INT8 file",
        "mAP50-95 on val, the worse INT8 file",
        [*lines, _series("not beaten in bytes, time and mAP", front(points))],
    )


def _series(name: str, points: Sequence[Point]) -> Series:
    ordered = sorted(points, key=lambda one: one.bytes)
    heights = [one.map50_95 for one in ordered]
    return Series(name, [one.bytes / 1e6 for one in ordered], heights, low=heights, high=heights)


def _limits(limits: Limits) -> str:
    time = f", {limits.max_latency_ms:g} ms" if limits.max_latency_ms else ""
    return f"Within {limits.max_bytes:,} bytes, a drop of {limits.max_drop:g} from float to INT8{time}."


def _tested(found: Weighed) -> str:
    paired = found.paired
    if paired.difference is None or paired.low is None or paired.high is None:
        return f"On {found.n_images} test photographs nothing could be compared."
    return (
        f"On {found.n_images} test photographs, looked at once: mAP50-95 {found.map50_95:.3f} "
        f"(mAP50 {found.map50:.3f}) in INT8, {found.float_map50_95:.3f} in float: {paired.difference:+.4f}, "
        f"by bootstrap over images [{paired.low:+.4f}, {paired.high:+.4f}] (90 %)."
    )


def _row(point: Point, best: Sequence[Point], picked: Picked) -> tuple[str, ...]:
    mark = "picked" if point == picked.point else "front" if point in best else ""
    return (
        point.title,
        f"{point.steps}",
        f"{point.parameters:,}",
        format_bytes(point.bytes),
        f"{point.map50_95:.3f}",
        f"{point.drop:+.4f}",
        f"{point.p50_ms:.1f}",
        mark,
    )
