from __future__ import annotations

from edgewright.rehearsal.plan import ARMS, RehearsalConfig
from edgewright.rehearsal.results import ArmResult
from edgewright.rehearsal.story import Part, Story
from edgewright.report.rehearsal import headline, recovery_curve, render_rehearsal

CONFIG = RehearsalConfig()
STORY = Story(
    line="line-1",
    noticed=(600, None),
    why=("light was 0.4, and is 0.1", ""),
    seen=2400,
    kept=("line/1", "line/2"),
    parts=(
        Part("as it was", 200, 1, 0.9),
        Part("changed", 400, 1, 0.4),
        Part("changed", 600, 1, 0.42),
        Part("the new release", 800, 2, 0.7),
    ),
    shipped="release 2: every stage is done: all devices have it",
)


def results(seed: int = 0) -> list[ArmResult]:
    scores = {"before": 0.4, "hard": 0.7, "random": 0.6, "full": 0.8}
    return [
        ArmResult("night", seed, "abc", arm, map50, map50 / 2, 0.9, 24, 80, "pass", {}) for arm, map50 in scores.items()
    ]


def test_the_page_says_what_was_lost_noticed_kept_and_brought_back() -> None:
    page = render_rehearsal(results(), STORY, CONFIG, project="rehearsal-night-0")
    for text in (
        "After night fell, mAP50 fell from 0.90 to 0.40; with every changed frame labeled it would be 0.80.",
        "Hard frames and pictures like them brought 75 % of that back.",
        "1 of 2 devices noticed, after 600 to 600 frames: light was 0.4, and is 0.1.",
        "2 of 2,400 frames that devices saw under the policy came home.",
        STORY.shipped,
        ARMS["random"].title,
        "50 %",
        "<svg",
    ):
        assert text in page
    assert ARMS["hard_alone"].title not in page, "an arm that was not made"


def test_several_seeds_have_an_interval_and_none_says_nothing() -> None:
    said = headline([*results(0), *results(1)], CONFIG)
    assert "brought 75 % [75, 75] of that back" in said
    assert headline([one for one in results() if one.arm != "hard"], CONFIG).endswith("yet.")


def test_the_curve_is_a_line_a_phase_without_gaps() -> None:
    curve = recovery_curve(STORY, project="belt")
    assert [series.name for series in curve.series] == ["as it was", "changed", "the new release"]
    assert [list(series.x) for series in curve.series] == [[0, 200], [200, 400, 600], [600, 800]]
    assert [list(series.y) for series in curve.series] == [[0.9, 0.9], [0.4, 0.4, 0.42], [0.7, 0.7]]
