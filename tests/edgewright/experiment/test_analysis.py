"""What follows from finished runs, on hand-made numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.experiment.analysis import GATED, analyze, correlate, gated, labels_needed
from edgewright.report.experiment import headline, render_experiment

CURVE = {10: 0.1, 20: 0.2, 40: 0.3}


@pytest.mark.parametrize(
    ("reached", "needed", "beyond"),
    [
        (0.1, 10, False),  # the first point
        (0.05, 10, False),  # below it: that many at most
        (0.2, 20, False),
        (0.25, 20 * math.sqrt(2), False),  # half way in log n
        (0.3, 40, False),
        (0.31, 40, True),  # more than the most labels give
    ],
)
def test_labels_needed(reached, needed, beyond):
    found = labels_needed(CURVE, reached=reached)
    assert found == (pytest.approx(needed), beyond)


def test_a_dent_in_the_curve_is_ironed_out():
    """At 20 labels it went worse than at 10: isotonic regression gives both their mean."""
    assert labels_needed({10: 0.2, 20: 0.1, 40: 0.3}, reached=0.15)[0] == 10
    assert 20 < labels_needed({10: 0.2, 20: 0.1, 40: 0.3}, reached=0.2)[0] < 40


@given(st.dictionaries(st.integers(8, 500), st.floats(0, 1), min_size=2), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_never_needs_fewer_labels(curve, a, b):
    low, high = sorted((a, b))
    assert labels_needed(curve, reached=low)[0] <= labels_needed(curve, reached=high)[0] + 1e-6


def test_points_have_means_and_intervals(photographs):
    points = {(p.arm, p.labels): p for p in analyze(photographs, rounds=20).points}
    point = points["real", 25]
    assert (point.map50_95, point.map50, point.runs) == (pytest.approx(0.22), pytest.approx(0.44), 3)
    assert point.low == pytest.approx(0.22 - 2.920 * 0.02 / math.sqrt(3))


def test_one_run_has_no_interval(runs, photographs):
    points = analyze([*photographs, *runs("gan", {25: (0.3,)}, gate="pass")], rounds=20).points
    point = next(p for p in points if p.arm == "gan")
    assert (point.low, point.high) == (None, None)


def test_labels_saved_of_an_arm_that_doubles_them(runs, photographs):
    made = runs("compositor", {25: (0.30, 0.32, 0.34)}, gate="pass")
    saved = next(one for one in analyze([*photographs, *made], rounds=200).saved if one.arm == "compositor")
    assert (saved.needed, saved.ratio, saved.beyond) == (pytest.approx(50), pytest.approx(2), False)
    assert saved.low < 2 < saved.high


def test_beyond_the_curve_it_is_a_lower_bound(runs, photographs):
    made = runs("gan", {25: (0.9, 0.9, 0.9)}, gate="pass")
    saved = next(one for one in analyze([*photographs, *made], rounds=20).saved if one.arm == "gan")
    assert (saved.needed, saved.beyond) == (100, True)


def test_gains_pair_the_same_draw(runs, photographs):
    made = runs("gan", {25: (0.25, 0.22, 0.23)}, gate="pass")
    gains = analyze([*photographs, *made], rounds=20).gains["gan"][25]
    assert gains == pytest.approx([0.05, 0.0, -0.01])


def test_a_refused_set_gives_what_photographs_alone_give(runs, photographs):
    made = [*runs("gan", {25: (0.5,)}, gate="refuse"), *runs("diffusion", {25: (0.6,)}, gate="pass")]
    decided = {one.arm: one.map50_95 for one in gated([*photographs, *made])}
    assert decided == {"gan" + GATED: 0.20, "diffusion" + GATED: 0.6}


def test_not_evaluable_is_not_admitted(runs, photographs):
    made = runs("gan", {25: (0.5,)}, gate="not_evaluable")
    assert [one.map50_95 for one in gated([*photographs, *made])] == [0.20]


def test_a_refused_set_without_its_pair_is_left_out(runs):
    assert gated(runs("gan", {25: (0.5,)}, gate="refuse")) == []


def test_a_metric_that_foretells_the_gain_is_found(result):
    bases = ((25, 0.2), (50, 0.3), (100, 0.4))
    made = [
        result(
            f"gan-{n}-{draw}",
            arm="gan",
            labels=n,
            draw=draw,
            map50_95=base + gain,
            gate="pass",
            reference={"good": gain, "same": 1.0},
        )
        for n, base in bases
        for draw, gain in enumerate((0.01 * n / 25, 0.03 + n / 5000, 0.05 + n / 4000))
    ]
    real = [
        result(f"r{n}{d}", labels=n, draw=d, map50_95=base)
        for n, base in ((25, 0.2), (50, 0.3), (100, 0.4))
        for d in range(3)
    ]
    found = correlate([*real, *made])
    assert [(one.metric, one.rho, one.n) for one in found] == [("good", pytest.approx(1.0), 9)]  # "same" never varies


def test_too_few_sets_say_nothing(runs, photographs):
    made = runs("gan", {25: (0.3, 0.2, 0.4)}, gate="pass", reference={"x": 1.0})
    assert correlate([*photographs, *made]) == []


def test_the_page_says_the_answer_first(result, runs, photographs):
    made = runs("compositor", {25: (0.30, 0.32, 0.34)}, gate="refuse", reference={"fd_ratio": 1.0})
    everything = [*photographs, *made, result("all", arm="all_real", labels=None, n_photographs=190, map50_95=0.5)]
    analysis = analyze(everything, rounds=50)
    page = render_experiment(analysis, everything, b"png", project="<cells>")
    assert "do: 2.00 × [" in headline(analysis)
    assert "<cells>" not in page
    assert "n = 190" in page
    assert "refuse" in page


def test_the_curve_is_a_picture(photographs):
    import io

    from PIL import Image

    from edgewright.experiment.chart import draw_curve

    picture = Image.open(io.BytesIO(draw_curve(analyze(photographs, rounds=5), title="t")))
    assert picture.size == (1600, 1000)
    assert len(picture.convert("RGB").getcolors(maxcolors=1 << 20) or []) > 10
