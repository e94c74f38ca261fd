"""Every picture is looked at once, by one process or by several, and it makes no difference."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from edgewright.artifacts import LocalStore
from edgewright.data import looking
from edgewright.data.ingest import ingest
from edgewright.data.looking import looks
from edgewright.data.sources import Source
from edgewright.errors import EdgewrightError, SourceError
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
    assert list(looks(several, names, max_pixels=PIXELS, workers=2)) == alone
    assert [look.name for look in alone] == names
    assert {look.name for look in alone if look.picture is None} == {"05.bmp", "06.png"}
    assert all(look.reason for look in alone if look.picture is None)


def test_the_same_bytes_give_the_same_data_set(several: Source, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    made = []
    for workers in (1, 2):
        with store.workspace() as work:
            ingest(tmp_path / "set", IngestConfig(), workspace=work, scratch=store.scratch, seed=0, workers=workers)
            made.append({path.relative_to(work): path.read_bytes() for path in work.rglob("*") if path.is_file()})
    assert made[0] == made[1]


def test_a_picture_that_ends_its_worker_is_quarantined(several: Source) -> None:
    """A pipe in place of a file keeps a worker waiting, so that it can be ended in the middle of its work."""
    names, pipe = list(several.files), several.files["10.png"]
    os.unlink(pipe)
    os.mkfifo(pipe)
    ending = threading.Thread(target=end_readers, args=(pipe, 2))
    ending.start()
    found = list(looks(several, names, max_pixels=PIXELS, workers=2))
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
        is_worker = b"\0edgewright.data.looking\0" in (process / "cmdline").read_bytes()
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
        next(looks(several, one_chunk, max_pixels=PIXELS, workers=2))


def test_a_file_that_is_gone_ends_the_reading(several: Source) -> None:
    names = list(several.files)
    os.unlink(several.files["11.webp"])
    with pytest.raises(SourceError, match="cannot be read"):
        list(looks(several, names, max_pixels=PIXELS, workers=2))


def test_where_no_worker_begins_no_picture_is_blamed(several: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking.sys, "executable", "/bin/false")
    with pytest.raises(EdgewrightError, match=r"ended before it began \(got exit code 1"):
        list(looks(several, list(several.files), max_pixels=PIXELS, workers=2))


def test_workers_that_were_killed_are_replaced_and_reaped(several: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written to one that is gone, and stays unread, does not keep the others from being ended."""
    begun: list[Popen[bytes]] = []
    there: list[Popen[bytes]] = []
    is_there = looking._Crew._is_there

    def noted(*args: Any, **kwargs: Any) -> Popen[bytes]:
        begun.append(Popen(*args, **kwargs))
        return begun[-1]

    def noted_there(crew: Any, worker: Popen[bytes]) -> bool:
        found = is_there(crew, worker)
        there.append(worker)
        return found

    monkeypatch.setattr(looking.subprocess, "Popen", noted)
    monkeypatch.setattr(looking._Crew, "_is_there", noted_there)
    monkeypatch.setattr(looking, "_CHUNK", 1)
    monkeypatch.setattr(looking, "_AHEAD", 1)
    names = list(several.files)
    found = looks(several, names, max_pixels=PIXELS, workers=2)
    first = [next(found), next(found)]
    deadline, since = time.monotonic() + 60, time.monotonic()
    while time.monotonic() < since + 0.3:  # one that is killed before it is there is an error, by right
        since = since if all(worker in there for worker in begun) else time.monotonic()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for worker in begun:
        worker.kill()
        worker.wait()
    assert [*first, *found] == list(looks(several, names, max_pixels=PIXELS))
    assert len(begun) > 2
    assert None not in [worker.returncode for worker in begun]
