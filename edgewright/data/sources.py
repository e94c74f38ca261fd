"""Sources: a folder, an archive or a video becomes names with files behind them.

Decides what belongs to a source and what its digest is. Never follows a link out of the folder, never opens a pipe or a
device: those are listed with their reason. Refuses a source that cannot be read or holds no images.

    with open_source(Path("photos"), scratch=scratch, frame_step=10, frame_group_s=2.0) as source:
        source.read("JPEGImages/a.jpg", max_bytes=200_000_000)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edgewright.artifacts import sha256_file
from edgewright.data.archives import archive_kind, unpack
from edgewright.data.video import SUFFIXES as VIDEO_SUFFIXES
from edgewright.data.video import extract_frames
from edgewright.errors import InputError, SourceError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".gif", ".heic", ".heif", ".avif", ".jp2", ".cr2", ".nef", ".arw", ".dng")
"""What a person would call a picture: those that cannot be read are quarantined, not passed over."""
_CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")
_CLUTTER_SUFFIX = ".cache"  # ultralytics writes `labels.cache` beside what it has read: no part of the source


class Unusable(InputError):
    """This one picture or label cannot be used; the sentence becomes the reason of its quarantined row."""


@dataclass(frozen=True)
class Source:
    """What was found.

    Attributes:
        where: for messages.
        files: POSIX name relative to the source => a file on this machine, in name order.
        refused: name => why it was not opened (links out of the folder, devices, names that are not UTF-8).
        groups: name => group, where the source itself knows (time in a video).
    """

    where: str
    files: Mapping[str, Path]
    refused: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> list[str]:
        return [name for name in self.files if suffix_of(name) in PICTURE_SUFFIXES]

    def named(self, *suffixes: str) -> list[str]:
        return [name for name in self.files if suffix_of(name) in suffixes]

    def head(self, name: str, *, max_bytes: int) -> bytes:
        """The file's first bytes. Raises SourceError where it cannot be read."""
        with _source_errors(f"{self.where}/{name}"), self.files[name].open("rb") as stream:
            return stream.read(max_bytes)

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Raises Unusable over `max_bytes`, SourceError where the file cannot be read."""
        payload = self.head(name, max_bytes=max_bytes + 1)
        if len(payload) > max_bytes:
            raise Unusable("the file is too large", expected=f"<= {max_bytes} bytes")
        return payload


@contextmanager
def open_source(source: Path, *, scratch: Path, frame_step: int, frame_group_s: float) -> Iterator[Source]:
    """A folder, an archive or a video, its unpacked files gone afterwards.

    Args:
        scratch: where archives and videos are unpacked.
        frame_step: every n-th frame of a video.
        frame_group_s: frames of a video within this many seconds are one group.

    Raises:
        SourceError: missing, unreadable, refused, or without a single image.
        MissingExtra: a video, and OpenCV is not installed.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    target = Path(tempfile.mkdtemp(prefix="source-", dir=scratch))
    try:
        kind = source_kind(source)
        if kind == "folder":
            files, refused = _list_folder(source)
        elif kind == "archive":
            files, refused = unpack(source, target), {}
            files = {name: path for name, path in sorted(files.items()) if not _is_clutter(name)}
        else:
            files, refused = {source.name: source}, {}
        opened = _with_frames(
            Source(str(source), files, refused), target, step=frame_step, group_s=frame_group_s, single=kind == "video"
        )
        yield _not_empty(opened)
    finally:
        shutil.rmtree(target, ignore_errors=True)


def source_kind(source: Path) -> str:
    """`folder`, `archive` or `video`. Raises SourceError for anything else."""
    with _source_errors(str(source)):
        mode = source.stat().st_mode
        if stat.S_ISDIR(mode):
            return "folder"
        if not stat.S_ISREG(mode):
            raise SourceError("neither a file nor a folder", where=source)
        if archive_kind(source) is not None:
            return "archive"
    if suffix_of(source.name) in VIDEO_SUFFIXES:
        return "video"
    raise SourceError(
        "not a source of images", expected="a folder, a zip or tar archive, or a video", got=source.name, where=source
    )


def source_digest(source: Path) -> str:
    """sha256 over what the source holds: names and bytes of a folder, the bytes of an archive or a video.

    Law: independent of where the source lies, of times and of owners.

    Raises:
        SourceError: missing or unreadable.
    """
    kind = source_kind(source)
    digest = hashlib.sha256(kind.encode())
    if kind == "folder":
        files, refused = _list_folder(source)
    else:
        files, refused = {"": source}, {}
    with _source_errors(str(source)):
        for name, path in files.items():
            digest.update(f"\0{name}\0{sha256_file(path)}".encode())
    for name, reason in sorted(refused.items()):
        digest.update(f"\0{name}\0{reason}".encode())
    return digest.hexdigest()


def suffix_of(name: str) -> str:
    stem, dot, suffix = name[name.rfind("/") + 1 :].rpartition(".")
    return f".{suffix.lower()}" if dot and stem.strip(".") and suffix else ""  # as PurePosixPath has it, much faster


def _list_folder(folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    root = folder.resolve()
    files: dict[str, Path] = {}
    refused: dict[str, str] = {}
    with _source_errors(str(folder)):
        for directory, folders, names in os.walk(root, onerror=_raise):
            folders[:] = sorted(name for name in folders if not _is_clutter(name))
            links = [name for name in folders if Path(directory, name).is_symlink()]
            for name in sorted([*names, *links]):
                path = Path(directory, name)
                relative = path.relative_to(root).as_posix()
                if _is_clutter(relative):
                    continue
                reason = _why_refused(path, root)
                if reason:
                    refused[_printable(relative)] = reason
                else:
                    files[relative] = path
    return dict(sorted(files.items())), dict(sorted(refused.items()))


def _why_refused(path: Path, root: Path) -> str:
    if _printable(path.name) != path.name:
        return "the file name is not UTF-8"
    if path.is_symlink():
        real = Path(os.path.realpath(path))  # Path.resolve raises on a loop
        if not real.is_relative_to(root):
            return "a link that leaves the source folder"
        if real.is_dir():
            return "a link to a folder is not followed"
    if not path.exists():
        return "a link to nothing"
    return "" if path.is_file() else "not a regular file"


def _with_frames(source: Source, target: Path, *, step: int, group_s: float, single: bool) -> Source:
    """Replace every video by its frames, below the video's name where it is one of many files."""
    videos = source.named(*VIDEO_SUFFIXES)
    files = {name: path for name, path in source.files.items() if name not in videos}
    groups: dict[str, str] = {}
    for number, name in enumerate(videos):
        folder = target / f"video-{number:05d}"
        folder.mkdir()
        prefix = "" if single else f"{name}/"
        for frame in extract_frames(source.files[name], folder, step=step, group_s=group_s, prefix=prefix):
            files[frame.name] = frame.path
            groups[frame.name] = frame.group
    return Source(source.where, dict(sorted(files.items())), source.refused, groups)


def _not_empty(source: Source) -> Source:
    if source.images:
        return source
    what = "the source is empty"
    if source.files or source.refused:
        labels = source.named(".txt", ".xml", ".json")
        what = "labels without images" if labels else "no images in the source"
    raise SourceError(
        what,
        expected="files ending in " + " ".join(IMAGE_SUFFIXES),
        got=f"{len(source.files)} other files",
        where=source.where,
        next_step="check --source",
    )


def _is_clutter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return suffix_of(name) == _CLUTTER_SUFFIX or any(part.startswith(".") or part in _CLUTTER for part in parts)


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def _source_errors(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(
            "the source cannot be read",
            got=error.strerror or error,
            where=error.filename or where,
            next_step="check that it exists and that you may read it",
        ) from error
