"""Against a real broker: Debian's mosquitto."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from edgewright.device.mqtt import broker_in
from edgewright.device.outputs import open_outputs
from edgewright.errors import InputError
from tests.brokers import broker, needs_mosquitto
from tests.conftest import free_port

mqtt = pytest.importorskip("paho.mqtt.client")

pytestmark = needs_mosquitto


@contextmanager
def subscribed(port: int) -> Iterator[Callable[[], dict[str, Any]]]:
    heard: Queue[dict[str, Any]] = Queue()
    ready: Queue[bool] = Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.username_pw_set("line", "secret")
    client.on_message = lambda _c, _d, message: heard.put(json.loads(message.payload))
    client.on_subscribe = lambda *_: ready.put(True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe("plant/line 1", qos=1)
    ready.get(timeout=10)
    yield lambda: heard.get(timeout=15)
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broker")


def test_messages_arrive_also_after_the_broker_was_away(folder: Path) -> None:
    port, said = free_port(), list[str]()
    address = f"mqtt://line:secret@127.0.0.1:{port}/plant/line%201"
    second = f"mqtt://line:secret@127.0.0.1:{port}/plant/other"  # a broker throws out whoever has another's name
    with open_outputs([address, second], device_id="line-1", say=said.append) as outputs:
        outputs.each[0].tell({"frame": 0})  # before it is there
        with broker(folder, port), subscribed(port) as heard:
            frames = {heard()["frame"]}
            for number in range(1, 20):
                outputs.each[0].tell({"frame": number})
            while len(frames) < 20:
                frames.add(heard()["frame"])
            over = time.monotonic() + 15
            while len(said) < 4 and time.monotonic() < over:  # each comes back by a clock of its own
                time.sleep(0.05)
        assert frames == set(range(20))
        over = time.monotonic() + 15
        while len(said) < 6 and time.monotonic() < over:
            time.sleep(0.05)
        outputs.each[0].tell({"frame": 20})
    assert sum("does not answer" in each for each in said) == 2, said
    assert sum(each.endswith("takes messages again") for each in said) == 2, said
    assert len(said) == 7 and said[-1] == f"1 messages did not reach mqtt://127.0.0.1:{port}/plant/line%201"
    assert "secret" not in "".join(said)


def test_a_broker_that_refuses_is_said(folder: Path) -> None:
    port, said = free_port(), list[str]()
    address = f"mqtt://line:wrong@127.0.0.1:{port}/x"
    with broker(folder, port), open_outputs([address], device_id="d", say=said.append) as outputs:
        outputs.each[0].tell({"frame": 0})
        over = time.monotonic() + 15
        while not said and time.monotonic() < over:
            time.sleep(0.05)
    assert "not authorized" in said[0]


@pytest.mark.parametrize(
    "address",
    ["gate:1883", "http://gate", "mqtt://", "mqtt://gate:99999", "mqtt://gate/topic", "mqtt://gate?x=1", ""],
)
def test_a_brokers_address_is_one_and_names_no_topic(address: str) -> None:
    with pytest.raises(InputError, match="address"):
        broker_in(address)
