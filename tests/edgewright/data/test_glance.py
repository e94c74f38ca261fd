"""A source looked at from outside: what begins a run, and what ends before one is begun."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from edgewright.data.glance import require_pictures
from edgewright.errors import SourceError


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "source").mkdir(exist_ok=True)
    return tmp_path / "source"


def zipped(tmp_path: Path, *names: str) -> Path:
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return tmp_path / "source.zip"


def tarred(tmp_path: Path, *names: str) -> Path:
    with tarfile.open(tmp_path / "source.tgz", "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return tmp_path / "source.tgz"


MAKERS = pytest.mark.parametrize("make", [folder, zipped, tarred])


@MAKERS
@pytest.mark.parametrize("name", ["a.jpg", "deep/er/a.PNG", "labels/a.txt|images/a.webp", "clip.mp4", "a.heic"])
def test_something_to_read(make: object, name: str, tmp_path: Path) -> None:
    require_pictures(make(tmp_path, *name.split("|")))  # type: ignore[operator]


@MAKERS
@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "the source is empty"),
        (("notes.md", "deep/b.csv"), "no images in the source .*got 2 other files"),
        (("labels/a.txt",), "labels without images"),
    ],
)
def test_nothing_to_read(make: object, names: tuple[str, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        require_pictures(make(tmp_path, *names))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nowhere", None, "cannot be read"),
        ("notes.docx", b"text", "not a source of images"),
        ("a.jpg", b"\xff\xd8\xff", "not a source of images"),
        ("cut.zip", b"PK\x03\x04 and then nothing", "the archive cannot be read"),
        ("cut.tgz", b"\x1f\x8b\x08 and then nothing", "the archive cannot be read"),
    ],
)
def test_no_source(name: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=words):
        require_pictures(tmp_path / name)


def test_an_archive_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    """What lies behind half a gigabyte is found when it is read."""
    with tarfile.open(tmp_path / "source.tar", "w") as archive:
        large = tarfile.TarInfo("notes.bin")
        large.size = 600_000_000
        archive.fileobj.write(large.tobuf())  # type: ignore[union-attr]
    require_pictures(tmp_path / "source.tar")


def test_a_folder_that_holds_one_archive_is_that_archive(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    zipped(tmp_path, "a.txt", "a.png").rename(tmp_path / "source" / "all.zip")
    (tmp_path / "source" / ".DS_Store").write_bytes(b"x")
    require_pictures(tmp_path / "source")
    zipped(tmp_path, "a.txt").rename(tmp_path / "source" / "all.zip")
    with pytest.raises(SourceError, match="labels without images"):
        require_pictures(tmp_path / "source")
