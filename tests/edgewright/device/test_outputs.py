from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgewright.device.outputs import MAX_MESSAGES, MAX_WAITING, Webhook, open_outputs
from edgewright.errors import InputError
from tests.listeners import closed_port, silent


class Receiver:
    """A webhook's other end; it fails while `failing`."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.failing = False
        self.asked_by: str | None = None
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                own.asked_by = self.headers["Authorization"]
                if not own.failing:
                    own.messages += payload
                self.send_response(503 if own.failing else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/seen"

    def wait_for(self, count: int) -> None:
        over = time.monotonic() + 20
        while len(self.messages) < count and time.monotonic() < over:
            time.sleep(0.02)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    threading.Thread(target=running.server.serve_forever, daemon=True).start()
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_lines_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with open_outputs(["-"], device_id="d", say=print) as outputs:
        outputs.each[0].tell({"frame": "a.png", "detections": []})
    assert json.loads(capsys.readouterr().out) == {"frame": "a.png", "detections": []}


def test_a_webhook_hears_every_message_in_order_also_after_it_was_away(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "address").write_text(f"{receiver.url.replace('//', '//me:a%20word@')}\n")
    said: list[str] = []
    with open_outputs([f"@{tmp_path / 'address'}"], device_id="d", say=said.append) as outputs:
        for number in range(150):
            outputs.each[0].tell({"frame": number})
        receiver.wait_for(150)
        receiver.failing = True
        outputs.each[0].tell({"frame": 150})
        over = time.monotonic() + 20
        while not said and time.monotonic() < over:
            time.sleep(0.02)
        receiver.failing = False
        outputs.each[0].tell({"frame": 151})
        receiver.wait_for(152)
    assert [message["frame"] for message in receiver.messages] == list(range(152))
    assert receiver.asked_by == "Basic " + b64encode(b"me:a word").decode()
    assert "HTTP 503; they wait" in said[0] and said[1].endswith("takes messages again") and len(said) == 2


def test_nobody_who_listens_holds_the_detecting_up() -> None:
    """A program that takes the connection and says nothing: telling goes on, the oldest are lost and counted."""
    said: list[str] = []
    with silent() as port:
        webhook = Webhook(f"http://127.0.0.1:{port}", say=said.append, patience_s=0.2)
        began = time.monotonic()
        for number in range(3 * MAX_WAITING):
            webhook.tell({"frame": number})
        assert time.monotonic() - began < 5
        webhook.close()
    assert MAX_WAITING - MAX_MESSAGES <= len(webhook._waiting) <= MAX_WAITING
    assert said[0] == f"{3 * MAX_WAITING} messages did not reach http://127.0.0.1:{port}"


def test_what_was_told_to_nobody_is_said_once_and_counted() -> None:
    said: list[str] = []
    webhook = Webhook(f"http://me:secret@127.0.0.1:{closed_port()}/x", say=said.append, patience_s=1.5)
    webhook.tell({"frame": 1})
    webhook.close()
    assert len(said) == 2 and "connection refused" in said[0] and said[1].startswith("1 messages did not reach")
    assert "secret" not in "".join(said)


@pytest.mark.parametrize("address", ["ftp://x", "file:///etc/passwd", "http://", "mqtt://host", "mqtt://host/a/#", ""])
def test_what_is_no_output_is_refused(address: str) -> None:
    with pytest.raises(InputError), open_outputs([address], device_id="d", say=print):
        pass


def test_a_redirect_is_a_refusal_and_takes_no_password_along() -> None:
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{elsewhere.server_port}/")
            self.end_headers()

        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    said: list[str] = []
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as here,
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as elsewhere,
    ):
        for server in (here, elsewhere):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        webhook = Webhook(f"http://me:secret@127.0.0.1:{here.server_port}/x", say=said.append, patience_s=1.0)
        webhook.tell({"frame": 1})
        webhook.close()
        for server in (here, elsewhere):
            server.shutdown()
    assert asked == [] and "HTTP 302" in said[0] and said[-1].startswith("1 messages did not reach")
