"""Archives: zip and tar (plain, gz, bz2, xz) become files under counted names, or are refused whole.

Decides that a member's name is a label and never a path: nothing is written under a name from an archive. Bytes of a
name that are neither marked nor readable as UTF-8 are read as code page 437, in which all 256 stand for something: such
names look strange and stay distinct, and a picture and its label still share one. Refuses the
whole archive (SourceError) for a member with an absolute path, `..`, a link, a device, a repeated name or an archive in
it; for too many members; and for bombs, counted while the bytes come out, not by what the archive says of itself. Own
code: `shutil.unpack_archive` writes under the archive's names and as much as comes out.

    unpack(Path("photos.zip"), scratch).files      # {"images/a.jpg": scratch/00000000, …}
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from edgewright.errors import SourceError

_CHUNK_BYTES = 1 << 20
_NESTED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_DRIVE = re.compile(r"[A-Za-z]:")
_MAGIC: dict[bytes, str] = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
}
_READERS: dict[str, Callable[..., Any]] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open, "tar": Path.open}
"""Each takes (path, "rb") and gives the plain tar stream."""


@dataclass(frozen=True)
class Limits:
    """What an archive may grow to.

    Attributes:
        members: entries, folders included.
        total_bytes: unpacked, whatever the ratio.
        ratio: unpacked ÷ packed; photographs hardly compress, deflate's own limit is 1032.
        ratio_floor_bytes: below this size the ratio is not looked at (label files compress well).
    """

    members: int = 500_000
    total_bytes: int = 100_000_000_000
    ratio: int = 100
    ratio_floor_bytes: int = 50_000_000


LIMITS = Limits()


_UTF_8_NAME = 0x800  # APPNOTE.TXT 4.4.4, general purpose bit 11
_UNICODE_PATH = 0x7075  # APPNOTE.TXT 4.6.9: what Info-ZIP adds where the name itself is not UTF-8
_UNSPEAKABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of surrogates, ends of a line or paragraph
_SECOND_HALF = re.compile(r"(?<=[^\x00-\x7f])\\")
_WIDE_BACKSLASH = "\uff3c"


@dataclass(frozen=True)
class Unpacked:
    """Attributes: files: member's name => the file with its bytes; recoded: names that were not UTF-8, as read."""

    files: Mapping[str, Path]
    recoded: tuple[str, ...]


@dataclass(frozen=True)
class _Name:
    text: str
    recoded: bool = False


def archive_kind(path: Path) -> str | None:
    """`zip`, `gz`, `bz2`, `xz`, `tar` by the file's own bytes; None for anything else."""
    with path.open("rb") as stream:
        head = stream.read(512)
    by_magic = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    return by_magic or ("tar" if head[257:262] == b"ustar" else None)


def unpack(archive: Path, target: Path, *, limits: Limits = LIMITS) -> Unpacked:
    """Every member's bytes in a file in `target`.

    Raises:
        SourceError: a member that is refused (see the module), a bomb, or bytes that are no archive.
    """
    kind = archive_kind(archive)
    with _archive_errors(archive):
        members = _zip_members(archive, limits) if kind == "zip" else _tar_members(archive, kind or "tar", limits)
        files: dict[str, Path] = {}
        recoded: list[str] = []
        for name, stream in members:
            files[name.text] = target / f"{len(files):08d}"
            _copy(stream, files[name.text])
            recoded += [name.text] * name.recoded
    return Unpacked(files, tuple(recoded))


class _Budget:
    """How far an archive may still grow. Raises SourceError at the first byte or member too many."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        by_ratio = max(limits.ratio_floor_bytes, limits.ratio * archive.stat().st_size)
        self._bytes = min(limits.total_bytes, by_ratio)
        self._members = limits.members
        self._archive = archive
        self._names: set[str] = set()

    @property
    def left_bytes(self) -> int:
        return self._bytes

    def take(self, count_bytes: int) -> None:
        self._bytes -= count_bytes
        if self._bytes < 0:
            raise self.refused("the archive unpacks to far more than it holds: a bomb")

    def folder(self, raw_name: str) -> None:
        """Counted and checked; folders may repeat."""
        self._members -= 1
        if self._members < 0:
            raise self.refused("the archive has too many members")
        self._path(raw_name)

    def file(self, raw_name: str) -> str:
        """The checked name, counted and not seen before."""
        self.folder(raw_name)
        path = self._path(raw_name)
        if not path.parts or any(unicodedata.category(letter) in _UNSPEAKABLE for letter in str(path)):
            raise self.refused("a member whose name cannot be read", raw_name)
        if path.suffix.lower() in _NESTED:
            raise self.refused("an archive inside the archive", raw_name)
        if path.as_posix() in self._names:
            raise self.refused("two members with one name", raw_name)
        self._names.add(path.as_posix())
        return path.as_posix()

    def refused(self, what: str, member: str | None = None) -> SourceError:
        return SourceError(
            what,
            got=None if member is None else ascii(member),
            where=self._archive,
            next_step="pack the folder again, plain files only",
        )

    def _path(self, raw_name: str) -> PurePosixPath:
        name = raw_name.replace("\\", "/")
        path = PurePosixPath(name)
        if path.is_absolute() or _DRIVE.match(name):
            raise self.refused("a member with an absolute path", raw_name)
        if ".." in path.parts:
            raise self.refused("a member that climbs out of the archive", raw_name)
        return path


def _zip_members(archive: Path, limits: Limits) -> Iterator[tuple[_Name, IO[bytes]]]:
    budget = _Budget(archive, limits)
    with zipfile.ZipFile(archive) as opened:
        files: dict[str, tuple[bool, zipfile.ZipInfo]] = {}
        for info in opened.infolist():  # the whole list is checked before the first byte is unpacked
            name = _zip_name(info)
            mode = stat.S_IFMT(info.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise budget.refused("a link or a device in the archive", name.text)
            if info.flag_bits & 0x1:
                raise budget.refused("an encrypted member", name.text)
            budget.take(info.file_size)  # zipfile never hands out more than this
            if info.is_dir():
                budget.folder(name.text)
            else:
                files[budget.file(name.text)] = name.recoded, info
        for path, (recoded, info) in files.items():
            with opened.open(info) as stream:
                yield _Name(path, recoded), stream


def _tar_members(archive: Path, kind: str, limits: Limits) -> Iterator[tuple[_Name, IO[bytes]]]:
    budget = _Budget(archive, limits)
    with _READERS[kind](archive, "rb") as plain, tarfile.open(fileobj=_metered(plain, budget), mode="r|") as opened:
        for info in opened:
            name = _of_bytes(info.name.encode("utf-8", "surrogateescape"))
            if not (info.isreg() or info.isdir()) or info.issparse():
                raise budget.refused("a link or a device in the archive", name.text)
            if info.isdir():
                budget.folder(name.text)
                continue
            path = budget.file(name.text)
            stream = opened.extractfile(info)
            if stream is not None:
                yield _Name(path, name.recoded), stream


def _zip_name(info: zipfile.ZipInfo) -> _Name:
    if info.flag_bits & _UTF_8_NAME:
        return _Name(info.filename)
    raw = info.orig_filename.partition("\0")[0].encode("cp437")  # zipfile has read the bytes as this code page
    said = _unicode_path(info.extra, raw)
    return _Name(said) if said else _of_bytes(raw)


def _unicode_path(extra: bytes, raw: bytes) -> str:
    """The name in a zip's extra field, if it was written for these bytes; else empty."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        body, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and body[:5] == struct.pack("<BI", 1, zlib.crc32(raw)):
            return body[5:].decode("utf-8")
    return ""


def _of_bytes(raw: bytes) -> _Name:
    """UTF-8, or code page 437; in names of two bytes a character a backslash may be the second half of one."""
    try:
        return _Name(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return _Name(_SECOND_HALF.sub(_WIDE_BACKSLASH, raw.decode("cp437")), recoded=True)


def _metered(stream: IO[bytes], budget: _Budget) -> IO[bytes]:
    return cast("IO[bytes]", _Metered(stream, budget))  # `read` is all that a tar stream is asked for


class _Metered:
    """A stream whose every byte, headers included, is taken from the budget."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, size: int) -> bytes:
        piece = self._stream.read(min(size, self._budget.left_bytes + 1))
        self._budget.take(len(piece))
        return piece


def _copy(stream: IO[bytes], target: Path) -> None:
    with target.open("xb") as out:
        while piece := stream.read(_CHUNK_BYTES):
            out.write(piece)


@contextmanager
def _archive_errors(archive: Path) -> Iterator[None]:
    """What the standard library says of broken archives, as one SourceError. A full disk stays an OSError."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        ValueError,
        OverflowError,
    ) as error:
        raise SourceError("the archive cannot be read", got=error, where=archive) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise SourceError("the archive cannot be read", got=error, where=archive) from error  # gzip, bz2
