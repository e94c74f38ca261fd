"""Hard frames that have come in: announced on the Prefect server (`edgewright.hard_frames.ready`), and forgotten.

Decides when they are announced: AT_LEAST of a project have come since the last time, or fewer and a day is over. How
many were announced stands beside the frames, so that a restart announces nothing twice. Decides which may be forgotten,
once somebody says so: those that a review in the store holds, picture and all, which nothing removes. Refuses nothing:
without a server nobody listens, and they are announced once there is one.

    announce(settings, now=time.time())        # {"belt": 24}
    forget(settings, find_reviewed(settings, store, "belt"))
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time

from edgewright.artifacts import Store
from edgewright.files import write_atomically
from edgewright.fleet.frames import FleetFrame
from edgewright.review.of_fleet import reviewed_in, row_id
from edgewright.settings import Settings
from tasks.engine.events import hard_frames_ready
from tasks.serve.collector import frames_of
from tasks.serve.prefect_server import live_server, standing_server
from tasks.serve.repeated import repeated

AT_LEAST, DAY_S, LOOK_EVERY_S = 20, 86_400.0, 60.0
ANNOUNCED_FILE = "announced"


def announce(settings: Settings, *, now: float) -> dict[str, int]:
    """Project => frames that were announced just now. Raises StoreUnavailable: the server does not answer."""
    box = frames_of(settings)
    projects = sorted(path.name for path in box.folder.iterdir() if path.is_dir()) if box.folder.is_dir() else []
    due = {project: frames for project in projects if (frames := _due(box.folder / project, box.frames(project), now))}
    if not due or not (settings.prefect_api_url or live_server(settings.home)):
        return {}
    with standing_server(settings):
        for project, count in due.items():
            hard_frames_ready(project=project, count=count)
            _remember(box.folder / project, _announced(box.folder / project) + count)
    return due


@contextmanager
def announcing(settings: Settings, say: Callable[[str], None]) -> Iterator[None]:
    """Every minute until the block ends."""

    def look() -> None:
        for project, count in announce(settings, now=time()).items():
            say(f"Frames    {count} hard frames of {project} wait for a review")

    with repeated(look, every_s=LOOK_EVERY_S, say=say):
        yield


@dataclass(frozen=True)
class Reviewed:
    """Attributes: frames: that a person has answered. waiting: how many of the project nobody has."""

    project: str
    frames: tuple[FleetFrame, ...]
    waiting: int

    @property
    def bytes(self) -> int:
        return sum(int(frame.facts["bytes"]) for frame in self.frames)


def find_reviewed(settings: Settings, store: Store, project: str) -> Reviewed:
    found = frames_of(settings).frames(project)
    answered = reviewed_in(store) if found else frozenset()
    reviewed = tuple(frame for frame in found if row_id(frame) in answered)
    return Reviewed(project, reviewed, len(found) - len(reviewed))


def forget(settings: Settings, reviewed: Reviewed) -> None:
    """Remove them; cut off anywhere, the same again ends it. Raises StoreUnavailable: a frame comes just now."""
    box = frames_of(settings)
    folder = box.folder / reviewed.project
    for frame in reviewed.frames:
        box.forget(frame)
        if before := _announced(folder):  # of those that are there
            _remember(folder, before - 1)


def _due(folder: Path, frames: list[FleetFrame], now: float) -> int:
    """How many are to be announced."""
    fresh = len(frames) - _announced(folder)
    if fresh <= 0:
        return 0
    oldest = min(frame.picture.stat().st_mtime for frame in frames[-fresh:])
    return fresh if fresh >= AT_LEAST or now - oldest >= DAY_S else 0


def _announced(folder: Path) -> int:
    try:
        return int(json.loads((folder / ANNOUNCED_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return 0


def _remember(folder: Path, count: int) -> None:
    write_atomically(folder / ANNOUNCED_FILE, json.dumps(count).encode())
