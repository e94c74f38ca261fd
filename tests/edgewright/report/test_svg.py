"""Curves: round ticks, no line where nothing is finite, well-formed SVG."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.gates.verdict import compare
from edgewright.report.data import Curve, Series
from edgewright.report.svg import draw_curve, draw_interval, ticks

finite = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)
anything = st.floats(allow_nan=True, allow_infinity=True, width=32)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),  # shares
        (1, 30, [10, 20, 30]),  # epochs
        (0, 0.004, [0, 0.001, 0.002, 0.003, 0.004]),  # small losses
        (-5, 5, [-4, -2, 0, 2, 4]),  # both signs, and no minus zero
        (3, 3, [3]),  # no range
    ],
)
def test_ticks(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


@given(finite, finite)
def test_ticks_lie_in_range_and_rise(one, other):
    low, high = sorted((one, other))
    found = ticks(low, high)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert len(found) <= 12
    assert all(low - slack <= value <= high + slack for value in found)
    assert found == sorted(found)


@given(st.lists(anything, min_size=2, max_size=40))
def test_any_numbers_give_well_formed_svg(values):
    curve = Curve("t", "x", "y", [Series("<s>", range(len(values)), values)])
    drawn = draw_curve(curve)
    if sum(map(math.isfinite, values)) > 1:
        lines = ET.fromstring(drawn).findall("polyline")
        numbers = [float(part) for point in lines[0].get("points").split() for part in point.split(",")]
        assert all(map(math.isfinite, numbers))
    else:
        assert drawn == ""


def test_long_series_are_thinned_and_keep_their_end():
    drawn = draw_curve(Curve("t", "x", "y", [Series("s", range(5001), range(5001))]))
    points = ET.fromstring(drawn).find("polyline").get("points").split()
    assert len(points) <= 402
    assert points[-1].startswith("446.0,")


@pytest.mark.parametrize(
    ("check", "drawn"),
    [
        (compare("a", 0.9, at_least=0.8, low=0.85, high=0.95, n=9, set_at="s"), True),  # an interval
        (compare("a", 0.9, at_most=1.8, n=9, set_at="s"), True),  # a bare estimate
        (compare("a", 0.0, at_most=0.0, n=9, set_at="s"), True),  # everything at zero
        (compare("a", None, at_least=0.8, n=0, set_at="s"), False),  # not measured
    ],
)
def test_interval(check, drawn):
    assert bool(draw_interval(check)) == drawn
