"""What a source is, and its digest."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edgewright.data.findings import Finding
from edgewright.data.sources import Source, Unusable, open_source, source_digest, source_kind
from edgewright.errors import MissingExtra, SourceError

_NOBODY = 65534


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Path], AbstractContextManager[Source]]:
    return lambda path: open_source(path, scratch=tmp_path / "scratch", frame_step=2, frame_group_s=0.5)


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A readable folder with an unreadable one in it, seen by a user without privileges."""
    root = Path(tempfile.mkdtemp())
    (root / "a.jpg").write_bytes(b"a")
    locked = root / "locked"
    locked.mkdir()
    root.chmod(0o755)
    locked.chmod(0)
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(_NOBODY)
    try:
        yield root
    finally:
        if privileged:
            os.seteuid(0)
        locked.chmod(0o755)
        shutil.rmtree(root)


def test_an_unreadable_folder_is_said(locked_folder: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot be read .*Permission denied.*locked") as caught:
        source_digest(locked_folder)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([], "the source is empty"),
        (["a.xml", "b.xml"], "labels without images"),
        (["README.md"], "no images in the source"),
        ([".hidden.jpg", "__MACOSX/a.jpg", "labels.cache"], "the source is empty"),  # clutter
    ],
)
def test_sources_without_images(
    tmp_path: Path, opened: Callable[[Path], AbstractContextManager[Source]], files: list[str], sentence: str
) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    for name in files:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    with pytest.raises(SourceError, match=sentence), opened(root):
        pass


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        source_kind(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no archive")
    with pytest.raises(SourceError, match="not a source of images"):
        source_kind(tmp_path / "notes.txt")


def test_links_pipes_and_strange_names_are_listed_not_opened(
    tmp_path: Path, opened: Callable[[Path], AbstractContextManager[Source]]
) -> None:
    root, secret = tmp_path / "photos", tmp_path / "secret.jpg"
    (root / "sub").mkdir(parents=True)
    secret.write_bytes(b"s")
    (root / "a.jpg").write_bytes(b"a")
    (root / "inside.jpg").symlink_to("a.jpg")
    (root / "out.jpg").symlink_to(secret)
    (root / "out").symlink_to(tmp_path)
    (root / "loop").symlink_to("sub")
    (root / "broken.jpg").symlink_to("nothing.jpg")
    (root / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(root / "pipe.jpg")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.jpg")).touch()
    with opened(root) as source:
        assert list(source.files) == ["a.jpg", "inside.jpg"]
        assert source.refused == {
            "\\udcff.jpg": "the file name is not UTF-8",
            "broken.jpg": "a link to nothing",
            "loop": "a link to a folder is not followed",
            "out": "a link to a folder is not followed",
            "out.jpg": "a link that leaves the source folder",
            "pipe.jpg": "not a regular file",
            "self.jpg": "a link to nothing",
        }


@pytest.fixture
def linked_folder(tmp_path: Path) -> Path:
    """Every picture is a link to a cache outside."""
    root, cache = tmp_path / "photos", tmp_path / "cache"
    for folder in (root, cache):
        folder.mkdir()
    for index in range(3):
        (cache / f"{index}").write_bytes(bytes([index]))
        (root / f"{index}.jpg").symlink_to(cache / f"{index}")
    (root / "lost.jpg").symlink_to(cache / "lost")
    (root / "cache").symlink_to(cache)
    return root


def test_links_out_of_the_folder_are_followed_when_told(linked_folder: Path, tmp_path: Path) -> None:
    sentence = r"got 0 other files, 4 links leave the folder.*ingest\.follow_links=true"
    closed = open_source(linked_folder, scratch=tmp_path / "s", frame_step=1, frame_group_s=1)
    with pytest.raises(SourceError, match=sentence), closed:
        pass
    (linked_folder / "own.jpg").write_bytes(b"x")
    with open_source(linked_folder, scratch=tmp_path / "s", frame_step=1, frame_group_s=1) as source:
        assert list(source.files) == ["own.jpg"]
        assert source.findings == (Finding("links leave the folder", 4, "0.jpg", "--set ingest.follow_links=true"),)
    followed = open_source(linked_folder, scratch=tmp_path / "s", frame_step=1, frame_group_s=1, follow_links=True)
    with followed as source:
        assert list(source.files) == ["0.jpg", "1.jpg", "2.jpg", "own.jpg"]
        assert source.read("2.jpg", max_bytes=10) == b"\2"
        assert source.refused == {"cache": "a link to a folder is not followed", "lost.jpg": "a link to nothing"}
        assert source.findings == ()


def test_the_digest_is_over_what_links_lead_to(linked_folder: Path) -> None:
    before = [source_digest(linked_folder, follow_links=follow) for follow in (False, True)]
    (linked_folder.parent / "cache" / "1").write_bytes(b"other")
    after = [source_digest(linked_folder, follow_links=follow) for follow in (False, True)]
    assert before[0] == after[0] and before[1] != after[1]


def test_names_are_composed_so_that_a_picture_and_its_label_share_one(
    tmp_path: Path, opened: Callable[[Path], AbstractContextManager[Source]]
) -> None:
    """Macs write names decomposed. Two files whose names differ in nothing else both stay."""
    root = tmp_path / "photos"
    root.mkdir()
    for name in ("cafe\u0301.jpg", "caf\u00e9.txt", "u\u0308.jpg", "\u00fc.jpg"):
        (root / name).write_text(name)
    with opened(root) as source:
        assert list(source.files) == ["caf\u00e9.jpg", "caf\u00e9.txt", "u\u0308.jpg", "\u00fc.jpg"]
        assert source.read("u\u0308.jpg", max_bytes=99).decode() == "u\u0308.jpg"
    mac, other = tmp_path / "mac.zip", tmp_path / "other"
    with zipfile.ZipFile(mac, "w") as archive:
        archive.writestr("cafe\u0301.jpg", b"1")
    with opened(mac) as source:
        assert list(source.files) == ["caf\u00e9.jpg"]
    other.mkdir()
    (other / "caf\u00e9.jpg").write_bytes(b"1")
    decomposed = tmp_path / "decomposed"
    decomposed.mkdir()
    (decomposed / "cafe\u0301.jpg").write_bytes(b"1")
    assert source_digest(decomposed) == source_digest(other)


def test_a_folder_that_holds_one_archive_is_that_archive(
    voc_folder: Path, tmp_path: Path, opened: Callable[[Path], AbstractContextManager[Source]]
) -> None:
    root = tmp_path / "download"
    root.mkdir()
    shutil.make_archive(str(root / "photos"), "zip", voc_folder)
    with opened(voc_folder) as folder, opened(root) as source:
        assert list(source.files) == list(folder.files)
        [finding] = source.findings
        assert (finding.count, finding.example) == (1, "photos.zip")
    shutil.copy(voc_folder / "JPEGImages" / "p00.jpg", root)
    with opened(root) as source:
        assert (source.images, source.findings) == (["p00.jpg"], ())


def test_a_file_over_the_cap_is_unusable(
    voc_folder: Path, opened: Callable[[Path], AbstractContextManager[Source]]
) -> None:
    with opened(voc_folder) as source:
        assert source.read("JPEGImages/p00.jpg", max_bytes=100_000).startswith(b"\xff\xd8")
        with pytest.raises(Unusable, match="too large"):
            source.read("JPEGImages/p00.jpg", max_bytes=10)


def test_the_digest_is_over_names_and_bytes(voc_folder: Path, tmp_path: Path) -> None:
    first = source_digest(voc_folder)
    moved = tmp_path / "elsewhere" / "other"
    shutil.copytree(voc_folder, moved)  # other times, another place
    os.utime(moved / "JPEGImages" / "p00.jpg", (1, 1))
    assert source_digest(moved) == first
    (moved / "JPEGImages" / "p00.jpg").rename(moved / "JPEGImages" / "q00.jpg")
    renamed = source_digest(moved)
    (moved / "JPEGImages" / "q00.jpg").write_bytes(b"x")
    assert len({first, renamed, source_digest(moved)}) == 3


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_is_its_folder(
    voc_folder: Path, tmp_path: Path, opened: Callable[[Path], AbstractContextManager[Source]], kind: str
) -> None:
    packed = tmp_path / f"photos.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            for path in sorted(voc_folder.rglob("*")):
                archive.write(path, path.relative_to(voc_folder))
    else:
        with tarfile.open(packed, "w:gz") as tar:
            tar.add(voc_folder, ".")
    with opened(voc_folder) as folder, opened(packed) as source:
        assert list(source.files) == list(folder.files)
        assert all(path.read_bytes() == folder.files[name].read_bytes() for name, path in source.files.items())
    assert not list((tmp_path / "scratch").iterdir())
    shutil.copy(packed, tmp_path / "copy")
    assert source_digest(tmp_path / "copy") == source_digest(packed)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """20 frames at 10 a second."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV comes with the train extra")
    import numpy as np

    path = tmp_path / "belt.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV build writes no video")
    for index in range(20):
        writer.write(np.full((48, 64, 3), index * 10, np.uint8))
    writer.release()
    return path


def test_a_video_is_every_nth_frame_in_time_groups(
    video: Path, opened: Callable[[Path], AbstractContextManager[Source]]
) -> None:
    with opened(video) as source:
        assert source.images == [f"frame-{number:08d}.png" for number in range(0, 20, 2)]
        assert list(source.groups.values()) == [f"time-{number // 5:06d}" for number in range(0, 20, 2)]
        assert source.read(source.images[0], max_bytes=10_000).startswith(b"\x89PNG")


def test_videos_among_pictures_go_below_their_own_names(
    video: Path, voc_folder: Path, opened: Callable[[Path], AbstractContextManager[Source]]
) -> None:
    video.rename(voc_folder / "belt.avi")
    with opened(voc_folder) as source:
        assert len(source.images) == 14 + 10
        assert source.groups["belt.avi/frame-00000006.png"] == "belt.avi/time-000001"


@pytest.mark.parametrize("opencv", [True, False])
def test_a_video_that_is_not_read_leaves_the_others(
    voc_folder: Path,
    opened: Callable[[Path], AbstractContextManager[Source]],
    monkeypatch: pytest.MonkeyPatch,
    opencv: bool,
) -> None:
    (voc_folder / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(200))
    if opencv:
        pytest.importorskip("cv2", reason="OpenCV comes with the train extra")
    else:
        monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with opened(voc_folder) as source:
        assert len(source.images) == 14
        reason = "no frame can be read from the video" if opencv else "reading a video needs OpenCV"
        assert source.refused["broken.mp4"].startswith(f"{reason}. Next: ")


def test_a_broken_video_and_a_missing_opencv_are_said(
    tmp_path: Path, opened: Callable[[Path], AbstractContextManager[Source]], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"no video")
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtra, match="needs OpenCV"), opened(broken):
        pass
    monkeypatch.undo()
    pytest.importorskip("cv2", reason="OpenCV comes with the train extra")
    with pytest.raises(SourceError, match="no frame"), opened(broken):
        pass
