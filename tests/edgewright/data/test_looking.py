"""Every picture is looked at once, by one process or by several, and it makes no difference."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.artifacts import LocalStore
from edgewright.data import looking
from edgewright.data.ingest import ingest
from edgewright.data.looking import looks
from edgewright.data.sources import Source
from edgewright.errors import EdgewrightError, SourceError
from edgewright.fanout import processes
from edgewright.fanout.processes import ALONE, ProcessHand, ProcessHands
from edgewright.recipe.data import IngestConfig

PIXELS = 40_000_000


@pytest.fixture
def several(tmp_path: Path, picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> Source:
    """Forty pictures, which are many; some are kept in other bytes, some are none."""
    monkeypatch.setattr(looking, "MANY", 20)
    files = {}
    for number in range(40):
        kind = ("JPEG", "BMP", "PNG", "WEBP")[number % 4]
        files[f"{number:02d}.{kind.lower()}"] = picture(number, kind=kind, exif=6 if number % 8 == 0 else 1)
    files["05.bmp"] = files["05.bmp"][:200]
    files["06.png"] = b"not a picture"
    for name, payload in files.items():
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).write_bytes(payload)
    return Source("set", {name: tmp_path / "set" / name for name in sorted(files)})


def test_several_processes_see_what_one_sees(several: Source) -> None:
    names = list(several.files)
    alone = list(looks(several, names, max_pixels=PIXELS))
    assert list(looks(several, names, max_pixels=PIXELS, hands=ProcessHands(2))) == alone
    assert [look.name for look in alone] == names
    assert {look.name for look in alone if look.picture is None} == {"05.bmp", "06.png"}
    assert all(look.reason for look in alone if look.picture is None)


def test_the_same_bytes_give_the_same_data_set(several: Source, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    made = []
    for hands in (ALONE, ProcessHands(2)):
        with store.workspace() as work:
            ingest(tmp_path / "set", IngestConfig(), workspace=work, scratch=store.scratch, seed=0, hands=hands)
            made.append({path.relative_to(work): path.read_bytes() for path in work.rglob("*") if path.is_file()})
    assert made[0] == made[1]


def test_a_picture_that_ends_its_worker_is_quarantined(several: Source) -> None:
    """A pipe in place of a file keeps a worker waiting, so that it can be ended in the middle of its work."""
    names, pipe = list(several.files), several.files["10.png"]
    os.unlink(pipe)
    os.mkfifo(pipe)
    ending = threading.Thread(target=end_readers, args=(pipe, 3))  # beside others, then alone, twice
    ending.start()
    found = list(looks(several, names, max_pixels=PIXELS, hands=ProcessHands(2)))
    ending.join()
    assert [look.name for look in found] == names
    assert {look.name: look.reason for look in found}["10.png"] == "the picture ends its decoder"
    assert sum(look.picture is None for look in found) == 3, "nobody else is blamed"


def end_readers(pipe: Path, times: int) -> None:
    """Kill whoever opens the pipe; opening it to write waits for the first of them."""
    ended: set[int] = set()
    with pipe.open("wb"):
        while len(ended) < times:
            for process in Path("/proc").glob("[0-9]*"):
                if int(process.name) not in ended and reads(process, pipe):
                    ended.add(int(process.name))
                    os.kill(int(process.name), signal.SIGKILL)
            time.sleep(0.01)


def reads(process: Path, pipe: Path) -> bool:
    """Whether it is a worker, begun (one that is forked has its parent's files and name), with the pipe open."""
    try:
        opened = [os.readlink(one) for one in (process / "fd").iterdir()]
        is_worker = b"\0edgewright.data.looking" in (process / "cmdline").read_bytes()
    except OSError:
        return False
    return is_worker and str(pipe) in opened


def test_who_stops_listening_waits_for_nobody(several: Source) -> None:
    names, pipe = list(several.files), several.files["10.png"]
    os.unlink(pipe)
    os.mkfifo(pipe)  # a worker waits there for ever
    os.unlink(several.files["00.jpeg"])
    one_chunk = ["00.jpeg", *names[20:40], "10.png"]
    with pytest.raises(SourceError, match="cannot be read"):
        next(looks(several, one_chunk, max_pixels=PIXELS, hands=ProcessHands(2)))


def test_a_file_that_is_gone_ends_the_reading(several: Source) -> None:
    names = list(several.files)
    os.unlink(several.files["11.webp"])
    with pytest.raises(SourceError, match="cannot be read"):
        list(looks(several, names, max_pixels=PIXELS, hands=ProcessHands(2)))


def test_where_no_worker_begins_no_picture_is_blamed(several: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.sys, "executable", "/bin/false")
    with pytest.raises(EdgewrightError, match=r"ended before it began \(got exit code 1"):
        list(looks(several, list(several.files), max_pixels=PIXELS, hands=ProcessHands(2)))


class Noted:
    """Hands of this machine, those that have begun and all of them."""

    here = True

    def __init__(self) -> None:
        self.hired: list[ProcessHand] = []
        self.there: list[ProcessHand] = []

    def beside(self, busy: int) -> int:
        return 2 - busy

    def hire(self, program: str, job: bytes, *, log: Path | None = None) -> ProcessHand:
        noted = self

        class Hand(ProcessHand):
            def begin(self) -> None:
                super().begin()
                noted.there.append(self)

        self.hired.append(Hand(program, job, log=log))
        return self.hired[-1]


def test_workers_that_were_killed_are_replaced_and_reaped(several: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written to one that is gone, and stays unread, does not keep the others from being ended."""
    monkeypatch.setattr(looking, "_CHUNK", 1)
    monkeypatch.setattr(looking, "_AHEAD", 1)
    hands, names = Noted(), list(several.files)
    found = looks(several, names, max_pixels=PIXELS, hands=hands)
    first = [next(found), next(found)]
    deadline = time.monotonic() + 60
    while len(hands.there) < 2:  # one that is killed before it is there blames nobody
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for hand in list(hands.hired):
        hand.process.kill()
        hand.process.wait()
    assert [*first, *found] == list(looks(several, names, max_pixels=PIXELS))
    assert len(hands.hired) > 2
    assert None not in [hand.process.returncode for hand in hands.hired]


class Far(Noted):
    """As hands elsewhere: they see no file of this machine's."""

    here = False


def test_hands_that_see_no_file_are_sent_the_bytes(several: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    names, sent = list(several.files), []
    monkeypatch.setattr(looking, "_CHUNK_BYTES", 6000)
    monkeypatch.setattr(ProcessHand, "ask", lambda hand, piece: sent.append(piece) or ask(hand, piece))
    assert list(looks(several, names, max_pixels=PIXELS, hands=Far())) == list(looks(several, names, max_pixels=PIXELS))
    assert all(str(several.files[names[0]].parent).encode() not in piece for piece in sent)
    sizes = [several.files[name].stat().st_size for name in names]
    chunks = [[size for _, _, size in json.loads(piece.partition(b"\n")[0])] for piece in sent]
    assert all(sum(chunk) <= 6000 or len(chunk) == 1 for chunk in chunks), "no more at once, but for one picture"
    assert any(len(chunk) > 1 for chunk in chunks)
    assert sorted(size for chunk in chunks for size in chunk) == sorted(sizes)


ask = ProcessHand.ask


def test_a_file_that_is_too_large_or_gone_is_no_different_where_bytes_travel(
    several: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(several.files)
    monkeypatch.setattr(looking, "MAX_PICTURE_BYTES", max(path.stat().st_size for path in several.files.values()) - 1)
    found = list(looks(several, names, max_pixels=PIXELS, hands=Far()))
    assert found == list(looks(several, names, max_pixels=PIXELS))
    assert any("too large" in look.reason for look in found)
    os.unlink(several.files["11.webp"])
    with pytest.raises(SourceError, match="cannot be read"):
        list(looks(several, names, max_pixels=PIXELS, hands=Far()))
