"""The document that a labeling tool wrote: a file, or the one JSON or XML file of a zip archive, as CVAT exports them.

Decides nothing about formats. Nothing is unpacked to disk and no name of an archive is used as a path. Refuses what is
too large, also where an archive's own figures say otherwise, and an archive with several such files or none.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from edgewright.errors import InputError

MAX_REVIEW_BYTES = 64_000_000
_ZIP = b"PK\x03\x04"
_SUFFIXES = (".json", ".xml")
_CLUTTER = "__MACOSX"
_SHOWN_NAMES = 3


def read_document(path: Path) -> bytes:
    """Raises InputError where there is none, or it is too large."""
    try:
        with path.open("rb") as stream:
            is_zip = stream.read(len(_ZIP)) == _ZIP
            stream.seek(0)
            return _read_member(path) if is_zip else _read_limited(stream, path)
    except OSError as error:
        raise InputError("the review file cannot be read", got=error.strerror or error, where=path) from error


def _read_member(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if _is_document(info)]
            if len(names) != 1:
                got = f"{len(names)}: " + ", ".join(ascii(name[:80]) for name in names[:_SHOWN_NAMES])
                raise InputError(
                    "not one review file in the archive",
                    expected="one .json or .xml file",
                    got=got if names else "none",
                    where=path,
                    next_step="unpack it and name the file",
                )
            with archive.open(names[0]) as member:
                return _read_limited(member, path)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError("not an archive that can be read", got=str(error)[:200], where=path) from error


def _is_document(info: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(info.filename)
    hidden = any(part.startswith(".") or part == _CLUTTER for part in name.parts)
    return not info.is_dir() and not hidden and name.suffix.lower() in _SUFFIXES


def _read_limited(stream: IO[bytes], path: Path) -> bytes:
    payload = stream.read(MAX_REVIEW_BYTES + 1)
    if len(payload) > MAX_REVIEW_BYTES:
        raise InputError("the review file is too large", expected=f"<= {MAX_REVIEW_BYTES} bytes", where=path)
    return payload
