"""The power fails between any two calls that sqlite makes for the outbox; afterwards no change of state is missing.

What sqlite does is recorded once, by a VFS of `apsw`; then each beginning of the record is laid on a disk that kept all
of it, nothing that was not synced, half of the last write, or some of what was not synced. A disk that is full,
read-only or broken fails sqlite's calls themselves, by another VFS.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from edgewright.device.core import State
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, Home, init_home
from edgewright.device.outbox import OUTBOX_FILE, STATE, Outbox, opened
from tests.cut_points import CountCutPoints
from tests.disks import ERRORS, BrokenDisk, FastFiles, FullDisk


@dataclass
class Inode:
    """A file's bytes: as they are, as they were synced, and the writes in between."""

    live: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    unsynced: list[tuple[int, bytes]] = field(default_factory=list)  # (-1, b"") is not among them: see `truncate`
    new_journal: bool = False


class Disk:
    """A folder whose contents and names are durable once they are synced, and not before."""

    def __init__(self) -> None:
        self.names: dict[str, Inode] = {}
        self.synced_names: dict[str, Inode] = {}

    def apply(self, call: tuple[Any, ...]) -> None:
        getattr(self, call[0])(*call[1:])

    def create(self, name: str) -> None:
        self.names[name] = Inode(new_journal=not name.endswith(OUTBOX_FILE))

    def write(self, name: str, offset: int, piece: bytes) -> None:
        inode = self.names[name]
        inode.live = _written(inode.live, offset, piece)
        inode.unsynced.append((offset, piece))

    def truncate(self, name: str, size: int) -> None:
        """Taken for durable at once, and so is what it leaves: sqlite truncates what it has copied and synced."""
        inode = self.names[name]
        del inode.live[size:]
        inode.unsynced = [(offset, piece[: max(0, size - offset)]) for offset, piece in inode.unsynced]

    def sync(self, name: str) -> None:
        inode = self.names[name]
        inode.synced, inode.unsynced = bytes(inode.live), []
        if inode.new_journal:  # sqlite syncs the folder with the first sync of a journal that it made
            inode.new_journal = False
            self.sync_names()

    def delete(self, name: str) -> None:
        self.names.pop(name, None)

    def sync_names(self) -> None:
        self.synced_names = dict(self.names)

    def kept(self, how: str, chance: random.Random) -> dict[str, bytes]:
        if how == "all":
            return {name: bytes(inode.live) for name, inode in self.names.items()}
        if how == "synced":
            return {name: inode.synced for name, inode in self.synced_names.items()}
        names = chance.choice([self.names, self.synced_names])
        return {name: self._scrambled(inode, chance) for name, inode in names.items()}

    @staticmethod
    def _scrambled(inode: Inode, chance: random.Random) -> bytes:
        content = bytearray(inode.synced)
        for offset, piece in inode.unsynced:
            if chance.random() < 0.5:
                content = _written(content, offset, piece[: chance.choice([len(piece), len(piece) // 2])])
        return bytes(content)


def _written(content: bytearray, offset: int, piece: bytes) -> bytearray:
    content = content + bytes(max(0, offset - len(content)))
    content[offset : offset + len(piece)] = piece
    return content


class Recording:
    """Attributes: calls: what sqlite and the agent did, as `Disk` does it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        calls = self.calls

        class RecordedFile(apsw.VFSFile):  # type: ignore[misc, name-defined]
            def __init__(self, name: Any, flags: list[int]) -> None:
                path = name.filename() if isinstance(name, apsw.URIFilename) else name
                self.called = Path(path).name
                if not Path(path).exists():
                    calls.append(("create", self.called))
                super().__init__("", name, flags)

            def xWrite(self, piece: bytes, offset: int) -> None:
                calls.append(("write", self.called, offset, bytes(piece)))
                super().xWrite(piece, offset)

            def xTruncate(self, size: int) -> None:
                calls.append(("truncate", self.called, size))
                super().xTruncate(size)

            def xSync(self, flags: int) -> None:
                calls.append(("sync", self.called))

        class RecordedVFS(apsw.VFS):  # type: ignore[misc, name-defined]
            def xOpen(self, name: Any, flags: list[int]) -> RecordedFile:
                return RecordedFile(name, flags)

            def xDelete(self, path: str, sync_folder: bool) -> None:
                calls.append(("delete", Path(path).name))
                super().xDelete(path, sync_folder)
                if sync_folder:
                    calls.append(("sync_names",))

        self._vfs = RecordedVFS("recorded", "")

    def files(self) -> Files:
        calls = self.calls

        class RecordedFiles(Files):
            def database(self, path: Path) -> Any:
                return apsw.Connection(str(path), vfs="recorded")

            def fsync_dir(self, path: Path) -> None:
                calls.append(("sync_names",))

        return RecordedFiles()


@dataclass(frozen=True)
class Promise:
    """After so many calls so many changes of state were noted, and so many may be forgotten."""

    calls: int
    noted: int
    acknowledged: int


def a_life(home: Home, recording: Recording) -> tuple[list[State], list[Promise]]:
    """Changes of state, reports, answers of a collector; the file opened anew each time, as commands do."""
    states: list[State] = []
    promises = [Promise(0, 0, 0)]
    acknowledged = 0

    @contextmanager
    def promising() -> Iterator[Outbox]:
        with opened(home) as outbox:
            yield outbox
            promises.append(Promise(len(recording.calls), len(states), acknowledged))
        promises.append(Promise(len(recording.calls), len(states), acknowledged))

    for number in range(12):
        with promising() as outbox:
            states.append(replace(State(), active="a", proven="a", floor=number, failed=("x" * 64,) * (number % 3)))
            assert outbox.note(states[-1])
        with promising() as outbox:
            outbox.add("report", {"release": number, "padding": "." * 700 * (number % 4)})
        if number % 4 == 3:
            with promising() as outbox:
                acknowledged = len(states)  # it may be forgotten from now on; that it is forgotten is not promised
                outbox.acknowledge([event.seq for event in outbox.waiting()])
        if number == 6:
            with promising() as outbox:
                outbox.number_beyond(1_000, [event.seq for event in outbox.waiting()])
    return states, promises


@pytest.mark.power
def test_no_change_of_state_is_lost_or_doubled(tmp_path: Path, cut_points: CountCutPoints) -> None:
    recording = Recording()
    config = DeviceConfig("line-1", "http://127.0.0.1:9", "stable")
    init_home(tmp_path / "device", trust_root=b"root", config=config, files=Files())
    home = Home(tmp_path / "device", config, recording.files())
    states, promises = a_life(home, recording)
    wanted = [json.loads(state.to_bytes())["state"] for state in states]
    disk, chance, cuts = Disk(), random.Random(0), 0
    for number, call in enumerate([*recording.calls, None]):
        promised = [each for each in promises if each.calls <= number][-1]
        for how in ("all", "synced", "some", "some"):
            found = states_on(tmp_path / "after", home, disk.kept(how, chance))
            where = f"{how} of the first {number} calls"
            first = wanted.index(found[0]) if found else promised.noted
            assert found == wanted[first : first + len(found)], where
            assert first <= promised.acknowledged, where
            assert promised.noted <= first + len(found) <= promised.noted + 1, where
            cuts += 1
        if call is not None:
            disk.apply(call)
    cut_points("outbox", "sqlite", cuts)


def states_on(folder: Path, home: Home, contents: dict[str, bytes]) -> list[dict[str, Any]]:
    """What an agent finds there that is started again, and that it goes on."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, payload in contents.items():
        (folder / name).write_bytes(payload)
    after = replace(home, root=folder, files=FastFiles())
    with opened(after) as outbox:
        events = outbox.waiting()
        assert {event.kind for event in events} <= {STATE, "report"}, "nothing was damaged"
        numbers = [event.seq for event in events]
        assert numbers == sorted(set(numbers))
        outbox.note(State(floor=10**6))
        last = outbox.waiting()[-1]
        states = [event.body["after"] for event in events if event.kind == STATE]
        assert not states or last.body["before"] == states[-1], "the chain goes on"
    return states


class FailingSqlite:
    """sqlite's calls that change the disk: number `at` fails, and where that lasts all that follow."""

    def __init__(self, disk: type[FullDisk], at: int | None = None) -> None:
        self.calls = 0
        error = {"full": apsw.FullError, "read-only": apsw.ReadOnlyError, "EIO": apsw.IOError}[disk.kind]

        def call() -> None:
            self.calls += 1
            if at is not None and (self.calls == at if disk is BrokenDisk else self.calls >= at):
                raise error(disk.kind)

        class FailingFile(apsw.VFSFile):  # type: ignore[misc, name-defined]
            def __init__(self, name: Any, flags: list[int]) -> None:
                super().__init__("", name, flags)

            def xWrite(self, piece: bytes, offset: int) -> None:
                call()
                super().xWrite(piece, offset)

            def xTruncate(self, size: int) -> None:
                call()
                super().xTruncate(size)

            def xSync(self, flags: int) -> None:
                call()

        class FailingVFS(apsw.VFS):  # type: ignore[misc, name-defined]
            def xOpen(self, name: Any, flags: list[int]) -> FailingFile:
                return FailingFile(name, flags)

        self._vfs = FailingVFS("failing", "")

    def files(self) -> Files:
        class FilesOnIt(Files):
            def database(self, path: Path) -> Any:
                return apsw.Connection(str(path), vfs="failing")

        return FilesOnIt()


@pytest.mark.power
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what sqlite takes note of and goes on
@pytest.mark.parametrize("disk", ERRORS)
def test_a_disk_that_fails_takes_no_change_of_state_back(
    tmp_path: Path, disk: type[FullDisk], cut_points: CountCutPoints
) -> None:
    """What was noted stays, once; what could not be noted is told with the next change."""
    config = DeviceConfig("line-1", "http://127.0.0.1:9", "stable")
    states = [replace(State(), active="a", proven="a", floor=number) for number in range(4)]
    documents = [json.loads(state.to_bytes())["state"] for state in states]

    def live(name: str, failing: FailingSqlite) -> tuple[Home, list[dict[str, Any]]]:
        home, noted = init_home(tmp_path / name, trust_root=b"root", config=config, files=FastFiles()), []
        for state, document in zip(states, documents, strict=True):
            with suppress(apsw.Error, OSError), opened(replace(home, files=failing.files())) as outbox:
                outbox.note(state)
                noted.append(document)
                outbox.add("report", {"padding": "." * 3_000})
        return home, noted

    counting = FailingSqlite(disk)
    assert live("counted", counting)[1] == documents
    for at in range(1, counting.calls + 1):
        home, noted = live(f"at-{at}", FailingSqlite(disk, at))
        with opened(home) as outbox:
            outbox.note(states[-1])
            changes = [event.body for event in outbox.waiting(STATE)]
        after = [change["after"] for change in changes]
        assert [change["before"] for change in changes] == [None, *after[:-1]], f"call {at}"
        assert [each for each in documents if each in after] == after, f"call {at}: in order, each once"
        assert all(each in after for each in noted), f"call {at}"
    cut_points("outbox", disk.kind, counting.calls)
