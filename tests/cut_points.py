"""How often the power was cut, and a disk broken, at each of the agent's sequences: counted where it was done.

Decides what is counted: a test tells its sequence, the kind and the number of points once all of them have passed, and
the session ends with the table. A whole suite, and `make test-power`, fail where calls of the file port or of sqlite
were cut less often than LEAST_CUTS, and where the table of docs/faults.md says something else.

    cut_points("enrolment", "torn", 14)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

LEAST_CUTS = 300
FILES, SQLITE, DISK = ("cut off", "torn", "unsynced lost"), ("sqlite",), ("full", "read-only", "EIO")
KINDS = (*FILES, *SQLITE, *DISK)
WHOLE_SUITES = ("", "not slow", "power")
"""By pytest's -m."""
_PAGE = Path(__file__).parents[1] / "docs/faults.md"
_PROPERTY = "cut_points"
CountCutPoints = Callable[[str, str, int], None]


@pytest.fixture
def cut_points(record_property: Callable[[str, object], None]) -> CountCutPoints:
    def count(sequence: str, kind: str, points: int) -> None:
        assert kind in KINDS and points > 0
        record_property(_PROPERTY, [sequence, kind, points])

    return count


def table(counted: Counter[tuple[str, str]]) -> Iterator[str]:
    """In Markdown: a sequence a row, a kind a column, sums at the end.

    >>> list(table(Counter({("commit", "torn"): 2})))[-1]
    '| **all** |  | **2** |  |  |  |  |  | **2** |'
    """
    yield f"| | {' | '.join(KINDS)} | all |"
    yield f"|---|{'--:|' * (len(KINDS) + 1)}"
    for sequence in sorted({sequence for sequence, _ in counted}):
        yield _row(sequence, [counted[sequence, kind] for kind in KINDS])
    sums = [sum(points for (_, of), points in counted.items() if of == kind) for kind in KINDS]
    yield _row("all", sums, mark="**")


def _row(name: str, points: Sequence[int], *, mark: str = "") -> str:
    cells = [f"{mark}{each}{mark}" if each else "" for each in (*points, sum(points))]
    return f"| {mark}{name}{mark} | {' | '.join(cells)} |"


def wrong(counted: Counter[tuple[str, str]], page: str) -> list[str]:
    """What is wrong with what a whole suite has counted."""
    cuts = {kinds: sum(points for (_, kind), points in counted.items() if kind in kinds) for kinds in (FILES, SQLITE)}
    few = [f"{', '.join(kinds)}: {n} points, at least {LEAST_CUTS}" for kinds, n in cuts.items() if n < LEAST_CUTS]
    return few + [f"docs/faults.md lacks this row: {row}" for row in table(counted) if row not in page.splitlines()]


_COUNTED = pytest.StashKey[Counter[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COUNTED] = Counter()
    config.pluginmanager.register(_Collecting(config.stash[_COUNTED]))


class _Collecting:
    """Reports come to the session's process, whichever worker has run the test."""

    def __init__(self, counted: Counter[tuple[str, str]]) -> None:
        self._counted = counted

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" or not report.passed:
            return
        for name, value in report.user_properties:
            if name == _PROPERTY:
                sequence, kind, points = value  # type: ignore[misc]
                self._counted[sequence, kind] += points


def _is_whole(config: pytest.Config) -> bool:
    everywhere = config.args_source == pytest.Config.ArgsSource.TESTPATHS
    return everywhere and not config.option.keyword and config.option.markexpr in WHOLE_SUITES


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput") or session.exitstatus != pytest.ExitCode.OK or not _is_whole(config):
        return
    if wrong(config.stash[_COUNTED], _PAGE.read_text()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counted = config.stash[_COUNTED]
    for line in table(counted) if counted else ():
        terminalreporter.write_line(line)
    for line in wrong(counted, _PAGE.read_text()) if _is_whole(config) else ():
        terminalreporter.write_line(f"CUT POINTS: {line}")
