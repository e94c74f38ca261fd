"""A look at a source from outside: whether there is anything in it that a run could read.

Decides by names alone, up to the first picture. Refuses what `open_source` would refuse as well, before work begins;
what it lets pass may still hold nothing usable, which only reading tells.

    require_pictures(Path("photos"))
"""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from edgewright.data.archives import archive_kind
from edgewright.data.sources import PICTURE_SUFFIXES, is_clutter, source_kind, suffix_of
from edgewright.errors import MissingExtra, SourceError
from edgewright.runtime.pictures import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)
_SUFFIXES = (*PICTURE_SUFFIXES, *VIDEO_SUFFIXES)
_LABELS = (".txt", ".xml", ".json")
_FAR_BYTES = 500_000_000
_MORE = "…"
"""Stands for what lies further than this in an archive that must be unpacked to be looked through."""


def require_pictures(source: Path) -> None:
    """A folder or an archive holds a picture or a video by its name, or it is a video and there is what reads one.

    Raises:
        SourceError: missing, unreadable, of another kind, or nothing in it is named like a picture.
        MissingExtra: a video, and OpenCV is not installed.
    """
    kind = source_kind(source)
    if kind == "video":
        return _require_opencv(source)
    others: list[str] = []
    try:
        for name in _names_in(source) if kind == "folder" else _members_of(source):
            if name is _MORE or suffix_of(name) in _SUFFIXES:
                return None
            others.append(name)
        if kind == "folder" and len(others) == 1 and archive_kind(source / others[0]):
            return require_pictures(source / others[0])  # it is all that the folder holds, and is read in its place
    except OSError as error:
        raise SourceError("the source cannot be read", got=error.strerror or error, where=source) from error
    except _UNREADABLE as error:
        raise SourceError("the archive cannot be read", got=error, where=source) from error
    labels = any(suffix_of(name) in _LABELS for name in others)
    raise SourceError(
        ("labels without images" if labels else "no images in the source") if others else "the source is empty",
        expected="files ending in " + " ".join(IMAGE_SUFFIXES),
        got=f"{len(others)} other files",
        where=source,
        next_step="check --source",
    )


def _names_in(folder: Path) -> Iterator[str]:
    """Relative ones, without what no source consists of."""
    for directory, _, names in os.walk(folder, onerror=_raise):
        relative = (Path(directory, name).relative_to(folder).as_posix() for name in names)
        yield from (name for name in relative if not is_clutter(name))


def _members_of(archive: Path) -> Iterator[str]:
    if archive_kind(archive) == "zip":
        with zipfile.ZipFile(archive) as opened:
            yield from opened.namelist()
    else:
        with tarfile.open(archive) as opened:
            for member in opened:
                yield member.name
                if member.offset_data + member.size > _FAR_BYTES:
                    yield _MORE


def _require_opencv(video: Path) -> None:
    if not find_spec("cv2"):
        raise MissingExtra("reading a video needs OpenCV", where=video, next_step="pip install 'edgewright[train]'")


def _raise(error: OSError) -> None:
    raise error
