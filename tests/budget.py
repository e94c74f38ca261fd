"""What a suite may cause, and how long it should take: printed at the end, and more than that fails the session.

Counts fail, because they are the same on every machine: commands, servers, trainings, optimizer steps. Minutes do not:
they say what the suite is meant to cost on two cores, next to what it cost here. Whoever adds a training to a suite
finds the limit, and raises it in the same change or shares a training that is there already.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.counting import sitecustomize as counting

WORKER = "PYTEST_XDIST_WORKER"


@dataclass(frozen=True)
class Limits:
    """The most that a suite may cause."""

    command: int
    server: int
    training: int
    step: int


@dataclass(frozen=True)
class Budget:
    """Minutes on two cores are an aim, limits are not."""

    minutes: int
    limits: Limits


BUDGETS = {
    "not slow": Budget(8, Limits(command=45, server=24, training=581, step=7730)),
    "slow": Budget(30, Limits(command=85, server=38, training=170, step=5600)),
    "trains": Budget(2, Limits(command=2, server=2, training=75, step=4000)),
    "": Budget(34, Limits(command=117, server=50, training=691, step=9930)),
}
"""By pytest's -m; any other choice is measured by the whole."""


def excess(counted: Counter[str], limits: Limits) -> dict[str, int]:
    """What was caused more often than it may be, and how often.

    >>> excess(Counter(server=3, step=9), Limits(command=0, server=2, training=0, step=9))
    {'server': 3}
    """
    return {kind: counted[kind] for kind, most in asdict(limits).items() if counted[kind] > most}


class Counting:
    """One file a session, for all workers and all processes below them."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.began = budget, time.monotonic()
        self.file = Path(mkdtemp(prefix="counted-")) / "causes"
        self.file.touch()
        os.environ[counting.VARIABLE] = str(self.file)
        places = [str(Path(counting.__file__).parent), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))

    def counted(self) -> Counter[str]:
        return Counter(self.file.read_text().split())

    def lines(self) -> Iterator[str]:
        counted, limits = self.counted(), asdict(self.budget.limits)
        parts = [f"{kind}s {counted[kind]} of {most}" for kind, most in limits.items()]
        minutes = (time.monotonic() - self.began) / 60
        yield f"budget: {', '.join(parts)}; {minutes:.1f} of {self.budget.minutes} minutes (two cores; not enforced)"
        for kind, count in excess(counted, self.budget.limits).items():
            yield f"OVER BUDGET: {count} {kind}s, at most {limits[kind]} (tests/budget.py)"


_COUNTING = pytest.StashKey[Counting]()


def pytest_configure(config: pytest.Config) -> None:
    if WORKER in os.environ:
        return  # a Python below the session like any other: it counts since it started
    config.stash[_COUNTING] = Counting(BUDGETS.get(config.option.markexpr, BUDGETS[""]))
    counting.count_into(os.environ[counting.VARIABLE])


def pytest_sessionfinish(session: pytest.Session) -> None:
    here = session.config.stash.get(_COUNTING, None)
    if here and session.exitstatus == pytest.ExitCode.OK and excess(here.counted(), here.budget.limits):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if here := config.stash.get(_COUNTING, None):
        for line in here.lines():
            terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    if here := config.stash.get(_COUNTING, None):
        shutil.rmtree(here.file.parent)
