"""The power fails at every call of the file port, in three ways; afterwards a slot runs and the update completes."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from edgewright.device.files import Files
from edgewright.device.process import agent_command, agent_environment
from edgewright.device.start import commit, start
from edgewright.release.repository import ReleaseReport
from tests.edgewright.device.conftest import Device

Make = Callable[..., Path]
Publish = Callable[..., ReleaseReport]
MakeDevice = Callable[..., Device]


class PowerCut(BaseException):
    """Not an Exception: nothing in the agent may catch it and go on."""


class FastFiles(Files):
    """Waits for no disk: which bytes survive is decided here, not by the machine that runs the tests."""

    def fsync(self, stream: IO[bytes]) -> None:
        pass

    def fsync_dir(self, path: Path) -> None:
        pass

    def database(self, path: Path) -> sqlite3.Connection:
        """What sqlite syncs, and what a power cut makes of that, is test_outbox_power.py's."""
        connection = super().database(path)
        connection.execute("PRAGMA synchronous = OFF")
        connection.set_authorizer(_asks_for_no_sync)
        return connection


def _asks_for_no_sync(action: int, name: str | None, value: str | None, *_: object) -> int:
    asks = action == sqlite3.SQLITE_PRAGMA and name == "synchronous"
    return sqlite3.SQLITE_IGNORE if asks else sqlite3.SQLITE_OK


class CutFiles(FastFiles):
    """The power fails at call number `at`: before it, in the middle of it, or after it."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.calls = at, 0
        self.writes: list[int] = []

    def _cut(self) -> None:
        raise PowerCut(f"call {self.calls}")

    def _call(self, half: Callable[[], None], whole: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls == self.at:
            half()
            self._cut()
        return whole()

    def open(self, path: Path) -> IO[bytes]:
        return self._call(lambda: None, lambda: super(CutFiles, self).open(path))

    def write(self, stream: IO[bytes], piece: bytes) -> None:
        self.writes.append(self.calls + 1)
        self._call(lambda: None, lambda: super(CutFiles, self).write(stream, piece))

    def fsync(self, stream: IO[bytes]) -> None:
        self._call(lambda: None, lambda: super(CutFiles, self).fsync(stream))

    def rename(self, old: Path, new: Path) -> None:
        self._call(lambda: None, lambda: super(CutFiles, self).rename(old, new))

    def fsync_dir(self, path: Path) -> None:
        self._call(lambda: None, lambda: super(CutFiles, self).fsync_dir(path))

    def make_dir(self, path: Path) -> None:
        self._call(lambda: None, lambda: super(CutFiles, self).make_dir(path))

    def remove(self, path: Path) -> None:
        self._call(lambda: None, lambda: super(CutFiles, self).remove(path))


class TornFiles(CutFiles):
    """A write that is cut leaves half its bytes."""

    def write(self, stream: IO[bytes], piece: bytes) -> None:
        half = piece[: len(piece) // 2]
        self._call(lambda: stream.write(half), lambda: Files.write(self, stream, piece))


class LossyFiles(CutFiles):
    """What was not synced is lost: contents without fsync, names without fsync of their folder.

    The harshest disk that POSIX allows: every unsynced change is undone, in reverse order.
    """

    def __init__(self, at: int | None = None) -> None:
        super().__init__(at)
        self._undo: list[tuple[Path, Callable[[], None]]] = []  # (what must be synced, how to lose it)

    def _cut(self) -> None:
        for _, undo in reversed(self._undo):
            undo()
        super()._cut()

    def _synced(self, path: Path) -> None:
        self._undo = [entry for entry in self._undo if entry[0] != path]

    def open(self, path: Path) -> IO[bytes]:
        old = path.read_bytes() if path.exists() else None
        stream = super().open(path)
        self._undo.append((path.parent, lambda: path.unlink(missing_ok=True) if old is None else path.write_bytes(old)))
        self._undo.append((path, lambda: path.write_bytes(b"") if path.exists() else None))
        return stream

    def fsync(self, stream: IO[bytes]) -> None:
        super().fsync(stream)
        self._synced(Path(stream.name))

    def rename(self, old: Path, new: Path) -> None:
        before = new.read_bytes() if new.exists() else None
        moved = old.read_bytes()
        super().rename(old, new)
        self._undo = [entry for entry in self._undo if entry[0] != old]

        def undo() -> None:
            old.write_bytes(moved)
            new.unlink(missing_ok=True) if before is None else new.write_bytes(before)

        self._undo.append((new.parent, undo))

    def fsync_dir(self, path: Path) -> None:
        super().fsync_dir(path)
        self._synced(path)

    def make_dir(self, path: Path) -> None:
        existed = path.exists()
        super().make_dir(path)
        if not existed:
            self._undo.append((path.parent, lambda: shutil.rmtree(path, ignore_errors=True)))

    def remove(self, path: Path) -> None:
        old = path.read_bytes() if path.exists() else None
        super().remove(path)
        if old is not None:
            self._undo.append((path.parent, lambda: path.write_bytes(old)))


MODES = [CutFiles, TornFiles, LossyFiles]


def update_and_start(device: Device) -> None:
    device.update()
    device.start_and_commit()


@pytest.mark.parametrize("disk", MODES)
def test_the_power_fails_at_every_write_of_an_update(
    disk: type[CutFiles],
    make_bundle: Make,
    publish: Publish,
    make_device: MakeDevice,
    tmp_path: Path,
) -> None:
    publish(make_bundle(release=1))
    update_and_start(make_device("installed"))
    publish(make_bundle(release=2, gain=0.9))
    counting = CutFiles()
    shutil.copytree(tmp_path / "installed", tmp_path / "counted")
    update_and_start(make_device("counted", files=counting))
    assert counting.calls > 50
    # Torn differs from cut at writes alone.
    for at in counting.writes if disk is TornFiles else range(1, counting.calls + 1):
        name = f"cut-{at}"
        shutil.copytree(tmp_path / "installed", tmp_path / name)
        with pytest.raises(PowerCut):
            update_and_start(make_device(name, files=disk(at)))
        device = make_device(name, files=FastFiles())
        assert device.running in (1, 2), f"call {at}: no slot loads"
        assert device.start().selftest.passed, f"call {at}"
        update_and_start(device)
        assert (device.running, device.slots.state().on_trial) == (2, False), f"call {at}"
        shutil.rmtree(tmp_path / name)


def test_the_power_fails_at_every_write_of_a_first_install(
    make_bundle: Make,
    publish: Publish,
    make_device: MakeDevice,
    tmp_path: Path,
) -> None:
    publish(make_bundle(release=1))
    counting = CutFiles()
    update_and_start(make_device("counted", files=counting))
    for at in range(1, counting.calls + 1):
        name = f"cut-{at}"
        with pytest.raises(PowerCut):
            update_and_start(make_device(name, files=LossyFiles(at)))
        device = make_device(name, files=FastFiles())  # init again where it was cut
        update_and_start(device)
        assert device.running == 1, f"call {at}"


def test_the_power_fails_while_falling_back(
    make_bundle: Make, publish: Publish, make_device: MakeDevice, tmp_path: Path
) -> None:
    publish(make_bundle(release=1))
    update_and_start(make_device("installed"))
    publish(make_bundle(release=2, gain=0.9))
    make_device("installed").update()
    model = tmp_path / "installed/slots/b/model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    counting = CutFiles()
    shutil.copytree(tmp_path / "installed", tmp_path / "counted")
    make_device("counted", files=counting).start()
    for disk in MODES:
        for at in range(1, counting.calls + 1):
            name = f"{disk.__name__}-{at}"
            shutil.copytree(tmp_path / "installed", tmp_path / name)
            with pytest.raises(PowerCut):
                make_device(name, files=disk(at)).start()
            assert make_device(name, files=FastFiles()).start().slot == "a"


@pytest.mark.parametrize("after_s", [0.35, 0.6, 1.0])
def test_kill_9_in_the_middle_of_an_update(
    make_bundle: Make, publish: Publish, make_device: MakeDevice, after_s: float
) -> None:
    publish(make_bundle(release=1))
    device = make_device()
    update_and_start(device)
    publish(make_bundle(release=2, gain=0.9))
    command = agent_command("update", "--home", str(device.home.root))
    agent = subprocess.Popen(command, env=agent_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    agent.kill()
    agent.wait()
    assert start(device.slots).selftest.passed  # with the self-test's own process
    commit(device.slots)
    update_and_start(device)
    assert device.running == 2
