"""Charts: no line where nothing is finite, well-formed SVG that takes its colors and its font from the page."""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgewright.gates.verdict import Check, compare
from edgewright.report.charts import draw_curves, draw_intervals, draw_intervals_png, draw_points
from edgewright.report.data import Curve, Series
from edgewright.report.interval import WIDTH_PX, place_interval

anything = st.floats(allow_nan=True, allow_infinity=True, width=32)
HOSTILE = """<script>alert(1)</script>"'&amp;{{}} $\\frac{1}$ 日本"""
ARMS = Curve(
    "label efficiency",
    "labeled photographs",
    "mAP",
    [Series(f"arm {number}", [25, 50, 100], [0.2, 0.3, 0.4], [0.1, 0.2, 0.3], [0.3, 0.4, 0.5]) for number in range(11)],
)


def of(*values: float, x: Sequence[float] | None = None) -> Curve:
    return Curve("t", "x", "y", [Series("<s>", x or range(len(values)), values)])


def lines(svg: str) -> list[list[tuple[float, float]]]:
    """The points of each line in a chart's color, px."""
    paths = [path for path in ET.fromstring(svg).iter("path") if "stroke: var(--s" in path.get("style", "")]
    return [[(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path.get("d"))] for path in paths]


def ticks(svg: str) -> tuple[list[float], list[float]]:
    """Numbers along x, then along y."""
    found = {"middle": [], "end": []}
    for text in ET.fromstring(svg).iter("text"):
        if re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", text.text):
            found["end" if "end" in text.get("style") else "middle"].append(float(text.text))
    return found["middle"], found["end"]


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([0, 4000], [0.0, 0.9], ([0, 1000, 2000, 3000, 4000], [0, 0.2, 0.4, 0.6, 0.8, 1.0])),  # shares end at 1
        ([1, 30], [5.0, 0.1], ([5, 10, 15, 20, 25, 30], [0, 1, 2, 3, 4, 5])),  # losses begin at 0
        ([0, 1], [0.0, 0.004], ([0, 0.2, 0.4, 0.6, 0.8, 1], [0, 0.001, 0.002, 0.003, 0.004])),
        ([0, 1], [-5.0, 5.0], ([0, 0.2, 0.4, 0.6, 0.8, 1], [-4, -2, 0, 2, 4])),  # both signs, and no minus zero
        ([0, 1], [90.0, 100.0], ([0, 0.2, 0.4, 0.6, 0.8, 1], [90, 92, 94, 96, 98, 100])),  # zero would cost the room
    ],
)
def test_few_round_ticks(x: list[float], y: list[float], expected: tuple[list[float], list[float]]) -> None:
    [drawn] = draw_curves([of(*y, x=x)])
    assert ticks(drawn.svg) == expected
    assert ">-0<" not in drawn.svg


@given(st.lists(anything, min_size=2, max_size=40))
@settings(max_examples=40)
def test_any_numbers_give_well_formed_svg(values: list[float]) -> None:
    drawn = draw_curves([of(*values)])
    if sum(map(math.isfinite, values)) > 1:
        [line] = lines(drawn[0].svg)
        assert all(math.isfinite(x) and -1 <= x <= 461 and -1 <= y <= 271 for x, y in line)
    else:
        assert drawn == []


def test_long_series_are_thinned_and_keep_their_end() -> None:
    noise = [math.sin(7 * x) for x in range(5001)]
    [line] = lines(draw_curves([of(*noise)])[0].svg)
    assert 100 < len(line) <= 402
    assert line[-1][0] == 446


@pytest.mark.parametrize(
    "svg",
    [draw_curves([of(0, 1)])[0].svg, draw_points([of(10, 20)])[0].svg, draw_intervals(ARMS)],
    ids=["small", "points", "intervals"],
)
def test_a_chart_brings_nothing_that_reaches_beyond_it(svg: str) -> None:
    """Neither a style sheet nor an address, no font and no color of its own."""
    root = ET.fromstring(svg)
    assert {element.tag for element in root.iter()} <= {"svg", "g", "path", "text", "use", "defs"}
    assert not re.search(r"url\(|http|font-family|<style|#[0-9a-f]{6}\b(?!\")", svg)
    named = {element.get("id") for element in root.iter() if element.get("id")}
    assert {element.get("href") for element in root.iter("use")} == {f"#{name}" for name in named}


def test_points_are_drawn_where_there_are_any() -> None:
    [drawn] = draw_points([of(10, 20, 30), of()])
    assert drawn.svg.count("<use") == 3


def test_lines_differ_in_more_than_color() -> None:
    [drawn] = draw_curves([Curve("t", "x", "y", [Series("s", [1, 2], [1, 2])] * 6)])
    assert len({style.dashes for style in drawn.styles}) == len({style.color for style in drawn.styles}) == 6
    styles = [path.get("style") for path in ET.fromstring(drawn.svg).iter("path") if "var(--s" in path.get("style")]
    dashes = [re.search(r"dasharray: ([\d.,]+)", style) for style in styles]
    assert [found[1].replace(",", " ") if found else "" for found in dashes] == [s.dashes for s in drawn.styles]


def test_hostile_text_stays_text() -> None:
    hostile = Curve(HOSTILE, HOSTILE, HOSTILE, [Series(HOSTILE, [1, 2], [1, 2], [0, 1], [2, 3])])
    for svg in (draw_curves([hostile])[0].svg, draw_intervals(hostile)):
        assert "<script" not in svg
        root = ET.fromstring(svg)
        assert HOSTILE in root.get("aria-label")
        assert HOSTILE in [text.text for text in root.iter("text")]


def test_the_same_data_give_the_same_bytes_whatever_a_user_has_set(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nlines.linewidth: 9\naxes.grid: True\nsvg.fonttype: path\n")
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); from test_charts import ARMS, of\n"
        "from edgewright.report.charts import draw_curves, draw_intervals\n"
        "print(hashlib.sha256((draw_curves([of(0, 1)])[0].svg + draw_intervals(ARMS)).encode()).hexdigest())"
    )
    environment = {**os.environ, "MATPLOTLIBRC": str(tmp_path), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code, os.path.dirname(__file__)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert told == hashlib.sha256((draw_curves([of(0, 1)])[0].svg + draw_intervals(ARMS)).encode()).hexdigest()


def test_an_arm_without_an_interval_has_a_point_and_no_bar() -> None:
    bare = Curve("t", "x", "y", [Series("s", [25, 50], [0.2, 0.3])])
    heights = [max(y for _, y in line) - min(y for _, y in line) for line in lines(draw_intervals(bare))]
    assert sorted(heights)[:-2] == [0] * (len(heights) - 2)  # all but the line itself and the legend's sample


def test_the_file_is_a_picture_in_the_colors_of_the_light_page() -> None:
    png = draw_intervals_png(ARMS)
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    colors = {color for _, color in picture.getcolors(maxcolors=1 << 20)}
    assert picture.size == (1600, 1000)
    assert {(0x0B, 0x6A, 0x66), (0xB4, 0x46, 0x0F)} <= colors
    assert png == draw_intervals_png(ARMS)


@pytest.mark.parametrize(
    ("check", "drawn"),
    [
        (compare("a", 0.9, at_least=0.8, low=0.85, high=0.95, n=9, set_at="s"), True),  # an interval
        (compare("a", 0.9, at_most=1.8, n=9, set_at="s"), True),  # a bare estimate
        (compare("a", 0.0, at_most=0.0, n=9, set_at="s"), True),  # everything at zero
        (compare("a", None, at_least=0.8, n=0, set_at="s"), False),  # not measured
    ],
)
def test_interval(check: Check, drawn: bool) -> None:
    place = place_interval(check)
    assert bool(place) == drawn
    if place:
        assert 0 <= place.low <= place.value <= place.high <= WIDTH_PX
        end = place.allowed_from + place.allowed_width
        assert (place.allowed_from, end) == (
            (place.threshold, WIDTH_PX) if check.comparison == ">=" else (0, place.threshold)
        )
