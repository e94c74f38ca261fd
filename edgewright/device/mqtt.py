"""Messages to an MQTT broker, by paho, which is imported here alone.

    mqtt://user:password@host:1883/plant/line-1        mqtts://…: TLS, by the system's authorities

`Broker`: a message a frame, to the topic that the address names, at quality of service 1 (MQTT 3.1.1, 4.3.2): the
broker may get it twice. Decides that a broker which is away is asked again by itself, and that what waits meanwhile is
bounded: the newest are lost, and counted. Refuses an address without a topic, and topics with wildcards.

`Post`: what a device and its collector exchange, which hears, too (MQTT 5: a broker is told how long a message may be,
and says why it takes none). Refuses an address with a topic. Believes nothing: what was heard is for others to judge.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from secrets import token_hex
from typing import Any
from urllib.parse import unquote, urlsplit

from edgewright.addresses import checked, shown
from edgewright.device.outputs import MAX_WAITING, Say, line_of
from edgewright.device.sighting import Message
from edgewright.errors import InputError, MissingExtra

_PORTS = {"mqtt": 1883, "mqtts": 8883}
SCHEMES = tuple(_PORTS)
_AT_LEAST_ONCE = 1
_LAST_S, _POLL_S = 5.0, 0.05
_ASIDE_BYTES = 2_000
"""Of an MQTT packet, beside its payload: the topic and a few numbers."""


class Broker:
    """A connection that is looked after in a thread of its own."""

    def __init__(self, address: str, *, device_id: str, say: Say) -> None:
        mqtt = _paho()
        host, port, self._topic = _parts(address)
        self._shown, self._say, self._full, self.lost = shown(address), say, mqtt.MQTT_ERR_QUEUE_SIZE, 0
        self._said = False
        self._sent = self._acknowledged = 0  # each counted in one thread
        self._client = _client(mqtt, address, name=device_id, protocol=mqtt.MQTTv311)
        self._client.max_queued_messages_set(MAX_WAITING)
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


class Post:
    """Hears one topic, or all that a filter names, and tells others; comes back by itself where the broker was away.

    Args:
        on_state: "" whenever it begins to hear; else why it does not, or why a message was not taken.
        on_message: (topic, payload), in the thread of the connection; it must not raise.
        max_bytes: of a message. The broker is asked to bring no longer ones.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str,
        hears: str,
        max_bytes: int,
        on_message: Callable[[str, bytes], None],
        on_state: Callable[[str], None],
    ) -> None:
        mqtt = _paho()
        host, port = broker_in(address)
        self._hears, self._state = hears, on_state
        self._client = _client(mqtt, address, name=name, protocol=mqtt.MQTTv5)
        self._client.max_queued_messages_set(MAX_WAITING)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda _c, _d, _id, reasons, _p: self._told(reasons[0])
        self._client.on_publish = self._published
        self._client.on_disconnect = lambda _c, _d, _flags, reason, _p: on_state(str(reason).lower())
        self._client.on_connect_fail = lambda *_: on_state("it does not answer")
        self._client.on_message = lambda _c, _d, message: on_message(message.topic, message.payload)
        longest = mqtt.Properties(mqtt.PacketTypes.CONNECT)
        longest.MaximumPacketSize = max_bytes + _ASIDE_BYTES
        self._client.connect_async(host, port, properties=longest)
        self._client.loop_start()

    def tell(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=_AT_LEAST_ONCE)

    def close(self) -> None:
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._told(reason)
        else:
            client.subscribe(self._hears, qos=_AT_LEAST_ONCE)

    def _published(self, _client: Any, _data: Any, _id: int, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._told(reason)

    def _told(self, reason: Any) -> None:
        self._state(str(reason).lower() if reason.is_failure else "")


def _paho() -> Any:
    """Its client module. Raises MissingExtra."""
    try:
        from paho.mqtt import client as mqtt
    except ImportError as error:
        raise MissingExtra("MQTT needs paho", got=error, next_step="pip install 'edgewright[mqtt]'") from error
    return mqtt


def _client(mqtt: Any, address: str, *, name: str, protocol: Any) -> Any:
    place = urlsplit(address)
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=f"edgewright-{name}-{token_hex(4)}", protocol=protocol
    )
    if place.username:
        client.username_pw_set(unquote(place.username), unquote(place.password or ""))
    if place.scheme == "mqtts":
        client.tls_set()
    client.reconnect_delay_set(1, 30)
    return client


def broker_in(address: str) -> tuple[str, int]:
    """(host, port). Raises InputError where it is no address of a broker, or names a topic.

    >>> broker_in("mqtts://gate")
    ('gate', 8883)
    """
    place = urlsplit(checked(address, schemes=SCHEMES))
    if place.path.strip("/"):
        raise InputError("a broker's address has no topic here", expected="mqtt(s)://host[:port]", got=shown(address))
    return place.hostname or "", place.port or _PORTS[place.scheme]


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
