"""A week without a network, then one that loses every tenth question or answer: a real outbox, a real collector."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from edgewright.device import deliver as deliveries
from edgewright.device import outbox as outboxes
from edgewright.device.core import State
from edgewright.device.deliver import deliver
from edgewright.device.enroll import enroll
from edgewright.device.home import Home
from edgewright.device.outbox import OUTBOX_FILE, REPORT, STATE, opened
from edgewright.errors import DeviceUnreachable
from tests.collectors import RunningCollector, running_collector
from tests.disks import FastFiles

REPORTS = 7 * 24 * 6
"""Of seven days, one in ten minutes."""
NOW, ROOM_BYTES = 1_790_000_000.0, 800_000


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "fleet") as running:
        yield running


@pytest.fixture
def home(collector: RunningCollector, tmp_path: Path) -> Home:
    return enroll(tmp_path / "device", collector.token(device="line-1"), files=FastFiles())


def a_week(home: Home) -> list[State]:
    """A report of 1.2 kB in ten minutes, and a change of state an hour."""
    state, states = State(active="a", proven="a"), []
    with opened(home) as outbox:
        for number in range(REPORTS):
            if number % 6 == 0:
                state = replace(state, offered=number + 1)
                outbox.note(state)
                states.append(state)
            outbox.add(REPORT, {"number": number, "said": "x" * 1_200}, at=NOW - 600.0 * (REPORTS - number))
    return states


def test_a_week_offline_and_a_bad_line_lose_no_change_and_double_nothing(
    collector: RunningCollector, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "MAX_BYTES", ROOM_BYTES)  # a tenth of a device's, of reports a tenth as long
    monkeypatch.setattr(outboxes, "MAX_BATCH", 20)  # so that there are enough questions to lose some
    states, draws, lost = a_week(home), random.Random(0), [0, 0]
    assert (home.root / OUTBOX_FILE).stat().st_size < 2 * ROOM_BYTES
    ask = deliveries.ask

    def losing(*given: object, **named: object) -> object:
        if draws.random() < 0.1:
            lost[0] += 1
            raise DeviceUnreachable("the question was lost")
        answer = ask(*given, **named)  # type: ignore[arg-type]
        if draws.random() < 0.1:
            lost[1] += 1
            raise DeviceUnreachable("the answer was lost")
        return answer

    monkeypatch.setattr(deliveries, "ask", losing)
    for _ in range(200):
        with opened(home) as outbox:
            try:
                deliver(home, outbox)
                break
            except DeviceUnreachable:
                continue
    assert min(lost) >= 1, "the line was bad in both ways"
    with opened(home) as outbox:
        assert outbox.count() == 0
    changes, reports = ([json.loads(one.body) for one in collector.events("line-1", kind)] for kind in (STATE, REPORT))
    offered = [change["after"]["offered"] for change in changes if change["after"]["offered"]]
    assert offered == [state.offered for state in states], "every change once, in order"
    assert all(one["after"] == following["before"] for one, following in pairwise(changes))
    numbers = [report["number"] for report in reports]
    assert numbers == list(range(numbers[0], REPORTS)), "the newest reports, none twice"
    assert 500 < len(numbers) < REPORTS, "the oldest went, for room"
    member = collector.member("line-1")
    assert member is not None and member.rewound == 0
