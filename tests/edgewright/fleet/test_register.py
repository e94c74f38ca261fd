from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from edgewright.errors import InputError, StoreUnavailable
from edgewright.fleet.register import (
    MAX_BODY_BYTES,
    MAX_SEQ,
    Member,
    Refused,
    Told,
    accept,
    admitted,
    events_of,
    expel,
    forget,
    invite,
    member_named,
    members,
    open_register,
    redeem,
    reports_of,
)

KEY, OTHER_KEY = "a" * 64, "b" * 64


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = open_register(f"sqlite:///{tmp_path / 'register.sqlite'}")
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def joined(connection: Connection, device: str = "line-1", *, key: str = KEY, project: str = "belt") -> Member:
    secret = invited(connection, project=project)
    return redeem(connection, secret, key_sha256=key, device=device, now=1.0).member


def invited(connection: Connection, *, project: str = "belt", device: str = "", until: float = 10.0) -> str:
    return invite(
        connection,
        project=project,
        channel="stable",
        tier="full",
        server_url="http://127.0.0.1:9/belt",
        now=0.0,
        device=device,
        life_s=until,
    )


def told(seq: int, body: Any = None, kind: str = "state") -> Told:
    return Told(seq, kind, 5.0, json.dumps(body or {}))


def test_an_invitation_is_good_once_for_one_key(connection: Connection) -> None:
    secret = invited(connection)
    first = redeem(connection, secret, key_sha256=KEY, device="line-1", now=1.0)
    assert redeem(connection, secret, key_sha256=KEY, device="ignored", now=99.0) == first  # an answer that was lost
    with pytest.raises(Refused, match="another key"):
        redeem(connection, secret, key_sha256=OTHER_KEY, device="line-2", now=1.0)
    with pytest.raises(Refused, match="no such invitation"):
        redeem(connection, "guess", key_sha256=KEY, device="line-2", now=1.0)
    late = invited(connection)
    with pytest.raises(Refused, match="has ended"):
        redeem(connection, late, key_sha256=KEY, device="line-2", now=10.1)
    assert [member.device for member in members(connection, "belt")] == ["line-1"]


def test_the_secret_is_not_kept(connection: Connection, tmp_path: Path) -> None:
    secret = invited(connection)
    connection.commit()
    assert all(secret.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_projects_know_nothing_of_each_other(connection: Connection) -> None:
    joined(connection, "line-1", project="belt")
    joined(connection, "line-1", key=OTHER_KEY, project="bottles")
    assert admitted(connection, project="belt", device="line-1", key_sha256=KEY)
    with pytest.raises(Refused, match="another key"):
        admitted(connection, project="bottles", device="line-1", key_sha256=KEY)
    with pytest.raises(Refused, match="not enrolled"):
        admitted(connection, project="nuts", device="line-1", key_sha256=KEY)


def test_an_expelled_device_is_heard_no_more(connection: Connection) -> None:
    member = joined(connection)
    accept(connection, member, [told(1, {"release": 1}, "report")], now=6.0)
    expel(connection, "belt", "line-1", why="stolen", now=7.0)
    with pytest.raises(Refused, match="stolen"):
        admitted(connection, project="belt", device="line-1", key_sha256=KEY)
    assert reports_of(connection, "belt") == {}
    with pytest.raises(Refused, match="is taken"):
        redeem(connection, invited(connection), key_sha256=KEY, device="line-1", now=8.0)
    redeem(connection, invited(connection, device="line-1"), key_sha256=OTHER_KEY, device="", now=8.0)
    assert admitted(connection, project="belt", device="line-1", key_sha256=OTHER_KEY)
    with pytest.raises(InputError, match="no such device"):
        expel(connection, "belt", "line-9", why="", now=7.0)


@pytest.mark.parametrize("name", ["../up", "", "a/b", "x" * 129, ".hidden"])
def test_a_name_is_a_name(connection: Connection, name: str) -> None:
    with pytest.raises(Refused, match="not a device's name"):
        redeem(connection, invited(connection), key_sha256=KEY, device=name, now=1.0)
    if name:
        with pytest.raises(InputError, match="not a device's name"):
            invited(connection, device=name)


def test_an_event_counts_once(connection: Connection) -> None:
    member = joined(connection)
    accepted = accept(connection, member, [told(1, {"n": 1}), told(2, {"n": 2})], now=6.0)
    assert (accepted.acknowledged, accepted.beyond, accepted.conflicts) == ((1, 2), 2, ())
    member = must(connection)
    accepted = accept(connection, member, [told(2, {"n": 2}), told(3, {"n": 3})], now=7.0)
    assert (accepted.acknowledged, accepted.beyond) == ((2, 3), 3)
    assert [json.loads(each.body)["n"] for each in events_of(connection, "belt", "line-1")] == [1, 2, 3]
    assert (must(connection).heard, must(connection).rewound) == (7.0, 0)


def test_other_bytes_under_a_number_are_no_acknowledged_event(connection: Connection) -> None:
    accept(connection, joined(connection), [told(1, {"n": 1}), told(4, {"n": 4})], now=6.0)
    accepted = accept(connection, must(connection), [told(1, {"n": 7}), told(2, {"n": 2})], now=7.0)
    assert (accepted.acknowledged, accepted.beyond, accepted.conflicts) == ((2,), 4, (1,))
    assert must(connection).rewound == 1
    assert [each.seq for each in events_of(connection, "belt", "line-1")] == [1, 2, 4]


def test_equal_numbers_in_one_message(connection: Connection) -> None:
    accepted = accept(connection, joined(connection), [told(1, {"n": 1}), told(1, {"n": 1})], now=6.0)
    assert accepted.acknowledged == (1,)
    accepted = accept(connection, must(connection), [told(2, {"n": 2}), told(2, {"n": 3})], now=6.0)
    assert (accepted.acknowledged, accepted.conflicts) == ((), (2,))
    assert [json.loads(each.body)["n"] for each in events_of(connection, "belt", "line-1")] == [1, 2]


def test_the_last_report_is_the_one_with_the_highest_number(connection: Connection) -> None:
    member = joined(connection)
    accept(connection, member, [told(3, {"r": 3}, "report"), told(2, {"r": 2}, "report"), told(4, {"s": 1})], now=6.0)
    assert reports_of(connection, "belt") == {"line-1": (6.0, {"r": 3})}
    accept(connection, must(connection), [told(5, {"s": 2})], now=9.0)
    assert reports_of(connection, "belt") == {"line-1": (6.0, {"r": 3})}
    assert [each.seq for each in events_of(connection, "belt", "line-1", kind="report")] == [2, 3]


def test_a_report_that_a_line_held_back_is_kept_and_is_not_the_last(connection: Connection) -> None:
    joined(connection)
    accept(connection, must(connection), [told(9, {"n": 9}, "report")], now=6.0)
    held_back = [told(3, {"n": 3}, "report"), told(4, {"n": 4})]
    assert accept(connection, must(connection), held_back, now=7.0).acknowledged == (3, 4)
    assert reports_of(connection, "belt") == {"line-1": (6.0, {"n": 9})}
    assert [each.seq for each in events_of(connection, "belt", "line-1")] == [3, 4, 9]


@settings(max_examples=40, deadline=None)
@given(messages=st.lists(st.lists(st.integers(1, 12), max_size=6), max_size=8))
def test_the_same_again_changes_nothing(tmp_path_factory: pytest.TempPathFactory, messages: list[list[int]]) -> None:
    """However messages overlap and are repeated: each event once, all acknowledged, no conflict."""
    engine = open_register(f"sqlite:///{tmp_path_factory.mktemp('register') / 'register.sqlite'}")
    with engine.begin() as connection:
        joined(connection)
        for message in [*messages, *messages]:
            accepted = accept(connection, must(connection), [told(seq, {"n": seq}) for seq in message], now=6.0)
            assert accepted.acknowledged == tuple(sorted(set(message)))
        kept = [each.seq for each in events_of(connection, "belt", "line-1")]
        assert kept == sorted({seq for message in messages for seq in message})
        assert must(connection).rewound == 0
        assert must(connection).beyond == max(kept, default=0)
    engine.dispose()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"seq": 0, "kind": "state", "at": 1.0, "body": {}},
        {"seq": True, "kind": "state", "at": 1.0, "body": {}},
        {"seq": 1.5, "kind": "state", "at": 1.0, "body": {}},
        {"seq": MAX_SEQ, "kind": "state", "at": 1.0, "body": {}},
        {"seq": 1, "kind": "State!", "at": 1.0, "body": {}},
        {"seq": 1, "kind": "state", "at": float("inf"), "body": {}},
        {"seq": 1, "kind": "state", "at": float("nan"), "body": {}},
        {"seq": 1, "kind": "state", "at": "now", "body": {}},
        {"seq": 1, "kind": "state", "at": 1.0, "body": []},
        {"seq": 1, "kind": "state", "at": 10**400, "body": {}},
    ],
)
def test_what_is_no_event_is_refused(value: Any) -> None:
    with pytest.raises(Refused, match="event"):
        Told.from_json(value)


@pytest.mark.parametrize("body", [{"n": float("nan")}, {"n": "." * MAX_BODY_BYTES}])
def test_one_that_cannot_be_kept_holds_up_nothing_behind_it(connection: Connection, body: dict[str, Any]) -> None:
    member, odd = joined(connection), Told.from_json({"seq": 1, "kind": "report", "at": 1.0, "body": body})
    assert accept(connection, member, [odd, told(2)], now=6.0).acknowledged == (1, 2)
    assert list(json.loads(events_of(connection, "belt", "line-1")[0].body)) == ["left_out"]


def test_a_number_that_leaps_is_refused(connection: Connection) -> None:
    member = joined(connection)
    with pytest.raises(Refused, match="above the last"):
        accept(connection, member, [told(MAX_SEQ - 1)], now=6.0)
    assert must(connection).beyond == 0


def test_old_reports_go_and_changes_of_state_stay(connection: Connection) -> None:
    member = joined(connection)
    accept(connection, member, [told(1, kind="report"), told(2)], now=6.0)
    accept(connection, must(connection), [told(3, kind="report")], now=60.0)
    assert forget(connection, before=10.0) == 1
    assert [each.seq for each in events_of(connection, "belt", "line-1")] == [2, 3]


def test_a_register_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        open_register(f"sqlite:///{tmp_path}/no/such/folder/register.sqlite")


def must(connection: Connection) -> Member:
    member = member_named(connection, "belt", "line-1")
    assert member is not None
    return member
