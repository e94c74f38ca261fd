"""Hard frames that wait to be told, in the device's `frames/`.

    <sha256>.webp     the picture: its pixels alone, lossless
    <sha256>.json     what is told with it; a frame is there once this is
    chosen.json       when frames were taken, and fingerprints: what the chooser knows across restarts

Decides the order of writing, so that a power cut leaves a frame whole or none: picture, its facts, and the other way
round where it goes. Refuses a frame that there is no room for; what is half there, or of a policy that is no longer in
force, is removed by `tidy`.

    spool = Spool(home)
    spool.keep(picture, facts)
    [frame.sha256 for frame in spool.waiting()]
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.hard import Budget, Chooser
from edgewright.device.home import Home
from edgewright.errors import InputError

FOLDER, SUFFIX = "frames", ".webp"
CHOSEN_FILE = "chosen.json"
MAX_FRAME_BYTES = 40_000_000
"""What a collector takes."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class WaitingFrame:
    """Attributes: facts: plain JSON, with sha256 and bytes of the picture."""

    sha256: str
    bytes: int
    picture: Path
    facts: Mapping[str, Any]


class Spool:
    """The frames of a home."""

    def __init__(self, home: Home) -> None:
        self._files, self.folder = home.files, home.root / FOLDER

    def keep(self, picture: PillowImage.Image, facts: Mapping[str, Any], *, room: int = MAX_FRAME_BYTES) -> str:
        """Durable when this returns; its sha256. A frame that is there already is there once.

        Args: room: bytes of all frames that may wait.

        Raises InputError where there is no room for it.
        """
        payload = encoded(picture)
        if len(payload) > min(MAX_FRAME_BYTES, room - self.bytes):
            raise InputError("no room for a hard frame", expected=f"<= {room} bytes that wait", got=len(payload))
        sha256 = hashlib.sha256(payload).hexdigest()
        whole = {**facts, "sha256": sha256, "bytes": len(payload), "width": picture.width, "height": picture.height}
        self._files.make_dir(self.folder)
        self._files.write_new(self.folder / f"{sha256}{SUFFIX}", payload)
        self._files.replace(self.folder / f"{sha256}.json", json.dumps(whole, sort_keys=True).encode())
        return sha256

    def waiting(self) -> list[WaitingFrame]:
        """The oldest first."""
        frames = [frame for path in self._named(".json") if (frame := self._read(path))]
        return sorted(frames, key=lambda frame: (float(frame.facts.get("at") or 0.0), frame.sha256))

    @property
    def bytes(self) -> int:
        total = 0
        for path in self._named(SUFFIX):
            with suppress(FileNotFoundError):  # it was sent meanwhile
                total += path.stat().st_size
        return total

    def remove(self, sha256: str) -> None:
        """The facts first: without them it is none."""
        self._files.remove(self.folder / f"{sha256}.json")
        self._files.fsync_dir(self.folder)
        self._files.remove(self.folder / f"{sha256}{SUFFIX}")

    def tidy(self, policy: FramesPolicy | None) -> None:
        """Remove what a power cut left of frames that are none, and frames that were kept by another policy."""
        hides = policy.hides if policy and policy.an_hour else None
        whole = {frame.sha256 for frame in self.waiting() if frame.facts.get("policy") == hides}
        for path in (*self._named(SUFFIX), *self._named(".json")):
            if path.stem not in whole:
                self._files.remove(path)

    def chooser(self, policy: FramesPolicy) -> Chooser:
        """With what was taken before; what cannot be read is forgotten."""
        found = Chooser(policy)
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            value = json.loads((self.folder / CHOSEN_FILE).read_bytes())
            prints = {name: [int(each) for each in value[name]] for name in ("known", "taken")}
            found.budget = Budget(deque(sorted(float(at) for at in value["at"])))
            found.known.extend(prints["known"])
            found.taken.extend(prints["taken"])
        return found

    def keep_chooser(self, chooser: Chooser) -> None:
        value = {"at": list(chooser.budget.taken), "known": list(chooser.known), "taken": list(chooser.taken)}
        self._files.make_dir(self.folder)
        self._files.replace(self.folder / CHOSEN_FILE, json.dumps(value).encode())

    def _named(self, suffix: str) -> list[Path]:
        try:
            paths = sorted(self.folder.iterdir())
        except OSError:
            return []
        return [path for path in paths if path.suffix == suffix and _SHA256.fullmatch(path.stem)]

    def _read(self, path: Path) -> WaitingFrame | None:
        """None of a frame that is not whole."""
        picture = path.with_suffix(SUFFIX)
        try:
            facts = json.loads(path.read_bytes())
            whole = facts["sha256"] == path.stem and facts["bytes"] == picture.stat().st_size
            return WaitingFrame(path.stem, int(facts["bytes"]), picture, facts) if whole else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None


def encoded(picture: PillowImage.Image) -> bytes:
    """Pixels alone, lossless: no EXIF, no position, no color profile."""
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "WEBP", lossless=True, quality=20, method=0, exif=b"", icc_profile=b"", xmp=b"")
    return stream.getvalue()
