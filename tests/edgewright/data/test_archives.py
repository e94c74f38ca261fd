"""Archives that mean harm are refused whole; nothing is written under a name of theirs."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
import zlib
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
    files = unpack(path, target).files
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


SPEAKABLE = [
    "Screenshot 3.10\u202fPM.jpg",  # a narrow space, as macOS writes it
    "\u30c6\u30b9\u30c8\u3000\uff11.jpg",  # a wide space between wide letters
    "\U0001f469\u200d\U0001f52c.jpg",  # two signs joined to one
    "caf\u00e9.jpg",
    "cafe\u0301.jpg",  # the same, decomposed
]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_of_every_script_are_read(tmp_path: Path, kind: str) -> None:
    members = [(name, name.encode()) for name in SPEAKABLE]
    path = make_zip(tmp_path / "a", members) if kind == "zip" else make_tar(tmp_path / "a", members)
    unpacked = unpack(path, tmp_path)
    assert {name: file.read_bytes().decode() for name, file in unpacked.files.items()} == {n: n for n in SPEAKABLE}
    assert unpacked.recoded == ()


def zip_of_bytes(path: Path, names: list[bytes], *, extra: dict[bytes, bytes] | None = None) -> Path:
    """A zip whose names are these bytes, not marked as UTF-8, with the extra field that goes with each."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            info = zipfile.ZipInfo(f"{number:0{len(name)}d}")
            info.extra = (extra or {}).get(name, b"")
            archive.writestr(info, name)
    payload = path.read_bytes()
    for number, name in enumerate(names):
        payload = payload.replace(f"{number:0{len(name)}d}".encode(), name)
    path.write_bytes(payload)
    return path


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("utf-8", ["写真/日本.jpg", "写真/日本.txt"]),  # a Mac's, which does not mark it
        ("cp932", ["表示/ソ連.jpg", "表示/ソ連.txt", "表示/十月.jpg"]),  # second halves that are backslashes
        ("gbk", ["照片/誠.jpg", "照片/誠.txt"]),
        ("cp866", ["фото/день.jpg", "фото/день.txt"]),
        ("cp437", ["café/ñandú.jpg", "café/ñandú.txt"]),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_in_a_legacy_encoding_stay_distinct(tmp_path: Path, kind: str, encoding: str, names: list[str]) -> None:
    raw = [name.encode(encoding) for name in names]
    if kind == "zip":
        path = zip_of_bytes(tmp_path / "a.zip", raw)
    else:
        escaped = [(name.decode("utf-8", "surrogateescape"), name) for name in raw]
        path = make_tar(tmp_path / "a.tar", escaped)
    unpacked = unpack(path, tmp_path)
    assert [file.read_bytes() for file in unpacked.files.values()] == raw
    found = list(unpacked.files)
    assert {name.count("/") for name in found} == {1}, "a folder is a folder, and no half of a character"
    assert [name[-4:] for name in found] == [name[-4:] for name in names]
    assert len({name[:-4] for name in found}) == len({name[:-4] for name in names}), "a picture and its label pair"
    assert len(unpacked.recoded) == (0 if encoding == "utf-8" else len(names))
    if encoding in ("utf-8", "cp437"):
        assert found == names


def test_a_zip_may_say_its_name_in_an_extra_field(tmp_path: Path) -> None:
    raw, name = "\u0444.jpg".encode("cp866"), "\u0444.jpg"
    body = struct.pack("<BI", 1, zlib.crc32(raw)) + name.encode()
    right = struct.pack("<HH", 0x7075, len(body)) + body
    path = zip_of_bytes(tmp_path / "a.zip", [raw], extra={raw: right})
    assert (list(unpack(path, tmp_path).files), unpack(path, mkdir(tmp_path / "b")).recoded) == ([name], ())
    wrong = right.replace(struct.pack("<I", zlib.crc32(raw)), bytes(4))  # of a name that was changed since
    path = zip_of_bytes(tmp_path / "c.zip", [raw], extra={raw: wrong})
    assert unpack(path, mkdir(tmp_path / "d")).recoded == (raw.decode("cp437"),)


def mkdir(path: Path) -> Path:
    path.mkdir()
    return path


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
    assert unpack(tmp_path / "a.tar", tmp_path).files == {}


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
    assert list(unpack(path, tmp_path, limits=SMALL).files) == ["labels.txt"]


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
