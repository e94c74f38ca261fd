"""What a collector stands: devices that check in, each on a TLS connection of its own, against a real process.

A check-in is what a device does after each feed: connect, prove itself, tell one report, hear that it is kept (which
is a synced commit of the collector's), and go. First as many as come, then at a fleet's own pace: --devices a minute.
The baseline of the first is the same conversation without the collector's work, `GET /authority`; bytes are counted on
the wire, handshake included.

The bound: >= 170 check-ins a second, p99 <= 250 ms at that pace, on loopback. Clients share the machine.

python benchmarks/collector.py --devices 10000 --seconds 60
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from edgewright.device.identity import new_key, request_for
from edgewright.device.phases import PHASES, FrameTimes, PhaseTimes
from edgewright.device.report import DeviceReport
from edgewright.device.runner import FeedReport
from edgewright.fleet.authority import authority_in, key_in, sha256_of
from edgewright.fleet.register import invite, open_register, redeem
from tasks.serve.ports import free_port

PROJECT = "belt"
PROCESSES, THREADS = 2, 8
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class CheckIn:
    """Attributes: began_s: of the clock that all share. took_ms: until the answer was read. sent, received: bytes."""

    began_s: float
    took_ms: float
    sent: int
    received: int


@dataclass(frozen=True)
class Load:
    """What one process does. Attributes: every_s: between two of its check-ins; 0: as fast as they come."""

    folder: Path
    port: int
    numbers: range
    first_seq: int
    path: str
    seconds: float
    every_s: float


def report() -> dict[str, object]:
    """As a device tells of a feed of a thousand frames."""
    phases = {name: PhaseTimes.of(np.random.default_rng(0).gamma(4.0, 2.0, 1_000).tolist()) for name in PHASES}
    times = FrameTimes(phases, 10.0, 15.0, 20.0, frames=1_000, limit_ms=50.0, over=3)
    feed = FeedReport(1_000, 0, 4_000, 10.0, 20.0, times)
    return DeviceReport("device", "run", "a", 7, "f" * 64, feed=feed, latest=feed, tier="full").to_json()


def talk(context: ssl.SSLContext, port: int, method: str, path: str, body: bytes) -> CheckIn:
    """One conversation, with its bytes counted beneath TLS. Raises OSError where the answer is no 200."""
    began, sent, received = time.time(), 0, 0
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    line = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def flush() -> int:
            piece = outgoing.read()
            wire.sendall(piece)
            return len(piece)

        def fill() -> int:
            piece = wire.recv(_PIECE_BYTES)
            if not piece:
                raise ConnectionError("the collector has hung up")
            return incoming.write(piece)

        while True:
            try:
                line.do_handshake()
                break
            except ssl.SSLWantReadError:
                sent += flush()
                received += fill()
        line.write(head.encode() + body)
        sent += flush()
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            try:
                answer += line.read(_PIECE_BYTES)
            except ssl.SSLWantReadError:
                received += fill()
    if not answer.startswith(b"HTTP/1.1 200"):
        raise OSError(answer[:200])
    return CheckIn(began, 1e3 * (time.time() - began), sent, received)


def run_load(load: Load) -> list[CheckIn]:
    """A device after the other, by several threads; at a pace, each begins when its time has come."""
    contexts = {number: _context(load.folder, number) for number in load.numbers}
    said, began = report(), time.monotonic()
    turns = itertools.count()

    def work(_: int) -> list[CheckIn]:
        done: list[CheckIn] = []
        while True:
            turn = next(turns)
            due = began + turn * load.every_s
            if max(due, time.monotonic()) - began > load.seconds:
                return done
            time.sleep(max(0.0, due - time.monotonic()))
            number = load.numbers[turn % len(load.numbers)]
            event = {
                "seq": load.first_seq + turn // len(load.numbers),
                "kind": "report",
                "at": time.time(),
                "body": said,
            }
            body = json.dumps({"events": [event]}).encode() if load.path == "/events" else b""
            done.append(talk(contexts[number], load.port, "POST" if body else "GET", load.path, body))

    with ThreadPoolExecutor(THREADS) as threads:
        return [each for done in threads.map(work, range(THREADS)) for each in done]


def _context(folder: Path, number: int) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "fleet/authority.crt"))
    context.load_cert_chain(folder / f"devices/{number}.pem")
    return context


def make_fleet(folder: Path, devices: int) -> None:
    """Keys, certificates and rows, as `enroll` makes them."""
    authority, now = authority_in(folder / "fleet"), time.time()
    (folder / "devices").mkdir()
    engine = open_register(f"sqlite:///{folder / 'fleet/register.sqlite'}")
    with engine.begin() as connection:
        for number in range(devices):
            key, name = new_key(), f"device-{number:05d}"
            request = request_for(key)
            made = authority.vouch_for(request, project=PROJECT, device=name, now=datetime.now(UTC))
            (folder / f"devices/{number}.pem").write_bytes(key + made)
            secret = invite(
                connection, project=PROJECT, channel="stable", tier="full", server_url="http://127.0.0.1:9", now=now
            )
            redeem(connection, secret, key_sha256=sha256_of(key_in(request)), device=name, now=now)
    engine.dispose()


@contextmanager
def collector(folder: Path) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "edgewright.cli", "serve-collector", "--port", str(port)]
    environment = {"EDGEWRIGHT_HOME": str(folder), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert "Collector" in process.stdout.readline()
        yield port
    finally:
        process.terminate()
        process.wait()


def measured(
    folder: Path, port: int, path: str, *, devices: int, seconds: float, a_second: float, first_seq: int
) -> None:
    """Args: a_second: check-ins of all processes together; 0: as many as come."""
    share = devices // PROCESSES
    every_s = PROCESSES / a_second if a_second else 0.0
    loads = [
        Load(folder, port, range(k * share, (k + 1) * share), first_seq, path, seconds, every_s)
        for k in range(PROCESSES)
    ]
    with get_context("spawn").Pool(PROCESSES) as pool:
        done = [each for found in pool.map(run_load, loads) for each in found]
    began, ended = min(each.began_s for each in done), max(each.began_s + each.took_ms / 1e3 for each in done)
    took = np.array([each.took_ms for each in done])
    pace = f"{a_second:.0f} a second asked" if a_second else "as many as come"
    print(
        f"{path:<11} {pace:<20} {len(done):>6} in {ended - began:5.1f} s: {len(done) / (ended - began):6.1f} a second, "
        f"p50 {np.percentile(took, 50):6.1f} ms, p99 {np.percentile(took, 99):6.1f} ms, "
        f"{np.mean([each.sent for each in done]):,.0f} bytes sent, "
        f"{np.mean([each.received for each in done]):,.0f} received each",
        flush=True,
    )


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.monotonic()
        make_fleet(folder, given.devices)
        print(f"{given.devices} devices enrolled in {time.monotonic() - began:.1f} s", flush=True)
        with collector(folder) as port:
            fleet = {"devices": given.devices, "seconds": given.seconds}
            measured(folder, port, "/authority", **fleet, a_second=0.0, first_seq=1)
            measured(folder, port, "/events", **fleet, a_second=0.0, first_seq=1)
            measured(folder, port, "/events", **fleet, a_second=given.devices / 60, first_seq=1_000_001)


if __name__ == "__main__":
    main()
