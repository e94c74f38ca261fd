"""Sources: a folder, an archive or a video becomes names with files behind them.

Decides what belongs to a source and what its digest is; that a folder which holds one archive and nothing else is that
archive; that names are composed (NFC), so that a picture from a Mac and its label from elsewhere share one. A video
that cannot be read is listed with its reason where something else is left. Follows a link out of the folder only where
it is told to, and never opens a pipe or a device: those are listed. Refuses a source that cannot be read or holds no
images.

    with open_source(Path("photos"), scratch=scratch, frame_step=10, frame_group_s=2.0) as source:
        source.read("JPEGImages/a.jpg", max_bytes=200_000_000)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from edgewright.artifacts import sha256_file
from edgewright.data.archives import archive_kind, unpack
from edgewright.data.findings import Finding
from edgewright.data.video import extract_frames
from edgewright.errors import InputError, MissingExtra, SourceError
from edgewright.runtime.pictures import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_RAW_SUFFIXES = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw")
_PHONE_SUFFIXES = (".heic", ".heif", ".hif", ".avif", ".gif", ".jp2", ".j2k", ".jxl")
_STUDIO_SUFFIXES = (".psd", ".svg", ".tga", ".exr", ".dcm", ".pfm")
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, *_RAW_SUFFIXES, *_PHONE_SUFFIXES, *_STUDIO_SUFFIXES)
"""What a person would call a picture: those that cannot be read are quarantined, not passed over."""
LEAVES = "a link that leaves the source folder"
FOLLOW_LINKS = "--set ingest.follow_links=true"
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
        findings: what a person must hear of the source itself.
    """

    where: str
    files: Mapping[str, Path]
    refused: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

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
def open_source(
    source: Path, *, scratch: Path, frame_step: int, frame_group_s: float, follow_links: bool = False
) -> Iterator[Source]:
    """A folder, an archive or a video, its unpacked files gone afterwards.

    Args:
        scratch: where archives and videos are unpacked.
        frame_step: every n-th frame of a video.
        frame_group_s: frames of a video within this many seconds are one group.
        follow_links: read regular files outside of the folder, where a link in it leads there.

    Raises:
        SourceError: missing, unreadable, refused, or without a single image.
        MissingExtra: nothing but videos, and OpenCV is not installed.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    target = Path(tempfile.mkdtemp(prefix="source-", dir=scratch))
    try:
        kind = source_kind(source)
        if kind == "folder":
            found = _opened_folder(source, target, follow_links=follow_links)
        elif kind == "archive":
            found = _opened_archive(source, target, where=source)
        else:
            found = Source(str(source), {source.name: source})
        yield _not_empty(_with_frames(found, target, step=frame_step, group_s=frame_group_s, single=kind == "video"))
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


def source_digest(source: Path, *, follow_links: bool = False) -> str:
    """sha256 over what the source holds: names and bytes of a folder, the bytes of an archive or a video.

    Law: independent of where the source lies, of times and of owners.

    Args:
        follow_links: the bytes of regular files outside of the folder, where a link in it leads there, are its own.

    Raises:
        SourceError: missing or unreadable.
    """
    kind = source_kind(source)
    digest = hashlib.sha256(kind.encode())
    if kind == "folder":
        files, refused = _list_folder(source, follow_links=follow_links)
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


def _opened_folder(folder: Path, target: Path, *, follow_links: bool) -> Source:
    files, refused = _list_folder(folder, follow_links=follow_links)
    with _source_errors(str(folder)):
        packed = [path for path in files.values() if len(files) == 1 and archive_kind(path) is not None]
    if packed and not refused:
        return _opened_archive(packed[0], target, where=folder)
    leaving = [name for name, reason in refused.items() if reason == LEAVES]
    findings = [Finding("links leave the folder", len(leaving), leaving[0], FOLLOW_LINKS)] if leaving else []
    return Source(str(folder), files, refused, findings=tuple(findings))


def _opened_archive(archive: Path, target: Path, *, where: Path) -> Source:
    unpacked = unpack(archive, target)
    kept = {name: path for name, path in unpacked.files.items() if not is_clutter(name)}
    findings = []
    if archive != where:
        findings.append(Finding("archive is all that the folder holds, and was read in its place", 1, archive.name))
    recoded = [name for name in unpacked.recoded if name in kept]
    if recoded:
        what = "names in the archive are not UTF-8, and were read as code page 437"
        findings.append(Finding(what, len(recoded), recoded[0], "pack the folder again with UTF-8 names"))
    return Source(str(where), _composed(kept), findings=tuple(findings))


def _list_folder(folder: Path, *, follow_links: bool) -> tuple[dict[str, Path], dict[str, str]]:
    root = folder.resolve()
    files: dict[str, Path] = {}
    refused: dict[str, str] = {}
    with _source_errors(str(folder)):
        for directory, folders, names in os.walk(root, onerror=_raise):
            folders[:] = sorted(name for name in folders if not is_clutter(name))
            links = [name for name in folders if Path(directory, name).is_symlink()]
            for name in sorted([*names, *links]):
                path = Path(directory, name)
                relative = path.relative_to(root).as_posix()
                if is_clutter(relative):
                    continue
                reason = _why_refused(path, root, follow_links=follow_links)
                if reason:
                    refused[_printable(relative)] = reason
                else:
                    files[relative] = path
    return _composed(files), dict(sorted(refused.items()))


def _composed(files: Mapping[str, Path]) -> dict[str, Path]:
    """In name order, names in NFC; where two would become one, both stay as they are."""
    composed = {name: unicodedata.normalize("NFC", name) for name in files}
    taken = Counter(composed.values())
    renamed = {name if taken[composed[name]] > 1 else composed[name]: path for name, path in files.items()}
    return dict(sorted(renamed.items()))


def _why_refused(path: Path, root: Path, *, follow_links: bool) -> str:
    if _printable(path.name) != path.name:
        return "the file name is not UTF-8"
    if path.is_symlink():
        real = Path(os.path.realpath(path))  # Path.resolve raises on a loop
        if real.is_dir():
            return "a link to a folder is not followed"
        if not real.is_relative_to(root) and not follow_links:
            return LEAVES
    if not path.exists():
        return "a link to nothing"
    return "" if path.is_file() else "not a regular file"


def _with_frames(source: Source, target: Path, *, step: int, group_s: float, single: bool) -> Source:
    """Replace every video by its frames, below the video's name where it is one of many files.

    One that gives none is refused by name; its error ends the run where no image is left.
    """
    videos = source.named(*VIDEO_SUFFIXES)
    files = {name: path for name, path in source.files.items() if name not in videos}
    groups: dict[str, str] = {}
    errors: dict[str, InputError] = {}
    for number, name in enumerate(videos):
        folder = target / f"video-{number:05d}"
        folder.mkdir()
        prefix = "" if single else f"{name}/"
        try:
            frames = extract_frames(source.files[name], folder, step=step, group_s=group_s, prefix=prefix)
        except (SourceError, MissingExtra) as error:
            errors[name] = error
            continue
        files |= {frame.name: frame.path for frame in frames}
        groups |= {frame.name: frame.group for frame in frames}
    refused = {name: str(InputError(error.what, next_step=error.next_step)) for name, error in errors.items()}
    opened = replace(source, files=dict(sorted(files.items())), refused={**source.refused, **refused}, groups=groups)
    if errors and not opened.images:
        raise next(iter(errors.values()))
    return opened


def _not_empty(source: Source) -> Source:
    if source.images:
        return source
    what = "the source is empty"
    if source.files or source.refused:
        labels = source.named(".txt", ".xml", ".json")
        what = "labels without images" if labels else "no images in the source"
    reasons = Counter(reason.partition(". Next: ")[0] for reason in source.refused.values() if reason != LEAVES)
    left_out = [f"{finding.count} {finding.what}" for finding in source.findings]
    left_out += [f"{count} × {reason}" for reason, count in reasons.most_common(3)]
    advice = [finding.next_step for finding in source.findings if finding.next_step]
    raise SourceError(
        what,
        expected="files ending in " + " ".join(IMAGE_SUFFIXES),
        got=", ".join([f"{len(source.files)} other files", *left_out]),
        where=source.where,
        next_step=advice[0] if advice else "check --source",
    )


def is_clutter(name: str) -> bool:
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
