"""Hard frames as they come in: pieces of a picture, and what a device says of it.

    <project>/<device>/<sha256>.webp.part     what has come so far
    <project>/<device>/<sha256>.webp          all of it, as its digest says, and a picture
    <project>/<device>/<sha256>.json          what the device said of it; a frame is there once this is

Decides when a frame is whole. Refuses what is no WebP of at most MAX_FRAME_BYTES and MAX_PIXELS, pieces that do not go
on where the last ended, facts of another shape, and more than DEVICE_BYTES of one device: whoever owns a device may
fill that share, and no more. Nothing goes by itself: `forget` is for who knows that a person has answered.

    box = FramesBox(folder)
    have, done = box.begin("belt", "line-1", facts)
    have, done = box.append("belt", "line-1", sha256, have, piece)
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.errors import InputError, StoreUnavailable
from edgewright.files import try_locked, write_atomically
from edgewright.fleet.register import Refused
from edgewright.runtime.pictures import decode_picture

SUFFIX, PART, SAID = ".webp", ".webp.part", ".said"
MAX_OPEN = 8
"""Frames of one device that have begun to come; of more the oldest is forgotten, and begun again."""
MAX_FRAME_BYTES, MAX_PIXELS, DEVICE_BYTES = 40_000_000, 40_000_000, 2_000_000_000
MAX_FACTS_BYTES, MAX_BOXES = 100_000, 1_000
LATEST_S = 4_102_444_800.0
"""The year 2100: whoever says more has no clock."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
State = tuple[int, bool]
"""Bytes that are there, and whether the frame is whole and kept."""


@dataclass(frozen=True)
class FleetFrame:
    """A whole frame. Attributes: facts: what its device said of it."""

    project: str
    device: str
    sha256: str
    picture: Path
    facts: Mapping[str, Any]

    @property
    def id(self) -> str:
        return f"{self.device}/{self.sha256[:16]}"


class FramesBox:
    """Of all projects of a home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._decoding = threading.Semaphore(1)

    def begin(self, project: str, device: str, facts: Mapping[str, Any]) -> State:
        """Raises Refused, StoreUnavailable."""
        sha256, size = _checked(facts)
        with self._writing(project, device) as folder:
            if (folder / f"{sha256}.json").exists():
                return size, True
            _forget_oldest(folder, but=sha256)
            said = json.dumps(dict(facts), sort_keys=True).encode()
            if _held(folder, but=sha256) + size + len(said) > DEVICE_BYTES:
                raise Refused(f"this device's frames fill its share of {DEVICE_BYTES} bytes")
            write_atomically(folder / f"{sha256}{SAID}", said)
            part = folder / f"{sha256}{PART}"
            return part.stat().st_size if part.exists() else 0, False

    def append(self, project: str, device: str, sha256: str, first: int, piece: bytes) -> State:
        """Raises Refused, StoreUnavailable."""
        if not _SHA256.fullmatch(sha256):
            raise Refused("not a frame's name")
        with self._writing(project, device) as folder:
            said = folder / f"{sha256}{SAID}"
            if (folder / f"{sha256}.json").exists():
                return (folder / f"{sha256}{SUFFIX}").stat().st_size, True
            if not said.exists():
                raise Refused("a piece of a frame that nobody announced")
            facts = json.loads(said.read_bytes())
            part = folder / f"{sha256}{PART}"
            have = part.stat().st_size if part.exists() else 0
            if first != have or have + len(piece) > facts["bytes"]:
                return have, False  # the device goes on from here
            with part.open("ab") as stream:
                stream.write(piece)
                stream.flush()
                os.fsync(stream.fileno())  # the device removes its own once it hears that all is here
            have += len(piece)
            if have < facts["bytes"]:
                return have, False
            self._finish(folder, sha256, part)
            return have, True

    def frames(self, project: str) -> list[FleetFrame]:
        """The whole ones, the oldest first."""
        found = [
            FleetFrame(project, path.parent.name, path.stem, path.with_suffix(SUFFIX), json.loads(path.read_bytes()))
            for path in sorted((self.folder / project).glob("*/*.json"))
        ]
        return sorted(found, key=lambda frame: (float(frame.facts["at"]), frame.id))

    def forget(self, frame: FleetFrame) -> None:
        """Remove it, the facts first; cut off between, the picture goes with the next. Raises StoreUnavailable."""
        with self._writing(frame.project, frame.device) as folder:
            (folder / f"{frame.sha256}.json").unlink(missing_ok=True)
            for picture in folder.glob(f"*{SUFFIX}"):
                if not any(picture.with_suffix(of_it).exists() for of_it in (".json", SAID)):
                    picture.unlink()

    def _finish(self, folder: Path, sha256: str, part: Path) -> None:
        """The facts last: a frame is there once they are."""
        payload = part.read_bytes()
        try:
            if hashlib.sha256(payload).hexdigest() != sha256:
                raise Refused("a frame that is not as its digest says")
            if payload[:4] != b"RIFF" or payload[8:12] != b"WEBP":
                raise Refused("a frame that is no WebP")
            with self._decoding:  # one at a time: a small file may be a large picture
                decode_picture(payload, max_pixels=MAX_PIXELS)
        except (Refused, InputError) as error:
            part.unlink()
            raise (
                error if isinstance(error, Refused) else Refused(f"a frame that is no picture: {error.what}")
            ) from error
        part.rename(folder / f"{sha256}{SUFFIX}")
        (folder / f"{sha256}{SAID}").rename(folder / f"{sha256}.json")

    @contextmanager
    def _writing(self, project: str, device: str) -> Iterator[Path]:
        """The device's folder, one writer at a time."""
        if not _NAME.fullmatch(project) or not _NAME.fullmatch(device):
            raise Refused("not a device's name")
        folder = self.folder / project / device
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with try_locked(folder) as free:
                if not free:
                    raise StoreUnavailable("another frame of this device comes just now", where=folder)
                yield folder
        except OSError as error:
            raise StoreUnavailable("a frame cannot be kept", got=error.strerror, where=folder) from error


def _held(folder: Path, *, but: str) -> int:
    """Bytes of a device's frames: whole ones, and unfinished ones as they were announced."""
    total = 0
    for path in folder.iterdir():
        if path.name.startswith(but) or path.name.endswith(PART):
            continue
        total += path.stat().st_size
        if path.suffix == SAID:
            total += int(json.loads(path.read_bytes())["bytes"])
    return total


def _forget_oldest(folder: Path, *, but: str) -> None:
    announced = [path for path in folder.glob(f"*{SAID}") if path.stem != but]
    announced.sort(key=lambda path: path.stat().st_mtime)
    for path in announced[: max(0, len(announced) - MAX_OPEN + 1)]:
        path.with_suffix(PART).unlink(missing_ok=True)
        path.unlink()


def _checked(facts: Mapping[str, Any]) -> tuple[str, int]:
    """(sha256, bytes). Raises Refused."""
    with suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError):
        sha256, size = facts["sha256"], facts["bytes"]
        whole = isinstance(sha256, str) and _SHA256.fullmatch(sha256) and type(size) is int
        wh = facts["width"], facts["height"]
        boxes = [*facts["detections"], *facts["doubted"]]
        sane = (
            0 < size <= MAX_FRAME_BYTES
            and all(type(side) is int and side > 0 for side in wh)
            and 0 <= float(facts["at"]) < LATEST_S
            and type(facts["release"]) is int
            and isinstance(facts["manifest"], str)
            and bool(facts["why"])
            and all(isinstance(name, str) and 0 <= float(value) <= 1 for name, value in facts["why"].items())
            and 0 <= float(facts["hard"]) <= 1
            and all(isinstance(name, str) for name in facts["classes"])
            and len(boxes) <= MAX_BOXES
            and all(len(row) == 6 and all(math.isfinite(float(value)) for value in row) for row in boxes)
            and all(0 <= row[5] < len(facts["classes"]) for row in boxes)
            and len(json.dumps(dict(facts))) <= MAX_FACTS_BYTES
        )
        if whole and sane:
            return sha256, size
    raise Refused("what is told of a frame is of another shape")
