"""The results file: whole lines, whatever happens."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.errors import InputError
from edgewright.experiment.results import Result, append_result, of_settings, read_results


def test_what_was_appended_is_read(tmp_path: Path, result: Callable[..., Result]) -> None:
    path = tmp_path / "deep" / "lines.jsonl"
    lines = [result("a"), result("b", arm="gan", gate="pass", reference={"fd_ratio": 1.5}, facts={"x": [1]})]
    for line in lines:
        append_result(path, line)
    assert read_results(path) == (lines, [])


def test_of_two_lines_with_one_key_the_last_counts(tmp_path: Path, result: Callable[..., Result]) -> None:
    path = tmp_path / "lines.jsonl"
    append_result(path, result(map50=0.1))
    append_result(path, result(map50=0.2))
    assert [one.map50 for one in read_results(path)[0]] == [0.2]


def test_a_torn_line_is_named_and_the_next_one_is_whole(tmp_path: Path, result: Callable[..., Result]) -> None:
    path = tmp_path / "lines.jsonl"
    append_result(path, result("a"))
    with path.open("a") as stream:
        stream.write('{"arm": "rea')  # the machine lost power here
    append_result(path, result("b"))
    found, unread = read_results(path)
    assert [one.key for one in found] == ["a", "b"]
    assert len(unread) == 1
    assert unread[0].startswith("line 2")


def test_numbers_that_are_none_are_not_written(tmp_path: Path, result: Callable[..., Result]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        append_result(tmp_path / "lines.jsonl", result(map50=float("nan")))
    assert read_results(tmp_path / "lines.jsonl") == ([], [])


def write_many(path: Path, name: str, result: Callable[..., Result]) -> None:
    for number in range(40):
        append_result(path, result(f"{name}-{number}", facts={"long": "x" * 5000}))


def test_two_processes_write_at_once(tmp_path: Path, result: Callable[..., Result]) -> None:
    path = tmp_path / "lines.jsonl"
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=write_many, args=(path, name, result)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    found, unread = read_results(path)
    assert (len(found), unread) == (80, [])


def test_json_round_trip_and_unknown_fields(result: Callable[..., Result]) -> None:
    one = result(reference={"kid_excess": -0.1})
    assert Result.from_json(json.loads(json.dumps(one.to_json()))) == one
    with pytest.raises(TypeError):
        Result.from_json({**one.to_json(), "surprise": 1})


def test_runs_of_other_settings_are_not_compared(result: Callable[..., Result]) -> None:
    runs = [result("a"), result("b", settings="t"), result("c", dataset="e"), result("d", arm="gan", settings="t")]
    settings = {"real": "s", "gan": "t"}
    assert [one.key for one in of_settings(runs, dataset="d", settings=settings)] == ["a", "d"]


def test_nothing_follows_from_nothing(result: Callable[..., Result]) -> None:
    with pytest.raises(InputError):
        of_settings([result(dataset="other")], dataset="d", settings={"real": "s"})
