"""What holds the suites to their budgets: what is counted, where, and what is too much."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.budget import BUDGETS, Limits, excess
from tests.counting import sitecustomize as counting
from tests.workers import TOY_RUN, group_of

LEARN = """
import subprocess, sys, torch
subprocess.run([sys.executable, "-c", "pass", "-m edgewright.cli"], check=True)
weight = torch.nn.Parameter(torch.zeros(1))
for optimizer in (torch.optim.SGD([weight], lr=0.1), torch.optim.AdamW([weight])):
    for _ in range(2):
        (weight - 1).square().backward()
        optimizer.step()
"""


def test_a_process_below_tells_what_it_starts_and_every_step_that_it_learns(tmp_path: Path) -> None:
    places = os.pathsep.join([str(Path(counting.__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, counting.VARIABLE: str(tmp_path / "causes"), "PYTHONPATH": places}
    subprocess.run([sys.executable, "-c", LEARN], env=environment, check=True)
    told = (tmp_path / "causes").read_text().split()
    assert told == ["command", "training", "step", "step", "training", "step", "step"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["python", "-m", "edgewright.cli", "run", "demo"], "command"),
        (["python", "-m", "uvicorn", "--factory", "tasks.serve.app:create_app"], "server"),
        ([sys.executable, "tests/servers/swift.py", "folder", "80"], "server"),
        ([b"git", Path("status")], ""),
    ],
)
def test_what_a_process_is(words: list[str], kind: str) -> None:
    assert counting.kind_of(words) == kind


def test_only_what_is_too_much_is_too_much() -> None:
    limits = Limits(command=1, server=0, training=2, step=3)
    assert excess(Counter(command=1, training=2, step=3), limits) == {}
    assert excess(Counter(command=2, server=1), limits) == {"command": 2, "server": 1}


def test_the_whole_may_cause_no_more_than_its_halves() -> None:
    whole, halves = BUDGETS[""].limits, [BUDGETS[name].limits for name in ("slow", "not slow")]
    for kind in vars(whole):
        assert getattr(whole, kind) <= sum(getattr(half, kind) for half in halves), kind


def test_what_begins_with_the_toy_run_stays_together() -> None:
    paths = (path for path in Path(__file__).parent.rglob("test_*.py") if path.parent.name != "faults")  # run alone
    files = [path for path in paths if {"toy_run", "toy_home"} & words_of(path)]
    assert len(files) == 9  # and this one, which names them
    assert {group_of(f"tests/{path.relative_to(Path(__file__).parent)}::test") for path in files} == {
        TOY_RUN,
        "tests/test_budget.py",
    }


def words_of(path: Path) -> set[str]:
    return set(path.read_text().replace('"', " ").replace("(", " ").replace(":", " ").replace(".", " ").split())
