"""A fleet by way of a real broker that somebody else can read and write: what counts, and what does not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from edgewright.device import by_broker
from edgewright.device.by_broker import line_by_broker
from edgewright.device.deliver import deliver
from edgewright.device.enroll import enroll
from edgewright.device.home import Home, open_home, told_by
from edgewright.device.identity import new_key, request_for
from edgewright.device.outbox import REPORT, opened
from edgewright.device.sealed import HEARD, MAX_MESSAGE_BYTES, TOLD, Seal, seal_in, sealed, topic_of
from edgewright.errors import DeviceUnreachable, InputError, UpdateRefused
from edgewright.fleet.authority import authority_in, server_files, server_seal
from edgewright.fleet.by_broker import heard_by_broker
from edgewright.fleet.figures import Figures
from edgewright.fleet.writer import Writer
from tests.brokers import Somebody, broker, needs_mosquitto, somebody
from tests.collectors import PROJECT, RunningCollector, running_collector
from tests.conftest import free_port
from tests.disks import FastFiles

pytest.importorskip("paho.mqtt.client")
pytestmark = needs_mosquitto
TOLD_1, HEARD_1 = topic_of(PROJECT, "line-1", TOLD), topic_of(PROJECT, "line-1", HEARD)


@dataclass
class Fleet:
    """A collector that hears at a broker, which can go and come, and the folder of its authority."""

    collector: RunningCollector
    folder: Path
    port: int
    figures: Figures
    said: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"mqtt://line:secret@127.0.0.1:{self.port}"

    def broker(self) -> AbstractContextManager[None]:
        return broker(self.folder, self.port)

    @contextmanager
    def hearing(self) -> Iterator[None]:
        opens = server_files(self.folder, {"127.0.0.1"}, now=datetime.now(UTC))
        with (
            Writer(self.collector.engine) as writer,
            heard_by_broker(
                self.address,
                writer,
                self.collector.authority,
                seal=lambda: server_seal(self.folder, opens),
                figures=self.figures,
                say=self.said.append,
            ),
        ):
            yield

    def refused(self) -> dict[str, float]:
        samples = next(iter(self.figures.refused_by_broker.collect())).samples
        return {each.labels["why"]: each.value for each in samples if each.name.endswith("_total")}

    def heard(self) -> bool:
        return b"edgewright_fleet_broker_heard 1.0" in generate_latest(self.figures.registry)

    def device(self, name: str) -> Home:
        home = enroll(self.folder.parent / name, self.collector.token(device=name), files=FastFiles())
        (home.root / "broker").write_text(self.address + "\n")
        return told_by(home, f"@{home.root / 'broker'}")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_collector(tmp_path / "fleet") as collector:
        yield Fleet(collector, tmp_path / "fleet", free_port(), Figures())


def until(holds: Callable[[], bool]) -> None:
    over = time.monotonic() + 20
    while not holds() and time.monotonic() < over:
        time.sleep(0.02)
    assert holds()


def tell(home: Home, *numbers: int) -> None:
    with opened(home) as outbox:
        for number in numbers:
            outbox.add(REPORT, {"number": number})
        deliver(home, outbox)


def waiting(home: Home) -> int:
    with opened(home) as outbox:
        return outbox.count()


def seal_of(home: Home) -> Seal:
    return seal_in(*((home.identity / name).read_bytes() for name in ("key.pem", "certificate.pem")))


def events(*seqs: int) -> bytes:
    return json.dumps(
        {"id": "x", "events": [{"seq": seq, "kind": "report", "at": 1.0, "body": {"forged": seq}} for seq in seqs]}
    ).encode()


def test_events_arrive_once_over_a_broker_that_goes_and_comes_back(fleet: Fleet) -> None:
    home = fleet.device("line-1")
    with fleet.hearing():
        with pytest.raises(DeviceUnreachable, match="does not answer"), broker_away():
            tell(home, 0)
        for first in (1, 11):
            with fleet.broker():
                until(fleet.heard)
                tell(home, *range(first, first + 10))
                assert waiting(home) == 0
            until(lambda: not fleet.heard())
    numbers = [json.loads(each.body)["number"] for each in fleet.collector.events("line-1")]
    assert numbers == list(range(21)), "each once, in order, the one that found no broker too"
    assert fleet.refused() == {}
    assert [("is heard" in line, "not heard" in line, "secret" in line) for line in fleet.said] == [
        (False, True, False),
        (True, False, False),
        (False, True, False),
        (True, False, False),
        (False, True, False),
    ], fleet.said


@contextmanager
def broker_away() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_broker, "CONNECTED_S", 1.0)
        yield


@contextmanager
def not_waiting_long() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_broker, "ANSWER_S", 1.0)
        yield


def test_nobody_hears_and_nothing_is_forgotten(fleet: Fleet) -> None:
    home = fleet.device("line-1")
    with fleet.broker(), not_waiting_long(), pytest.raises(DeviceUnreachable, match="no answer in time"):
        tell(home, 1)
    assert waiting(home) == 1


def test_a_broker_that_lets_nobody_in_says_so(fleet: Fleet) -> None:
    home = fleet.device("line-1")
    (home.root / "broker").write_text(f"mqtt://line:wrong@127.0.0.1:{fleet.port}")
    with fleet.broker(), pytest.raises(DeviceUnreachable, match="not authorized"):
        tell(home, 1)
    (home.root / "broker").unlink()
    with pytest.raises(InputError, match="the address cannot be read"):
        tell(home, 2)
    assert waiting(home) == 2


def test_forged_replayed_misplaced_and_endless_messages_change_nothing(fleet: Fleet, tmp_path: Path) -> None:
    home, other = fleet.device("line-1"), fleet.device("line-2")
    key, strange = new_key(), authority_in(tmp_path / "strange")
    stranger = seal_in(
        key, strange.vouch_for(request_for(key), project=PROJECT, device="line-1", now=datetime.now(UTC))
    )
    with fleet.broker(), fleet.hearing(), somebody(fleet.port) as thief:
        until(fleet.heard)
        tell(home, 1)
        genuine = next(payload for topic, payload in thief.heard if topic == TOLD_1)
        before = fleet.collector.events("line-1")
        thief.tell(TOLD_1, events(7))
        thief.tell(TOLD_1, sealed(events(7), topic=TOLD_1, seal=stranger))
        thief.tell(TOLD_1, genuine.replace(b'"number": 1', b'"number": 9'))
        thief.tell(topic_of(PROJECT, "line-2", TOLD), genuine)
        until(lambda: fleet.refused() == {"signature": 4.0})
        thief.tell(TOLD_1, sealed(events(7), topic=TOLD_1, seal=seal_of(other)))  # enrolled, and not this one
        until(lambda: fleet.refused() == {"signature": 4.0, "topic": 1.0})
        thief.tell(TOLD_1, b" " * (MAX_MESSAGE_BYTES + 1))
        until(lambda: fleet.refused() == {"signature": 4.0, "topic": 1.0, "size": 1.0})
        thief.tell(TOLD_1, b" " * (3 * MAX_MESSAGE_BYTES))  # the broker was asked not to bring it
        answers = sum(topic == HEARD_1 for topic, _ in thief.heard)
        thief.tell(TOLD_1, genuine)
        thief.tell(TOLD_1, genuine, retain=True)
        until(lambda: sum(topic == HEARD_1 for topic, _ in thief.heard) == answers + 2)
        assert fleet.collector.events("line-1") == before
        assert fleet.collector.events("line-2") == []
        assert fleet.refused() == {"signature": 4.0, "topic": 1.0, "size": 1.0}
        tell(home, 2)
    member = fleet.collector.member("line-1")
    assert member is not None and member.rewound == 0
    assert [json.loads(each.body)["number"] for each in fleet.collector.events("line-1")] == [1, 2]


def test_a_signed_message_that_holds_no_events_is_refused_with_its_reason(fleet: Fleet) -> None:
    home = fleet.device("line-1")
    with fleet.broker(), fleet.hearing():
        until(fleet.heard)
        with line_by_broker(home) as line, pytest.raises(UpdateRefused, match="a list of at most"):
            line({"events": 3})
        with line_by_broker(home) as line, pytest.raises(UpdateRefused, match="not an event"):
            line({"events": [{"seq": -1}]})
    assert fleet.refused() == {"device": 2.0}


def test_who_was_expelled_is_told_why_and_keeps_what_it_has_to_tell(fleet: Fleet) -> None:
    home = fleet.device("line-1")
    fleet.collector.expel("line-1", "stolen")
    with fleet.broker(), fleet.hearing():
        until(fleet.heard)
        with pytest.raises(UpdateRefused, match="was expelled: stolen"):
            tell(home, 1)
    assert (waiting(home), fleet.collector.events("line-1"), fleet.refused()) == (1, [], {"device": 1.0})


def test_a_forged_acknowledgment_deletes_nothing_and_keeps_no_right_one_out(fleet: Fleet, tmp_path: Path) -> None:
    home, other = fleet.device("line-1"), fleet.device("line-2")
    opens = server_files(tmp_path / "strange", {"127.0.0.1"}, now=datetime.now(UTC))
    strange = server_seal(tmp_path / "strange", opens)
    with fleet.broker(), fleet.hearing(), somebody(fleet.port) as listener:
        until(fleet.heard)
        tell(home, 1)
        until(lambda: any(topic == HEARD_1 for topic, _ in listener.heard))
        genuine = next(payload for topic, payload in listener.heard if topic == HEARD_1)

    def forge(thief: Somebody, topic: str, payload: bytes) -> None:
        if topic != TOLD_1:
            return
        seqs = [each["seq"] for each in json.loads(payload.partition(b"\n")[2])["events"]]
        answer = {"of": sha256(payload).hexdigest(), "acknowledged": seqs, "beyond": max(seqs)}
        told = json.dumps(answer).encode()
        forged = [told, b"{}\n" + told, genuine, genuine.partition(b"\n")[0] + b"\n" + told]
        forged += [sealed(told, topic=HEARD_1, seal=seal) for seal in (strange, seal_of(home), seal_of(other))]
        for each in forged:
            thief._client.publish(HEARD_1, each, qos=1)

    with fleet.broker(), somebody(fleet.port, answers=forge) as thief:
        with not_waiting_long(), pytest.raises(DeviceUnreachable, match="no answer in time"):
            tell(home, 2)
        assert sum(topic == HEARD_1 for topic, _ in thief.heard) == 7
        assert waiting(home) == 1
        with fleet.hearing():
            until(fleet.heard)
            tell(home, 3)
    assert waiting(home) == 0
    assert [json.loads(each.body)["number"] for each in fleet.collector.events("line-1")] == [1, 2, 3]


def test_an_acknowledgment_of_a_collector_elsewhere_is_none(fleet: Fleet) -> None:
    """The authority vouched for it, but for another host than the one that the device was enrolled at."""
    home = fleet.device("line-1")
    with fleet.broker(), fleet.hearing():
        until(fleet.heard)
        server_files(fleet.folder, {"gate.example"}, now=datetime.now(UTC))
        with not_waiting_long(), pytest.raises(DeviceUnreachable, match="no answer in time"):
            tell(home, 1)
    assert waiting(home) == 1


def test_a_register_that_is_away_is_waited_for(fleet: Fleet) -> None:
    home = fleet.device("line-1")
    with fleet.broker(), fleet.hearing():
        until(fleet.heard)
        with fleet.collector.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE events RENAME TO moved")
        with pytest.raises(DeviceUnreachable, match="cannot answer now"):
            tell(home, 1)
        with fleet.collector.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE moved RENAME TO events")
        tell(home, 2)
    assert [json.loads(each.body)["number"] for each in fleet.collector.events("line-1")] == [1, 2]


def test_a_device_goes_back_to_https_and_keeps_what_it_has_to_tell(fleet: Fleet) -> None:
    home = fleet.device("line-1")
    with broker_away(), pytest.raises(DeviceUnreachable, match="the broker"):
        tell(home, 1)
    tell(told_by(open_home(home.root, files=FastFiles()), ""), 2)
    assert [json.loads(each.body)["number"] for each in fleet.collector.events("line-1")] == [1, 2]
