"""The page of a budget: what was picked stands first, and every candidate stands there."""

from __future__ import annotations

from dataclasses import replace

from edgewright.budget.pick import Limits, Point, pick
from edgewright.budget.weighed import Weighed
from edgewright.detect.bootstrap import Paired
from edgewright.report.budget import draw_front_png, front_curve, render_budget

LIMITS = Limits(2_000_000, 0.005, 10.0)
POINTS = [
    Point("slim <a>", "yolo", 400, 787_817, 900_000, 0.51, 0.508, 5.0),
    Point("lite", "efficientdet", 400, 1_000_000, 1_220_000, 0.61, 0.608, 8.0),
    Point("beaten", "yolo", 100, 1_500_000, 1_800_000, 0.41, 0.4, 9.0),
]
TESTED = Weighed(1_220_000, 1_000_000, 0.6, 0.597, 0.9, 66, Paired(0.597, 0.6, -0.003, -0.008, 0.002, 66, 500))


def page(points: list[Point], limits: Limits, tested: Weighed | None = None) -> str:
    return render_budget(points, pick(points, limits), limits, tested, project="parts", failed={"odd": "no <memory>"})


def test_what_is_picked_stands_first_with_its_test() -> None:
    html = page(POINTS, LIMITS, TESTED)
    assert html.index("lite: 1,220,000 bytes") < html.index("<svg")
    assert "Within 2,000,000 bytes, a drop of 0.005 from float to INT8, 10 ms." in html
    assert "-0.0030, by bootstrap over images [-0.0080, +0.0020]" in html
    for text in ("slim &lt;a&gt;", "beaten", "no &lt;memory&gt;", "1.22 MB", "picked", "front"):
        assert text in html
    assert "<a>" not in html


def test_without_a_pick_it_says_why_and_no_test_was_looked_at() -> None:
    html = page(POINTS, replace(LIMITS, max_bytes=100_000))
    assert "at most 100,000 bytes, where the smallest, slim &lt;a&gt;, has 900,000" in html
    assert "test photographs, looked at" not in html
    assert ">picked<" not in html


def test_the_curve_has_a_line_a_family_and_the_front() -> None:
    lines = {one.name: list(zip(one.x, one.y, strict=True)) for one in front_curve(POINTS, project="parts").series}
    assert lines["yolo"] == [(0.9, 0.508), (1.8, 0.4)]
    assert lines["not beaten in bytes, time and mAP"] == [(0.9, 0.508), (1.22, 0.608)]
    assert draw_front_png(POINTS, project="parts").startswith(b"\x89PNG")
