"""Archives that mean harm are refused whole; nothing is written under a name of theirs."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.data.archives import Limits, archive_kind, unpack
from edgewright.errors import SourceError

MEMBERS = {"images/a.jpg": b"aaa", "b.txt": b"", "deep/er/c.bin": b"c" * 3000}


def make_zip(path: Path, members: list[tuple[str, bytes]], *, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, payload in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, payload)
    return path


def make_tar(path: Path, members: list[tuple[str, bytes]], *, mode: str = "w", kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, payload in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(payload), kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(payload))
    return path


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [
        ("a.zip", "", "zip"),  # deflate
        ("a.tar", "w", "tar"),  # plain
        ("a.tar.gz", "w:gz", "gz"),
        ("a.tar.bz2", "w:bz2", "bz2"),
        ("a.tar.xz", "w:xz", "xz"),
        ("misnamed.jpg", "w:gz", "gz"),  # the bytes decide, not the name
    ],
)
def test_members_come_out_under_counted_names(tmp_path: Path, name: str, mode: str, kind: str) -> None:
    members = list(MEMBERS.items())
    path = make_tar(tmp_path / name, members, mode=mode) if mode else make_zip(tmp_path / name, members)
    target = tmp_path / "out"
    target.mkdir()
    files = unpack(path, target)
    assert archive_kind(path) == kind
    assert {name: file.read_bytes() for name, file in files.items()} == MEMBERS
    assert sorted(file.name for file in target.iterdir()) == ["00000000", "00000001", "00000002"]


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        ("../evil.jpg", "climbs out"),
        ("a/../../evil.jpg", "climbs out"),
        ("..\\evil.jpg", "climbs out"),  # a Windows separator
        ("/etc/evil.jpg", "absolute"),
        ("C:/evil.jpg", "absolute"),  # a drive
        ("\\\\host\\evil.jpg", "absolute"),  # a share
        ("a\nb.jpg", "cannot be read"),  # a control character
        ("inner.zip", "inside the archive"),  # a nested bomb is never opened
        ("inner.tar.gz", "inside the archive"),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_member_names_that_are_refused(tmp_path: Path, kind: str, member: str, sentence: str) -> None:
    members = [("good.jpg", b"1"), (member, b"2")]
    path = make_zip(tmp_path / "a.zip", members) if kind == "zip" else make_tar(tmp_path / "a.tar", members)
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(SourceError, match=sentence) as caught:
        unpack(path, target)
    assert caught.value.exit_code == 2
    assert {file.name for file in tmp_path.iterdir()} == {path.name, "out"}


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
)
def test_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    path = make_tar(tmp_path / "a.tar", [("x.jpg", b"")], kind=kind)
    with pytest.raises(SourceError, match="link or a device"):
        unpack(path, tmp_path)


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o600, stat.S_IFIFO | 0o600])
def test_links_and_devices_in_a_zip(tmp_path: Path, mode: int) -> None:
    path = make_zip(tmp_path / "a.zip", [("x.jpg", b"/etc/passwd")], mode=mode)
    with pytest.raises(SourceError, match="link or a device"):
        unpack(path, tmp_path)


def test_two_members_with_one_name(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", [("x.jpg", b"1"), ("./x.jpg", b"2")])
    with pytest.raises(SourceError, match="two members with one name"):
        unpack(path, tmp_path)


def test_folders_may_repeat(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        (tmp_path / "photos").mkdir()
        for _ in range(2):
            archive.add(tmp_path / "photos", "photos")
            archive.add(tmp_path / "photos", ".")
    assert unpack(tmp_path / "a.tar", tmp_path) == {}


SMALL = Limits(members=3, total_bytes=200_000, ratio=10, ratio_floor_bytes=20_000)


@pytest.mark.parametrize("mode", ["", "w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize(
    "members",
    [
        [("big.jpg", bytes(300_000))],  # too much in all, and far more than it was packed
        [(f"{i}.jpg", b"") for i in range(4)],  # too many
    ],
)
def test_bombs(tmp_path: Path, mode: str, members: list[tuple[str, bytes]]) -> None:
    path = make_tar(tmp_path / "a.tar", members, mode=mode) if mode else make_zip(tmp_path / "a.zip", members)
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(SourceError, match=r"a bomb|too many members"):
        unpack(path, target, limits=SMALL)
    assert sum(file.stat().st_size for file in target.iterdir()) <= SMALL.total_bytes


def test_small_files_may_compress_well(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar.gz", [("labels.txt", bytes(5_000))], mode="w:gz")
    assert list(unpack(path, tmp_path, limits=SMALL)) == ["labels.txt"]


def test_a_header_that_lies_about_its_size_is_a_bomb_too(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf() + bytes(50_000))
    with pytest.raises(SourceError):
        unpack(path, tmp_path, limits=SMALL)


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", [("x.jpg", b"1")])
    payload = bytearray(path.read_bytes())
    payload[payload.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(payload)
    with pytest.raises(SourceError, match="encrypted"):
        unpack(path, tmp_path)


@given(data=st.data())
def test_damaged_archives_give_one_error_or_whole_members(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    mode = data.draw(st.sampled_from(["", "w", "w:gz", "w:bz2", "w:xz"]))
    members = list(MEMBERS.items())
    path = make_tar(folder / "a", members, mode=mode) if mode else make_zip(folder / "a", members)
    payload = bytearray(path.read_bytes())
    cut = data.draw(st.integers(8, len(payload)))
    position = data.draw(st.integers(8, len(payload) - 1))
    payload[position] ^= data.draw(st.integers(0, 255))
    path.write_bytes(payload[:cut])
    target = folder / "out"
    target.mkdir()
    try:
        unpack(path, target)
    except SourceError:
        return
    assert len(list(target.iterdir())) <= len(MEMBERS)
