from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.device import outbox as module
from edgewright.device.core import State
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, Home, init_home
from edgewright.device.outbox import (
    BEFORE_SQLITE,
    DAMAGED,
    DAMAGED_FILE,
    MAX_AGE_S,
    MAX_BATCH,
    MAX_BATCH_BYTES,
    OUTBOX_FILE,
    STATE,
    noting,
    opened,
)
from edgewright.device.report import DeviceReport, send
from edgewright.device.slots import Slots

STATES = [replace(State(), active="a", proven="a", floor=number) for number in range(4)]


def note_state(home: Home, state: State) -> None:
    with noting(home) as note:
        note(state)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    config = DeviceConfig("line-1", "http://127.0.0.1:9", "stable")
    return init_home(tmp_path / "device", trust_root=b"root", config=config, files=Files())


def test_changes_of_state_form_a_chain(home: Home) -> None:
    with opened(home) as outbox:
        assert [outbox.note(state) for state in [STATES[0], STATES[0], STATES[1], STATES[0]]] == [
            True,
            False,
            True,
            True,
        ]
        bodies = [event.body for event in outbox.waiting()]
    documents = [json.loads(state.to_bytes())["state"] for state in [STATES[0], STATES[1], STATES[0]]]
    assert [body["after"] for body in bodies] == documents
    assert [body["before"] for body in bodies] == [None, *documents[:-1]]


def test_slots_note_what_they_save_and_what_nobody_noted(home: Home) -> None:
    slots = Slots(home)
    slots.save(STATES[0])
    # Saved, and the power went before it was noted: the next change notes it first.
    for name in ("state.bak", "state.json"):
        (home.root / name).write_bytes(STATES[1].to_bytes())
    slots.save(STATES[2])
    with opened(home) as outbox:
        floors = [event.body["after"]["floor"] for event in outbox.waiting()]
    assert floors == [0, 0, 1, 2]  # the first is the state of a device that holds nothing


def test_a_change_that_nobody_noted_is_told_with_the_next_report(home: Home) -> None:
    Slots(home).save(STATES[0])
    for name in ("state.bak", "state.json"):  # saved, and the power went
        (home.root / name).write_bytes(STATES[1].to_bytes())
    send(home, DeviceReport("line-1", "run"))
    with opened(home) as outbox:
        changes = [event.body["after"]["floor"] for event in outbox.waiting() if event.kind == STATE]
    assert changes[-1] == 1


def test_numbers_are_never_given_twice(home: Home) -> None:
    with opened(home) as outbox:
        outbox.add("report", {})
        outbox.add("report", {})
        outbox.acknowledge([1, 2])
    with opened(home) as outbox:
        assert outbox.waiting() == []
        outbox.add("report", {})
        assert [event.seq for event in outbox.waiting()] == [3]
        outbox.number_beyond(100, [])
        outbox.add("report", {"second": True})
        assert [event.seq for event in outbox.waiting()] == [3, 4]
        outbox.number_beyond(100, [3, 4])
        outbox.add("report", {"third": True})
        assert [event.seq for event in outbox.waiting()] == [101, 102, 103]
        assert [sorted(event.body) for event in outbox.waiting()] == [[], ["second"], ["third"]]


def test_only_what_is_named_gets_a_new_number(home: Home) -> None:
    with opened(home) as outbox:
        for number in range(4):
            outbox.add("report", {"number": number})
        outbox.number_beyond(2, [2])
        assert [(event.seq, event.body["number"]) for event in outbox.waiting()] == [(1, 0), (3, 2), (4, 3), (5, 1)]


@pytest.mark.parametrize("body", [{"n": float("nan")}, {"n": "." * 100_000}])
def test_what_no_collector_takes_is_told_to_be_left_out(home: Home, body: dict[str, object]) -> None:
    with opened(home) as outbox:
        outbox.add("report", body)
        (event,) = outbox.waiting()
    assert list(event.body) == ["left_out"]


def test_the_newest_report_stays_however_many_changes_there_are(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    with opened(home) as outbox:
        outbox.note(STATES[0])
        outbox.add("report", {"number": 1})
        outbox.add("report", {"number": 2})
        assert [event.body.get("number") for event in outbox.waiting()] == [None, 2]


@pytest.mark.parametrize("table", ["events", "noted"])
@pytest.mark.parametrize("rotten", [b"\xff\xfe{", b"{broken", b"[]", b"[" * 100_000])
def test_a_row_that_rotted_stops_no_device(home: Home, table: str, rotten: bytes) -> None:
    note_state(home, STATES[0])
    column = {"events": "body", "noted": "state"}[table]
    with sqlite3.connect(home.root / OUTBOX_FILE) as connection:
        connection.execute(f"UPDATE {table} SET {column} = CAST(? AS TEXT)", (rotten,))
    connection.close()
    Slots(home).save(STATES[1])
    with opened(home) as outbox:
        events = outbox.waiting()
    assert events[-1].body["after"]["floor"] == 1
    assert (list(events[0].body) == ["left_out"]) == (table == "events")


def test_a_page_that_rotted_is_put_aside_when_it_is_met(home: Home) -> None:
    with opened(home) as outbox:
        for number in range(200):
            outbox.add("report", {"number": number, "padding": "." * 500})
    path = home.root / OUTBOX_FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : -4_096] = b"\xff" * len(content[len(content) // 2 : -4_096])
    path.write_bytes(content)
    with pytest.raises(OSError, match="malformed"), opened(home) as outbox:
        [outbox.acknowledge([event.seq for event in outbox.waiting()]) for _ in range(3)]
    with opened(home) as outbox:
        outbox.add("report", {})
        assert outbox.count() >= 1
    assert (home.root / DAMAGED_FILE).exists()


def test_a_message_has_an_end(home: Home) -> None:
    with opened(home) as outbox:
        for _ in range(MAX_BATCH + 1):
            outbox.add("report", {})
        assert len(outbox.waiting()) == MAX_BATCH
        assert outbox.count() == MAX_BATCH + 1
        outbox.acknowledge(range(1, MAX_BATCH + 2))
        for _ in range(8):
            outbox.add("report", {"padding": "." * 50_000})
        assert len(outbox.waiting()) == MAX_BATCH_BYTES // 50_000


def test_what_surely_has_room_is_not_read_for_each_report(home: Home) -> None:
    """Of five megabytes that took 20 ms, a minute's report after the other."""
    ran: list[str] = []

    class TracedFiles(Files):
        def database(self, path: Path) -> sqlite3.Connection:
            connection = super().database(path)
            connection.set_trace_callback(ran.append)
            return connection

    with opened(replace(home, files=TracedFiles())) as outbox:
        for number in range(5):
            outbox.add("report", {"number": number})
    assert any("INSERT INTO events" in each for each in ran) and not any("SUM" in each for each in ran)


def test_the_oldest_goes_and_no_change_of_state(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 20_000)
    with opened(home) as outbox:
        outbox.note(STATES[0])
        for number in range(30):
            outbox.add("report", {"number": number, "padding": "." * 1_000})
        outbox.note(STATES[1])
        outbox.add("report", {"number": 30, "padding": ""})
        events = outbox.waiting()
    assert [event.kind for event in events].count(STATE) == 2
    numbers = [event.body["number"] for event in events if event.kind == "report"]
    assert numbers == list(range(numbers[0], 31))
    assert 0 < numbers[0] < 20
    assert (home.root / OUTBOX_FILE).stat().st_size < 10 * 20_000


def test_what_is_too_old_to_tell_is_dropped(home: Home) -> None:
    with opened(home) as outbox:
        outbox.note(STATES[0])
        outbox.add("report", {"old": "by a clock that was not set"}, at=1_000.0)
        outbox.add("report", {"old": True}, at=1_800_000_000.0)
        outbox.add("report", {"old": False}, at=1_800_000_001.0 + MAX_AGE_S)
        kinds = [(event.kind, event.body.get("old")) for event in outbox.waiting()]
    assert kinds == [(STATE, None), ("report", "by a clock that was not set"), ("report", False)]


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\0" + b"\xff" * 5_000, None])
def test_a_damaged_outbox_is_put_aside_and_told(home: Home, damage: bytes | None) -> None:
    note_state(home, STATES[0])
    path = home.root / OUTBOX_FILE
    whole = path.read_bytes()
    path.write_bytes(damage or whole[:4_096] + b"\xff" * (len(whole) - 4_096))
    note_state(home, STATES[1])
    with opened(home) as outbox:
        first, second = outbox.waiting()
    assert (first.kind, second.kind) == (DAMAGED, STATE)
    assert second.body["before"] is None
    assert (home.root / DAMAGED_FILE).exists()


def test_what_an_older_agent_had_not_sent_is_taken_over(home: Home) -> None:
    (home.root / BEFORE_SQLITE).write_text(json.dumps([{"release": 1}, {"release": 2}, "no report"]))
    with opened(home) as outbox:
        assert [event.body for event in outbox.waiting("report")] == [{"release": 1}, {"release": 2}]
    assert not (home.root / BEFORE_SQLITE).exists()
    (home.root / BEFORE_SQLITE).write_text("{broken")
    with opened(home) as outbox:
        assert outbox.count() == 2
    assert not (home.root / BEFORE_SQLITE).exists()


def test_a_disk_that_cannot_be_written_is_said_and_stops_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class BrokenDisk(Files):
        def database(self, path: Path) -> sqlite3.Connection:
            return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)

    broken = replace(home, files=BrokenDisk())
    with pytest.raises(OSError, match=OUTBOX_FILE), opened(broken):
        pass
    note_state(broken, STATES[0])
    assert os.listdir(home.root).count(OUTBOX_FILE) == 0


def test_a_full_disk_takes_nothing_away(home: Home) -> None:
    note_state(home, STATES[0])

    class FullDisk(Files):
        def database(self, path: Path) -> sqlite3.Connection:
            connection = super().database(path)
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")
            return connection

    full = replace(home, files=FullDisk())
    with pytest.raises(OSError, match="full"), opened(full) as outbox:
        outbox.add("report", {"padding": "." * 50_000})
    with opened(home) as outbox:
        assert [event.kind for event in outbox.waiting()] == [STATE]
        outbox.note(STATES[1])
        assert outbox.count() == 2
