from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.errors import InputError
from edgewright.rehearsal.results import ArmResult, append_result, read_results, recovered, recoveries


def result(arm: str, map50: float, seed: int = 0) -> ArmResult:
    return ArmResult("night", seed, "abc", arm, map50, map50 / 2, 0.9, 24, 80, "pass", {"nut": 0.5})


def test_what_came_back_is_a_share_of_the_gap() -> None:
    assert recovered(0.7, before=0.4, full=0.8) == pytest.approx(0.75)
    assert recovered(0.3, before=0.4, full=0.8) == pytest.approx(-0.25), "a loss is one"
    assert recovered(0.7, before=0.79, full=0.8) is None, "of nothing"


def test_over_seeds_it_has_an_interval() -> None:
    results = [
        each
        for seed, hard in enumerate((0.7, 0.68, 0.72))
        for each in (result("before", 0.4, seed), result("full", 0.8, seed), result("hard", hard, seed))
    ]
    (found,) = recoveries(results)
    assert found.arm == "hard" and found.mean == pytest.approx(0.75) and found.map50 == pytest.approx(0.7)
    assert found.interval is not None and 0.5 < found.interval.low < 0.75 < found.interval.high < 1.0


def test_a_seed_without_both_ends_says_nothing() -> None:
    results = [result("before", 0.4), result("hard", 0.7), result("full", 0.8, seed=1)]
    assert recoveries(results) == []
    (found,) = recoveries([*results, result("full", 0.8)])
    assert found.interval is None and len(found.shares) == 1


def test_lines_are_read_back_and_the_last_of_equal_ones_counts(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lines.jsonl"
    assert read_results(path) == []
    for each in (result("hard", 0.5), result("hard", 0.7), result("full", 0.8)):
        append_result(path, each)
    assert read_results(path) == [result("hard", 0.7), result("full", 0.8)]
    again = replace(result("full", 0.8), facts={"finished_at": "later"})
    before = path.read_bytes()
    append_result(path, again)
    assert path.read_bytes() == before, "what was found before is not written again"
    path.write_text("{}\n")
    with pytest.raises(InputError, match=r"a line cannot be read.*lines.jsonl:1"):
        read_results(path)
