"""Messages to an MQTT broker, by paho, which is imported here alone.

    mqtt://user:password@host:1883/plant/line-1        mqtts://…: TLS, by the system's authorities

A message a frame, to the topic that the address names, at quality of service 1 (MQTT 3.1.1, 4.3.2): the broker may get
it twice. Decides that a broker which is away is asked again by itself, and that what waits meanwhile is bounded: the
newest are lost, and counted. Refuses an address without a topic, and topics with wildcards.
"""

from __future__ import annotations

import time
from secrets import token_hex
from typing import Any
from urllib.parse import unquote, urlsplit

from edgewright.addresses import shown
from edgewright.device.outputs import MAX_WAITING, Say, line_of
from edgewright.device.sighting import Message
from edgewright.errors import InputError, MissingExtra

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_AT_LEAST_ONCE = 1
_LAST_S, _POLL_S = 5.0, 0.05


class Broker:
    """A connection that is looked after in a thread of its own."""

    def __init__(self, address: str, *, device_id: str, say: Say) -> None:
        try:
            from paho.mqtt import client as mqtt
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise MissingExtra("MQTT needs paho", got=error, next_step="pip install 'edgewright[mqtt]'") from error
        host, port, self._topic = _parts(address)
        place = urlsplit(address)
        self._shown, self._say, self._full, self.lost = shown(address), say, mqtt.MQTT_ERR_QUEUE_SIZE, 0
        self._said = False
        self._sent = self._acknowledged = 0  # each counted in one thread
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"edgewright-{device_id}-{token_hex(4)}")
        if place.username:
            self._client.username_pw_set(unquote(place.username), unquote(place.password or ""))
        if place.scheme == "mqtts":
            self._client.tls_set()
        self._client.max_queued_messages_set(MAX_WAITING)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_publish = self._published
        self._client.on_connect_fail = lambda *_: self._problem("it does not answer")
        self._client.connect_async(host, port)
        self._client.loop_start()

    def tell(self, message: Message) -> None:
        told = self._client.publish(self._topic, line_of(message), qos=_AT_LEAST_ONCE)
        if told.rc == self._full:
            self.lost += 1
        else:
            self._sent += 1

    def close(self) -> None:
        """What waits is told for _LAST_S seconds more, where the broker is there."""
        over = time.monotonic() + _LAST_S
        while self._acknowledged < self._sent and self._client.is_connected() and time.monotonic() < over:
            time.sleep(_POLL_S)
        lost = self.lost + self._sent - self._acknowledged
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()
        if lost:
            self._say(f"{lost} messages did not reach {self._shown}")

    def _published(self, *_: Any) -> None:
        self._acknowledged += 1

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._problem(str(reason).lower())
        elif self._said:
            self._said = False
            self._say(f"{self._shown} takes messages again")

    def _disconnected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._problem(str(reason).lower())

    def _problem(self, problem: str) -> None:
        if not self._said:
            self._said = True
            self._say(f"{self._shown} does not take messages: {problem}; they wait")


def _parts(address: str) -> tuple[str, int, str]:
    """(host, port, topic). Raises InputError."""
    place = urlsplit(address)
    topic = unquote(place.path.lstrip("/"))
    try:
        port = place.port or _PORTS[place.scheme]
    except ValueError:
        port = 0
    if not place.hostname or not port or not topic or place.query or "#" in address or set("+#\0") & set(topic):
        raise InputError("not a broker and a topic", expected="mqtt://host[:port]/topic", got=shown(address))
    return place.hostname, port, topic
