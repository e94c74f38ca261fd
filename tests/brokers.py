"""A real broker on this machine, Debian's mosquitto, and somebody who is let into it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

_MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
needs_mosquitto = pytest.mark.skipif(_MOSQUITTO is None, reason="no broker: Debian's mosquitto")


@contextmanager
def broker(folder: Path, port: int) -> Iterator[None]:
    """Knows the user `line` alone."""
    config, passwords = folder / "mosquitto.conf", folder / "passwords"
    passwords.write_text("line:secret\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    config.write_text(f"user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n")
    with subprocess.Popen([str(_MOSQUITTO), "-c", str(config)], stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr
            assert any("running" in line for line in running.stderr)
            yield
        finally:
            running.kill()


class Somebody:
    """Who has the broker's password: hears all of a fleet, and writes wherever they like."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.heard: list[tuple[str, bytes]] = []

    def tell(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)


@contextmanager
def somebody(
    port: int, hears: str = "edgewright/#", answers: Callable[[Somebody, str, bytes], None] | None = None
) -> Iterator[Somebody]:
    """`answers`: what they do with each message, in the connection's thread: no waiting there."""
    from paho.mqtt import client as mqtt

    ready: Queue[bool] = Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.username_pw_set("line", "secret")
    found = Somebody(client)

    def came(_client: Any, _data: Any, message: Any) -> None:
        found.heard.append((message.topic, message.payload))
        if answers:
            answers(found, message.topic, message.payload)

    client.on_message = came
    client.on_subscribe = lambda *_: ready.put(True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe(hears, qos=1)
    ready.get(timeout=10)
    yield found
    client.disconnect()
    client.loop_stop()
