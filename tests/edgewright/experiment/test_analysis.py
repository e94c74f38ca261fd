"""What follows from finished runs, on hand-made numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from edgewright.experiment.analysis import GATED, Analysis, analyze, correlate, gated
from edgewright.experiment.results import Result
from edgewright.experiment.saved import Bound, Saved
from edgewright.report.experiment import efficiency_curve, headline, render_experiment

MakeResult = Callable[..., Result]
Runs = Callable[..., list[Result]]


def test_points_have_means_and_intervals(photographs: list[Result]) -> None:
    points = {(p.arm, p.labels): p for p in analyze(photographs, rounds=20).points}
    point = points["real", 25]
    assert (point.map50_95, point.map50, point.runs) == (pytest.approx(0.22), pytest.approx(0.44), 3)
    assert point.low == pytest.approx(0.22 - 2.920 * 0.02 / math.sqrt(3))


def test_one_run_has_no_interval(runs: Runs, photographs: list[Result]) -> None:
    points = analyze([*photographs, *runs("gan", {25: (0.3,)}, gate="pass")], rounds=20).points
    point = next(p for p in points if p.arm == "gan")
    assert (point.low, point.high) == (None, None)


def test_seeds_of_one_draw_count_once(runs: Runs) -> None:
    """Two draws of two seeds each: as many points for Student's t as draws, not as runs."""
    scores = {0: (0.2, 0.4), 1: (0.5, 0.7)}
    made = [
        one for seed in (0, 1) for one in runs("real", {25: tuple(scores[draw][seed] for draw in (0, 1))}, seed=seed)
    ]
    point = analyze(made, rounds=5).points[0]
    assert (point.draws, point.runs, point.map50_95) == (2, 4, pytest.approx(0.45))
    assert point.low == pytest.approx(0.45 - 6.314 * math.sqrt(0.045) / math.sqrt(2), abs=1e-3)


def saved_of(found: Analysis, arm: str, reference: str = "real") -> Saved:
    return next(one for one in found.saved if (one.arm, one.reference) == (arm, reference))


def test_labels_saved_of_an_arm_that_doubles_them(runs: Runs, photographs: list[Result]) -> None:
    made = runs("compositor", {25: (0.30, 0.32, 0.34)}, gate="pass")
    saved = saved_of(analyze([*photographs, *made], rounds=200), "compositor")
    assert (saved.needed.n, saved.ratio.n, saved.ratio.bound) == (pytest.approx(50), pytest.approx(2), Bound.NONE)
    assert (saved.low.n, saved.high.n) == pytest.approx((2, 2))  # draw by draw, the arm does what 50 do


def test_beyond_the_curve_it_is_a_lower_bound(runs: Runs, photographs: list[Result]) -> None:
    made = runs("gan", {25: (0.9, 0.9, 0.9)}, gate="pass")
    saved = saved_of(analyze([*photographs, *made], rounds=20), "gan")
    assert (saved.needed.n, saved.needed.bound, saved.low.bound) == (100, Bound.AT_LEAST, Bound.AT_LEAST)


def test_harm_is_an_upper_bound_and_not_a_draw(runs: Runs, photographs: list[Result]) -> None:
    made = runs("gan", {25: (0.05, 0.05, 0.05)}, gate="pass")
    found = analyze([*photographs, *made], rounds=20)
    assert saved_of(found, "gan").ratio.bound is Bound.AT_MOST
    assert saved_of(found, "gan").high.bound is Bound.AT_MOST
    assert "at most 25" in headline(found)


def test_the_compositor_is_a_reference_by_its_own_runs_alone(
    runs: Runs, photographs: list[Result], result: MakeResult
) -> None:
    whole = result("all", arm="all_real", labels=None, n_photographs=190, map50_95=0.3)
    composed = runs("compositor", {25: (0.3, 0.3, 0.3), 50: (0.5, 0.5, 0.5)}, gate="pass")
    made = runs("gan", {25: (0.4, 0.4, 0.4)}, gate="pass")
    saved = saved_of(analyze([*photographs, whole, *composed, *made], rounds=20), "gan", "compositor")
    assert saved.needed.n == pytest.approx(25 * math.sqrt(2))


def test_gains_pair_the_same_draw(runs: Runs, photographs: list[Result]) -> None:
    made = runs("gan", {25: (0.25, 0.22, 0.23)}, gate="pass", by_class={"a": 0.35})
    gain = next(one for one in analyze([*photographs, *made], rounds=20).gains if one.arm == "gan")
    assert (gain.labels, gain.pairs) == (25, pytest.approx((0.05, 0.0, -0.01)))
    assert gain.interval.low < gain.mean < gain.interval.high
    assert gain.by_class == {"a": pytest.approx(0.10)}


def test_a_refused_set_gives_what_photographs_alone_give(runs: Runs, photographs: list[Result]) -> None:
    made = [*runs("gan", {25: (0.5,)}, gate="refuse"), *runs("diffusion", {25: (0.6,)}, gate="pass")]
    decided = {one.arm: one.map50_95 for one in gated([*photographs, *made])}
    assert decided == {"gan" + GATED: 0.20, "diffusion" + GATED: 0.6}


def test_not_evaluable_is_not_admitted(runs: Runs, photographs: list[Result]) -> None:
    made = runs("gan", {25: (0.5,)}, gate="not_evaluable")
    assert [one.map50_95 for one in gated([*photographs, *made])] == [0.20]


def test_a_refused_set_without_its_pair_is_left_out(runs: Runs) -> None:
    assert gated(runs("gan", {25: (0.5,)}, gate="refuse")) == []


ARMS = ("compositor", "diffusion", "gan")


def judged(
    result: MakeResult, gains: Mapping[tuple[int, int], tuple[float, ...]], reference: Callable[..., dict[str, float]]
) -> list[Result]:
    """(n, draw) => the gain of each arm; a baseline that goes up and down with n and draw."""
    made = []
    for (n, draw), by_arm in gains.items():
        level = 0.2 + n / 250 + 0.1 * draw
        made.append(result(f"r{n}{draw}", labels=n, draw=draw, map50_95=level))
        made += [
            result(
                f"{arm}{n}{draw}",
                arm=arm,
                labels=n,
                draw=draw,
                map50_95=level + gain,
                gate="pass",
                reference=reference(n, draw, gain),
            )
            for arm, gain in zip(ARMS, by_arm, strict=True)
        ]
    return made


GAINS = {
    (25, 0): (0.05, 0.06, 0.08),
    (25, 1): (0.03, 0.09, 0.04),
    (50, 0): (0.01, 0.0, 0.02),
    (50, 1): (0.02, 0.07, 0.0),
}


def test_a_metric_that_foretells_the_gain_is_found(result: MakeResult) -> None:
    rng = np.random.default_rng(0)
    noise = {f"noise {place}": rng.normal(size=99).tolist() for place in range(20)}
    found = correlate(
        judged(
            result,
            GAINS,
            lambda *where: {
                "good": 3 * where[2] + where[1],
                "same": 1.0,
                **{name: noise[name].pop() for name in noise},
            },
        )
    )
    assert (found[0].metric, found[0].rho, found[0].n) == ("good", pytest.approx(1.0), 12)
    assert found[0].p < 0.05
    assert len(found) == 21  # "same" never varies
    assert found[1].p > 0.2  # the strongest of twenty that know nothing


def test_a_metric_that_only_knows_n_and_the_draw_foretells_nothing(result: MakeResult) -> None:
    """Over all of them it rises with the score; among sets of the same photographs it is the same."""
    assert correlate(judged(result, GAINS, lambda n, draw, _: {"where": n + 100.0 * draw})) == []


def test_sets_without_another_of_the_same_photographs_say_nothing(result: MakeResult) -> None:
    alone = {(n, draw): (0.1, 0.2, 0.3) for n in (25, 50) for draw in range(4)}
    made = [one for one in judged(result, alone, lambda *_: {"x": float(_[2])}) if one.arm in ("real", "gan")]
    assert correlate(made) == []


def test_too_few_sets_say_nothing(runs: Runs, photographs: list[Result]) -> None:
    made = runs("gan", {25: (0.3, 0.2, 0.4)}, gate="pass", reference={"x": 1.0})
    assert correlate([*photographs, *made]) == []


def test_the_page_says_the_answer_first(result: MakeResult, runs: Runs, photographs: list[Result]) -> None:
    made = runs("compositor", {25: (0.30, 0.32, 0.34)}, gate="refuse", reference={"fd_ratio": 1.0})
    everything = [*photographs, *made, result("all", arm="all_real", labels=None, n_photographs=190, map50_95=0.5)]
    analysis = analyze(everything, rounds=50)
    page = render_experiment(analysis, everything, project="<cells>", missing={})
    assert headline(analysis).endswith(
        "do what 50 photographs alone do: 2.00 × [2.00, 2.00]. Labels are saved. The gate admitted 0 of 3 such sets."
    )
    assert "<cells>" not in page
    assert "n = 190" in page
    assert '<svg viewBox="0 0 800 500"' in page
    assert "refuse" in page


def test_the_curve_has_a_line_an_arm_and_says_how_many_runs(runs: Runs, photographs: list[Result]) -> None:
    made = [*runs("gan", {25: (0.3,), 50: (0.3, 0.32)}, gate="pass"), *photographs]
    curve = efficiency_curve(analyze(made, rounds=5), project="cells")
    assert [series.name for series in curve.series] == ["photographs alone (3 runs)", "+ GAN (1–2 runs)"]
    assert [list(series.x) for series in curve.series] == [[25, 50, 100], [25, 50]]
    gan = curve.series[1]
    assert (gan.low[0], gan.high[0]) == (gan.y[0], gan.y[0])  # one run has no interval
    assert gan.low[1] < gan.y[1] < gan.high[1]


@pytest.mark.parametrize(
    ("labels", "scores", "said"),
    [
        (50, (0.50, 0.52, 0.54), "Labels are saved."),
        (50, (0.21, 0.22, 0.23), "Labels are lost."),
        (25, (0.05, 0.05, 0.05), "Labels are lost."),  # a bound is enough
        (50, (0.20, 0.32, 0.50), "That may be chance."),
        (50, (0.30, 0.32, 0.34), "That may be chance."),  # exactly what photographs alone reach
        (100, (0.50, 0.53, 0.54), "Labels are saved."),  # beyond the most labels, in every draw
        (25, (0.24, 0.22, 0.20), "That may be chance."),
    ],
)
def test_the_headline_says_whether_it_may_be_chance(
    runs: Runs, photographs: list[Result], labels: int, scores: tuple[float, ...], said: str
) -> None:
    made = runs("gan", {labels: scores}, gate="pass")
    alone = runs("diffusion", {25: (0.9,)}, gate="pass")  # better, and without an interval
    told = headline(analyze([*photographs, *made, *alone], rounds=100))
    assert told.startswith(f"{labels} labeled photographs + GAN do what")
    assert f" {said} The gate admitted 3 of 3" in told


def test_without_an_interval_it_says_so(runs: Runs, photographs: list[Result]) -> None:
    made = runs("gan", {25: (0.3, 0.3)}, gate="pass")
    assert "Too few draws for an interval." in headline(analyze([*photographs, *made], rounds=20))


def test_the_headline_is_of_what_a_pipeline_may_train_on(runs: Runs, photographs: list[Result]) -> None:
    """Better without a check or without the photographs is no answer to the question."""
    made = [*runs("unchecked", {25: (0.9, 0.9, 0.9)}, gate="pass"), *runs("synthetic_only", {25: (0.9, 0.9, 0.9)})]
    assert headline(analyze([*photographs, *made], rounds=20)) == (
        "No arm with checked synthetic pictures can be compared yet."
    )
    made += [
        *runs("gan", {25: (0.3, 0.3, 0.3)}, gate="refuse"),
        *runs("diffusion", {25: (0.4, 0.4, 0.4)}, gate="refuse"),
    ]
    told = headline(analyze([*photographs, *made], rounds=20))
    assert "+ diffusion do" in told
    assert told.endswith("The gate admitted 0 of 3 such sets.")
    page = render_experiment(analyze([*photographs, *made], rounds=5), made, project="p", missing={})
    assert "the best of 2 arms" in page


def test_a_baseline_that_finds_nothing_is_no_baseline(runs: Runs, photographs: list[Result]) -> None:
    made = runs("gan", {25: (0.25, 0.27, 0.29)}, gate="pass")
    collapsed = [replace(one, map50=0.0, map50_95=0.0) if one.key == "real-25-2" else one for one in photographs]
    found = analyze([*collapsed, *made], rounds=20)
    assert next(one.pairs for one in found.gains if one.arm == "gan") == pytest.approx((0.05, 0.05))
    assert saved_of(found, "gan").low is None  # two draws are left
    page = render_experiment(found, collapsed, project="p", missing={})
    assert "because they find nothing: real, n = 25, draw 2, seed 0" in page


def test_the_page_says_what_is_missing_from_the_plan(photographs: list[Result]) -> None:
    missing = {"gan, n = 25, draw 1, seed 0": "the loss is not finite", "gan, n = 25, draw 2, seed 0": ""}
    page = render_experiment(analyze(photographs, rounds=5), photographs, project="p", missing=missing)
    assert "Missing from the plan: gan, n = 25, draw 1, seed 0 (the loss is not finite); gan, n = 25" in page


def test_the_page_says_that_code_differs(photographs: list[Result]) -> None:
    def page(of: list[Result]) -> str:
        return render_experiment(analyze(of, rounds=5), of, project="p", missing={})

    other = [replace(one, facts={"code": f"{place % 2}"}) for place, one in enumerate(photographs)]
    assert ("more than one version" in page(photographs), "more than one version" in page(other)) == (False, True)


def test_the_headline_takes_the_best_that_photographs_alone_can_do(runs: Runs, photographs: list[Result]) -> None:
    made = runs("gan", {25: (0.3, 0.32, 0.34)}, gate="pass")
    repeated = runs("repeated", {25: (0.25, 0.27, 0.29), 50: (0.35, 0.37, 0.39)})
    weaker = runs("strong", {25: (0.05, 0.07, 0.09), 50: (0.15, 0.17, 0.19)})
    assert "do what 50 photographs alone do: 2.00 ×" in headline(analyze([*photographs, *made, *weaker], rounds=50))
    told = headline(analyze([*photographs, *made, *weaker, *repeated], rounds=50))
    assert "do what 35 photographs do where rare objects are shown more often: 1.41 ×" in told
    stronger = [replace(one, arm="strong", key=f"s{one.key}") for one in repeated]
    told = headline(analyze([*photographs, *made, *stronger], rounds=50))
    assert "do what 35 photographs with stronger augmentation do: 1.41 ×" in told


def test_labels_are_saved_only_where_every_arm_of_photographs_alone_says_so(
    runs: Runs, photographs: list[Result]
) -> None:
    """Against `repeated` the estimate is the smaller one and sure; against photographs as they are it may be chance."""
    made = runs("gan", {25: (0.22, 0.40, 0.30)}, gate="pass")
    repeated = runs("repeated", {25: (0.17, 0.35, 0.25), 50: (0.25, 0.45, 0.35)})
    told = headline(analyze([*photographs, *made, *repeated], rounds=200))
    assert "shown more often: 1.4" in told
    assert "That may be chance." in told


def test_a_better_arm_of_photographs_alone_without_a_curve_is_named(runs: Runs, photographs: list[Result]) -> None:
    made = runs("gan", {25: (0.30, 0.32, 0.34)}, gate="pass")
    one_n = runs("repeated", {25: (0.35, 0.37, 0.39)})
    told = headline(analyze([*photographs, *made, *one_n], rounds=50))
    assert "But “photographs, those with rare objects more often” reaches 0.370 with as many, against 0.320." in told
    weaker = runs("repeated", {25: (0.25, 0.27, 0.29)})
    assert "Labels are saved." in headline(analyze([*photographs, *made, *weaker], rounds=50))
