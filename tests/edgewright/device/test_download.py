"""Bundles over lines that break, drip and lie: a real server behind a real proxy."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError

from edgewright.device import download, fetcher
from edgewright.device.download import ATTEMPTS, MAX_PARTS, Part, downloaded, forget_parts, part_of
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home
from edgewright.errors import DeviceUnreachable, UpdateRefused
from edgewright.release.repository import ReleaseReport
from edgewright.release.server import RepositoryServer
from tests.cut_points import CountCutPoints
from tests.disks import CUTS, ERRORS, CutFiles, FastFiles, PowerCut
from tests.edgewright.device.conftest import Device

PAYLOAD = bytes(range(256)) * 400


@dataclass
class BadLine:
    """Attributes:
    breaks_after: bytes of an answer that a connection carries which asks for a bundle's file; None: any.
    pause_s: before each piece of it. passed: bytes of such answers in all.
    """

    port: int = 0
    breaks_after: int | None = None
    pause_s: float = 0.0
    passed: int = 0

    def carry(self, near: socket.socket, target: int) -> None:
        with suppress(OSError), near, socket.create_connection(("127.0.0.1", target)) as far:
            while asked := near.recv(65_536):
                of_bundle = b"GET /targets/" in asked
                far.sendall(asked)
                if not self._answer(near, far, self.breaks_after if of_bundle else None, counts=of_bundle):
                    return

    def _answer(self, near: socket.socket, far: socket.socket, left: int | None, *, counts: bool) -> bool:
        """One answer, whose head says how long it is; whether the line still stands."""
        head, body = b"", b""
        while b"\r\n\r\n" not in head:
            head += far.recv(65_536)
        head, _, body = head.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
        near.sendall(head + b"\r\n\r\n")
        while length:
            body = body or far.recv(65_536)
            piece, body = body[: min(left or 64, 64)], body[min(left or 64, 64) :]
            time.sleep(self.pause_s if counts else 0.0)
            near.sendall(piece)
            length -= len(piece)
            self.passed += len(piece) if counts else 0
            if left is not None and (left := left - len(piece)) <= 0 < length:
                return False
        return True


@contextmanager
def bad_line(url: str) -> Iterator[BadLine]:
    line, target = BadLine(), urlsplit(url).port
    assert target
    with socket.create_server(("127.0.0.1", 0)) as listening:
        line.port = listening.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listening.accept()
                    threading.Thread(target=line.carry, args=(near, target), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield line


@pytest.fixture
def line(server: RepositoryServer) -> Iterator[BadLine]:
    with bad_line(server.url) as found:
        yield found


@pytest.fixture
def device(
    publish: Callable[..., ReleaseReport],
    make_bundle: Callable[..., Path],
    make_device: Callable[..., Device],
    line: BadLine,
    monkeypatch: pytest.MonkeyPatch,
) -> Device:
    monkeypatch.setattr(download, "PAUSE_S", 0.001)
    publish(make_bundle(release=1))
    made = make_device()
    config = DeviceConfig("device-0", f"http://127.0.0.1:{line.port}", "stable")
    made.home = init_home(made.home.root, trust_root=made.home.trust_root, config=config, files=made.home.files)
    return made


def test_a_line_that_breaks_again_and_again_brings_it_all_and_nothing_twice(device: Device, line: BadLine) -> None:
    assert device.update().changed
    whole = line.passed
    for path in device.slots.folder("a").rglob("*"):
        path.unlink() if path.is_file() else None
    (device.home.root / "state.json").unlink()
    (device.home.root / "state.bak").unlink()
    line.passed, line.breaks_after = 0, 100
    assert device.update().changed
    assert device.running == 1
    assert line.passed == whole > 1_000, "nothing that had arrived came again"
    assert not list((device.home.root / "parts").iterdir())


def test_what_has_arrived_is_kept_for_the_next_update(
    device: Device, line: BadLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    line.breaks_after = 150
    with pytest.raises(DeviceUnreachable, match="it closed the connection"):
        device.update()
    updates = 1
    while not device.running and updates < 100:
        assert list((device.home.root / "parts").iterdir())
        updates += 1
        with suppress(DeviceUnreachable):
            device.update()
    assert 3 < updates < 40
    assert not list((device.home.root / "parts").iterdir())


def test_what_was_there_before_is_no_measure_of_the_line(device: Device, line: BadLine) -> None:
    whole = device.update().downloaded_bytes
    bundle = device.slots.bundle("a")
    assert bundle
    payload, digest = bundle.model.read_bytes(), bundle.manifest.files[bundle.model.name].sha256
    device.slots.withdraw("a")
    part_of(device.home, digest).keep(payload[:-100])  # of what goes into the other slot now
    assert len(payload) > 100 and device.update().downloaded_bytes == whole - len(payload[:-100])


def test_a_part_that_is_not_the_files_costs_one_attempt(device: Device, line: BadLine) -> None:
    line.breaks_after = None
    device.update()
    bundle = device.slots.bundle("a")
    assert bundle
    model, digest = bundle.model, bundle.manifest.files[bundle.model.name].sha256
    device.slots.withdraw("a")
    model.unlink()
    part_of(device.home, digest).keep(b"no beginning of it")
    with pytest.raises(UpdateRefused, match="refused"):
        device.update()
    assert device.update().changed


def test_a_server_that_drips_is_left(device: Device, line: BadLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher.FromServer.__init__, "__kwdefaults__", {"deadline_s": 2.0})
    line.pause_s = 0.2
    began = time.monotonic()
    with pytest.raises(DeviceUnreachable, match="takes too long"):
        device.update()
    assert time.monotonic() - began < 10
    assert line.passed < 800, "in the middle of a file"


def pieces_of(payload: bytes, *, at_once: int = 7, breaks: int | None = None) -> Iterator[bytes]:
    for start in range(0, len(payload), at_once):
        if breaks is not None and start >= breaks:
            raise DownloadError("the line broke")
        yield payload[start : start + at_once]


@pytest.fixture
def part(tmp_path: Path) -> Part:
    config = DeviceConfig("line-1", "http://127.0.0.1:9", "stable")
    return part_of(init_home(tmp_path / "device", trust_root=b"root", config=config, files=Files()), "a" * 64)


def test_a_server_that_knows_no_ranges_begins_anew(part: Part) -> None:
    part.keep(PAYLOAD[:1_000])
    asked: list[int] = []

    def source(first: int) -> tuple[int, Iterator[bytes]]:
        asked.append(first)
        return 0, pieces_of(PAYLOAD)

    assert downloaded(source, length=len(PAYLOAD), part=part) == PAYLOAD
    assert asked == [1_000]


@pytest.mark.power
@pytest.mark.parametrize("disk", [*CUTS, *ERRORS])
def test_the_disk_fails_at_every_call_of_a_download_over_a_line_that_breaks(
    part: Part, disk: type[CutFiles], cut_points: CountCutPoints
) -> None:
    """What is kept is a beginning of the file, wherever it was cut; it goes on from there, and all of it comes."""

    def source(first: int) -> tuple[int, Iterator[bytes]]:
        return first, pieces_of(PAYLOAD[first:], at_once=5_000, breaks=30_000)

    def whole(files: Files) -> bytes:
        each = Part(replace(part.home, files=files), part.path)
        payload = downloaded(source, length=len(PAYLOAD), part=each, sleep=lambda _: None)
        each.drop()
        return payload

    counting = CutFiles()
    assert whole(counting) == PAYLOAD
    points = disk.points(counting)
    for at in points:
        with suppress(PowerCut, OSError):
            assert whole(disk(at)) == PAYLOAD, "a disk that takes nothing holds no download up"
        assert PAYLOAD.startswith(part.read())
        assert whole(FastFiles()) == PAYLOAD
        assert not part.path.exists()
    cut_points("download", disk.kind, len(points))


@pytest.mark.parametrize("kept", [b"", b"x" * 50, PAYLOAD + b"x"])
def test_more_than_was_signed_is_refused_at_once(part: Part, kept: bytes) -> None:
    part.keep(kept)
    came = 0

    def endless(first: int) -> tuple[int, Iterator[bytes]]:
        def pieces() -> Iterator[bytes]:
            nonlocal came
            while True:
                came += 1_000
                yield b"." * 1_000

        return first, pieces()

    with pytest.raises(DownloadLengthMismatchError):
        downloaded(endless, length=len(PAYLOAD), part=part)
    assert came <= len(PAYLOAD) + 1_000


@pytest.mark.parametrize(("kept", "asks"), [(b"", 1), (b"kept", 2)])
def test_a_server_that_has_no_such_part_is_asked_once_more_at_most(part: Part, kept: bytes, asks: int) -> None:
    part.keep(kept)
    asked: list[int] = []

    def source(first: int) -> tuple[int, Iterator[bytes]]:
        asked.append(first)
        raise DownloadHTTPError("no such part", 416)

    with pytest.raises(DownloadHTTPError):
        downloaded(source, length=10, part=part)
    assert asked == [len(kept), 0][-asks:] if asks == 1 else asked == [len(kept), 0]


def test_it_waits_longer_each_time_and_gives_up(part: Part) -> None:
    pauses: list[float] = []

    def source(first: int) -> tuple[int, Iterator[bytes]]:
        raise DownloadError("no line")

    with pytest.raises(DownloadError):
        downloaded(source, length=10, part=part, sleep=pauses.append)
    assert len(pauses) == ATTEMPTS - 1
    assert all(0.5 <= pause / (0.5 * 2**number) <= 1.5 for number, pause in enumerate(pauses))


def test_of_many_parts_the_oldest_go(part: Part) -> None:
    parts = [part_of(part.home, f"{number:064x}") for number in range(MAX_PARTS + 3)]
    for number, each in enumerate(parts):
        each.keep(bytes([number]))
        os.utime(each.path, (number, number))
    assert [each.read() for each in parts[:3]] == [b""] * 3
    assert [each.read() for each in parts[3:]] == [bytes([number]) for number in range(3, MAX_PARTS + 3)]
    parts[5].drop()
    parts[5].drop()
    assert parts[5].read() == b""
    forget_parts(part.home)
    assert all(each.read() == b"" for each in parts)
