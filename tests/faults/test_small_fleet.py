"""Faults in a fleet of processes, five devices' loops, of which two tell their events by a real broker."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgewright.device.sealed import TOLD, topic_of
from edgewright.release import bundle as bundles
from tests.brokers import broker, needs_mosquitto, somebody
from tests.conftest import free_port
from tests.small_fleet import PROJECT, SmallFleet, releases_told

pytest.importorskip("paho.mqtt.client")
pytestmark = [pytest.mark.faults, needs_mosquitto]

N, N_BY_BROKER = 5, 2
AWAY_S = 20.0


def test_the_broker_of_two_devices_is_killed_while_a_release_goes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bad release has ended at the canary; with a good one that reaches all once the broker is back."""
    monkeypatch.setattr(bundles, "_report", lambda out: None)  # nobody looks at the bad one's golden pictures
    port, address = free_port(), tmp_path / "address"
    address.write_text(f"mqtt://line:secret@127.0.0.1:{port}\n")
    fleet = SmallFleet(tmp_path, N, N_BY_BROKER, broker=f"@{address}", every_s=2)
    fleet.publish(1)
    began = time.monotonic()
    with ExitStack() as held:
        stands = held.enter_context(ExitStack())
        stands.enter_context(broker(tmp_path, port))
        listener = stands.enter_context(somebody(port))
        held.enter_context(fleet.served())
        with fleet.devices_run():
            fleet.await_first_figures()
            fleet.see_a_bad_one_withdrawn()
            by_broker = {topic for topic, _ in listener.heard if topic.endswith(TOLD)}
            stands.close()
            fleet.roll_out(3, gain=0.95)
            over = time.monotonic() + AWAY_S
            fleet.step_until(lambda: time.monotonic() > over)
            assert not fleet.ended, "who cannot be heard has not proven it"
            held.enter_context(broker(tmp_path, port))
            fleet.see_it_reach_all(3)
        fleet.check_in()
    told = fleet.require_each_event_once()
    assert by_broker == {topic_of(PROJECT, name, TOLD) for name in fleet.by_broker}
    ran = sorted(map(releases_told, told))
    assert ran == [[1, 2, 3], *[[1, 3]] * (N - 1)], "the bad one was at the canary alone"
    states = sum(one.kind == "state" for each in told for one in each)
    print(f"{N} devices: {time.monotonic() - began:.0f} s, {sum(map(len, told))} events, {states} of them of state")
