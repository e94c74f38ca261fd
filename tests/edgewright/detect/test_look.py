"""Words into pictures: files, folders, patterns, videos, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.detect.look import files_of, pictures_in


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/a.png photos/b.JPG photos/deep/c.png, a note, a hidden picture, an empty folder; the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.png", "photos/b.JPG", "photos/deep/c.png", "photos/.hidden/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (200, 0, 0)).save(tmp_path / name)
    (tmp_path / "photos/notes.txt").write_text("not a picture")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["photos/a.png"], ["photos/a.png"]),
        (["photos"], ["photos/a.png", "photos/b.JPG", "photos/deep/c.png"]),  # all below it, hidden ones apart
        (["photos/*.png"], ["photos/a.png"]),
        (["photos/**/*.png", "photos/a.png"], ["photos/.hidden/d.png", "photos/a.png", "photos/deep/c.png"]),
        (["pho*"], ["photos/a.png", "photos/b.JPG", "photos/deep/c.png"]),  # a pattern that matches a folder
        (["photos/notes.txt"], ["photos/notes.txt"]),  # named by hand: reading it says what is wrong
        (["none/*.png", "none.png", "empty"], ["none/*.png", "none.png", "empty"]),  # these stand for themselves
    ],
)
def test_the_files_that_words_name(here: Path, words: list[str], found: list[str]) -> None:
    assert [str(path) for path in files_of(words)] == found
    assert files_of([str(here / word) for word in words]) == [here / path for path in found]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none.png", "cannot read the picture (got No such file or directory"),
        ("empty", "no pictures in the folder (expected .jpg"),
        ("photos/notes.txt", "not a picture"),
        ("photos/cut.mp4", "no frame can be read"),
    ],
)
def test_what_cannot_be_read_says_why(here: Path, name: str, why: str) -> None:
    (here / "photos/cut.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    [picture] = pictures_in(Path(name), every=1)
    assert (picture.name, picture.image) == (name, None)
    assert picture.unreadable.startswith(why)
    assert "0x" not in picture.unreadable


def test_every_nth_frame_of_a_video(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(tmp_path / "belt.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 16))
    for number in range(7):
        writer.write(np.full((16, 32, 3), number * 30, np.uint8))
    writer.release()
    found = list(pictures_in(tmp_path / "belt.avi", every=3))
    assert [picture.name for picture in found] == [f"{tmp_path}/belt.avi#{number}" for number in (0, 3, 6)]
    assert [picture.stem for picture in found][1] == "belt-frame-00000003"
    brightness = [int(picture.image.mean()) for picture in found if picture.image is not None]
    assert brightness == pytest.approx([0, 90, 180], abs=3)
