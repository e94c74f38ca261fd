"""The question of a gate, asked at a real terminal: an answer in time counts, silence means end. Tables of tiers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewright.cli.console import Display, print_runs, print_summary

WAIT_S = 0.6


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The person's end of a terminal that is this process's stdin."""
    pty = pytest.importorskip("pty")
    person, ours = pty.openpty()
    with open(ours, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield person
    os.close(person)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (b"real_only\ntoo blurred\n", ("real_only", "too blurred")),
        (b"end\nno\n", ("end", "no")),
        (b"yes\nreal_only\nwhy not\n", ("real_only", "why not")),  # asked again
        (b"", ("end", "no answer within 1 s")),
        (b"real_on", ("end", "no answer within 1 s")),  # never sent
        (b"yes\n", ("end", "no answer within 1 s")),
        (b"real_only\n", ("real_only", "")),  # a choice in time, no reason
        (b"\x04", ("end", "no answer within 1 s")),  # the terminal is closed
    ],
)
def test_silence_means_end(terminal: int, typed: bytes, answer: tuple[str, str]) -> None:
    os.write(terminal, typed)
    began = time.monotonic()
    assert Display(stages=0).ask("?", timeout_s=WAIT_S) == answer
    assert time.monotonic() - began < WAIT_S + 5


def test_nobody_is_asked_without_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stdin").write_text("real_only\n")
    with (tmp_path / "stdin").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert Display(stages=0).ask("?", timeout_s=WAIT_S) is None


def test_each_tier_has_a_line_the_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"input_px": 96, "map50": 0.5, "map50_95": None, "p99_ms": 7.25, "bytes": 400_000, "outcome": "pass"}
    tiers = {"basic": figures, "full": {**figures, "bytes": 1_900_000}, "optimized": figures}
    state = {
        "run_id": "20261129-055142-bd3f4f",
        "project": "belt",
        "status": "finished",
        "models": {"int8": {"map50": 0.7, "bytes": 1_900_000}},
        "tiers": tiers,
        "release": {"version": 3, "digest": "f" * 64},
        "gates": [],
        "device": None,
        "report": None,
    }
    print_runs([state, {name: value for name, value in state.items() if name != "tiers"}])
    rows = [[cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [
        ["20261129-055142-bd3f4f", "belt", "finished", "0.700", "1,900,000", "3"],
        ["full, p99 7.2 ms", "", "pass", "0.500", "1,900,000", ""],
        ["optimized, p99 7.2 ms", "", "pass", "0.500", "400,000", ""],
        ["basic, p99 7.2 ms", "", "pass", "0.500", "400,000", ""],
        ["20261129-055142-bd3f4f", "belt", "finished", "0.700", "1,900,000", "3"],
    ]
    print_summary(state)
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines() if "400,000" in line] == ["optimized", "basic"]
