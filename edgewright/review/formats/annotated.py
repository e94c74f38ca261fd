"""What every review format is written from and read into, and the names by which pictures are found again.

Decides the file names: rank (viewers list files by name, and the most doubtful come first), 16 hex digits of the row
id's sha256, and what is left of the id for people to read. Names from a file that is imported are searched for those
digits and are never used as paths.

>>> name = file_name(3, "cam/a b.jpg", suffix="jpg")
>>> name, key_in("/data/upload/7/1f2e3d4c-" + name) == key_of("cam/a b.jpg")
('00003_85a557129e6e663d__cam_a_b.jpg', True)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgewright.artifacts import sha256_bytes
from edgewright.data.formats.annotation import pair_key
from edgewright.review.queue import ReviewItem

_KEY_DIGITS = 16
_KEY = re.compile(rf"(?<![0-9a-f])([0-9a-f]{{{_KEY_DIGITS}}})__")
_MAX_STEM = 60

Xyxy = tuple[float, float, float, float]


@dataclass(frozen=True)
class ReviewTask:
    """One picture of a project: its file below `images/`, and what is known of it."""

    file: str
    item: ReviewItem


@dataclass(frozen=True)
class Box:
    """What a person drew: class name, corners in px, whether it is a region to ignore."""

    name: str
    xyxy: Xyxy
    ignore: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """One picture as it came back.

    Attributes:
        image: the name by which the file knows it; for messages.
        key: see `key_of`; empty where the name holds none.
        relative: corners are shares of the picture, not px.
        person: who drew; empty where the file does not say.
        reviewed_at: when, ISO 8601; empty where the file does not say.
    """

    image: str
    key: str
    boxes: tuple[Box, ...]
    relative: bool = False
    person: str = ""
    reviewed_at: str = ""


@dataclass(frozen=True)
class ReviewFile:
    """Attributes: images: those that a person has answered; untouched: how many nobody has."""

    images: tuple[AnnotatedImage, ...]
    untouched: int = 0


def key_of(row_id: str) -> str:
    return sha256_bytes(row_id.encode())[:_KEY_DIGITS]


def key_in(name: str) -> str:
    """The key in a file name, whatever stands around it; empty where there is none."""
    found = _KEY.search(name.replace("\\", "/").rpartition("/")[2])
    return found[1] if found else ""


def file_name(rank: int, row_id: str, *, suffix: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9.-]+", "_", pair_key(row_id))[-_MAX_STEM:]
    return f"{rank:05d}_{key_of(row_id)}__{stem}.{suffix}"


def iso_time(text: object) -> str:
    """A date and time as ISO 8601 in UTC; as it is where it names no zone; empty where it is none."""
    try:
        moment = datetime.fromisoformat(str(text).strip())
    except ValueError:
        return ""
    return (moment.astimezone(UTC) if moment.tzinfo else moment).isoformat()


def write_images(folder: Path, tasks: Sequence[ReviewTask], payloads: Sequence[bytes]) -> None:
    (folder / "images").mkdir()
    for task, payload in zip(tasks, payloads, strict=True):
        (folder / "images" / task.file).write_bytes(payload)
