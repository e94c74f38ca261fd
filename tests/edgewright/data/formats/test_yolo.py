"""YOLO lines are what their set is, or are refused with their line; class lists count for their folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edgewright.data.formats import Labels, yolo
from edgewright.data.formats.yolo_kinds import Declared, Kind, judge_columns
from edgewright.data.formats.yolo_lines import Line, looks_like_labels, read_lines
from edgewright.errors import SourceError
from tests.sources import source_of

BOX = "0 0.5 0.5 0.2 0.4"


def read(root: Path, text: str | bytes, *, yaml: str = "names: [bolt, nut]") -> Labels:
    return yolo.read(source_of(root, {"data.yaml": yaml, "a.jpg": "", "a.txt": text}), ())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1 0.5 0.5 0.2 0.4", (0.4, 0.3, 0.6, 0.7)),
        ("1.0 .5 5e-1 0.2 0.4", (0.4, 0.3, 0.6, 0.7)),
        ("nut 0.5 0.5 0.2 0.4", (0.4, 0.3, 0.6, 0.7)),
        ("1\t0.5\t0.5\t0.2\t0.4", (0.4, 0.3, 0.6, 0.7)),
        ("1,0.5,0.5,0.2,0.4", (0.4, 0.3, 0.6, 0.7)),
        ("1; 0.5; 0.5; 0.2; 0.4", (0.4, 0.3, 0.6, 0.7)),
        ("1 0.5 0.5 0.2 0.4 0.9", (0.4, 0.3, 0.6, 0.7)),  # a confidence
        ("0 0.1 0.1 0.5 0.2 0.3 0.6", (0.1, 0.1, 0.5, 0.6)),  # a polygon: the box around it
        ("2 0.5 0.5 0.2 0.4", "class id 2 is out of range: there are 2 classes"),
        ("-1 0.5 0.5 0.2 0.4", "class id -1 is out of range: there are 2 classes"),
        ("0.5 0.5 0.5 0.2 0.4", "class id 0.5 is not a whole number"),
        ("1e999 0.5 0.5 0.2 0.4", "class id 1e999 is not a whole number"),
        ("screw 0.5 0.5 0.2 0.4", "unknown class 'screw'"),
        ("0 0.5 0.5 0.2", "not a label line"),
        ("0 0.5 0.5 nan 0.2", "not a label line"),
        ("0 0.5 0.5 0.2 0.4 35.0", "the sixth column is no confidence in [0, 1]"),  # an angle
        ("0 0,5 0,5 0,2 0,4", "a decimal comma, or numbers that nothing separates"),
        ("nut 0,5 0,5 0,2 0,4", "a decimal comma, or numbers that nothing separates"),
        ("0,0,5,0,5,0,2,0,4", "a decimal comma, or numbers that nothing separates"),
        ("0 80.5 60 20 40", "numbers in px, not shares of the picture"),
    ],
)
def test_lines(tmp_path: Path, line: str, expected: object) -> None:
    """Beside lines of the same kind that nothing is wrong with: a set is judged by most of its lines."""
    columns = len(read_lines(line.encode())[0].numbers) + 1
    rest = " ".join(
        ["0.3", "0.5", "0.2", "0.4"] if columns <= 6 else ["0.9"] * 4 + ["0.2", "0.3"] * ((columns - 5) // 2)
    )
    *_, box = read(tmp_path, f"\n0 {rest}\n0 0.4 {rest[4:]}\n{line}\n").by_image["a.jpg"].boxes
    assert (box.reason.partition(" (")[0] or pytest.approx(box.xyxy)) == expected
    if box.reason:
        assert f"(line 4: {line.split()[0][:5]!r}"[:-1] in box.reason


@pytest.mark.parametrize(
    ("columns", "declared", "kind"),
    [
        ([5, 5], Declared(), {5: Kind.BOX}),
        ([5, 6], Declared(), {5: Kind.BOX, 6: Kind.SCORED}),
        ([5, 5, 7], Declared(), {5: Kind.BOX, 7: "in a set of boxes"}),
        ([5, 7, 9, 11, 13], Declared(), {5: "in a set of longer lines", 7: Kind.POLYGON, 9: Kind.POLYGON}),
        ([7, 8, 9, 11, 13], Declared(), {7: Kind.POLYGON, 8: "neither a box nor a polygon"}),
        ([9, 9], Declared(), {9: Kind.ROTATED}),
        ([13, 5], Declared(kpt_shape=(4, 2)), {13: Kind.POSE, 5: "kpt_shape is [4, 2]"}),
        ([13, 13], Declared(task="pose"), {13: Kind.POSE}),
        ([13, 15], Declared(task="pose"), {13: "say `kpt_shape`", 15: "say `kpt_shape`"}),
        ([9, 5], Declared(task="obb"), {9: Kind.ROTATED, 5: "the task is obb"}),
        ([5, 9, 13], Declared(task="detect"), {5: Kind.BOX, 9: Kind.POLYGON, 13: Kind.POLYGON}),
    ],
)
def test_what_columns_are(columns: list[int], declared: Declared, kind: Mapping[int, Kind | str]) -> None:
    """The lines begin with corners that lie too far right for any box."""
    lines = [Line(1, "", "0", (0.9, 0.9, 0.8, 0.8, 0.85, *([0.9] * (count - 6)))[: count - 1]) for count in columns]
    judged = judge_columns(lines, declared)
    for count, expected in kind.items():
        found = judged[count]
        assert (found is expected) if isinstance(expected, Kind) else (expected in found)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0 0.5 0.5 0.2 0.4 0.45 0.4 0.55 0.6", "`task: segment` or `kpt_shape: [2, 2]`"),
        ("0 0.5 0.5 0.2 0.4 0.45 0.4 1 0.55 0.6 1", "`task: segment` or `kpt_shape: [2, 3]`"),
        ("0 0.5 0.5 0.2 0.4 0.45 0.4 2 0.55 0.6 1", Kind.POSE),  # 2 is no corner: keypoints with their visibility
    ],
)
def test_keypoints_that_nobody_declares_are_not_guessed(line: str, kind: Kind | str) -> None:
    lines = read_lines(line.encode())
    [found] = judge_columns(lines * 3, Declared()).values()
    assert (found is kind) if isinstance(kind, Kind) else (kind in found)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1 0.5 0.5 0.2 0.4\n2 0.3 0.5 0.2 0.4", "no id 0, id 2 out of range: are ids counted from 1?"),
        ("0 80 60 20 40\n0 1 1 1 1", "boxes in px, not in shares"),
        ("0 0.6 0.6 0.8 0.9\n1 0.1 0.1 0.3 0.2", "boxes look like x1 y1 x2 y2"),
        ("0 0.0 0.5 0.4 0.4\n0 0.01 0.1 0.2 0.2\n1 0.02 0.6 0.3 0.3", r"boxes look like x y w h \(x y: the top left"),
    ],
)
def test_a_set_that_means_something_else_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence) as caught:
        read(tmp_path, text)
    assert caught.value.next_step


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    labels = read(tmp_path, f"\r\n \r\n{BOX}\r\n\r\n1 0.3 0.5 0.2 0.4".encode(encoding))
    assert [(box.name, box.reason) for box in labels.by_image["a.jpg"].boxes] == [("bolt", ""), ("nut", "")]


def test_a_file_that_is_no_text_refuses_its_picture(tmp_path: Path) -> None:
    files = {"data.yaml": "names: [bolt]", "a.jpg": "", "b.jpg": "", "a.txt": BOX, "b.txt": b"\xff\x00\x81"}
    assert yolo.read(source_of(tmp_path, files), ()).by_image["b.jpg"].reason.startswith("b.txt: not a text file")


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    pose = "names: [bolt, nut]\nkpt_shape: [1, 2]"
    told = read(tmp_path / "pose", f"{BOX} 0.5 0.5\n", yaml=pose).findings
    scored = read(tmp_path / "scored", f"{BOX} 0.9\n").findings
    twice = read(tmp_path / "twice", f"{BOX}\n0.0 0.5 0.5 0.20 0.4\n")
    assert ["keypoints" in told[0].what, "a confidence" in scored[0].what] == [True, True]
    assert told[0].example == "a.txt line 1"
    assert (len(twice.by_image["a.jpg"].boxes), twice.findings[0].count) == (1, 1)


def test_a_line_of_five_columns_among_polygons_is_no_box(tmp_path: Path) -> None:
    labels = read(tmp_path, f"{BOX}\n0 0.1 0.1 0.5 0.2 0.3 0.6\n", yaml="names: [bolt]\ntask: segment")
    assert "a polygon of two points" in labels.by_image["a.jpg"].boxes[0].reason


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"0 0.5 0.5 0.2 0.4", True),
        (b"a heading\n\n0 0.5 0.5 0.2 0.4", True),
        (b"traffic light 0.5 0.5 0.2 0.4", True),
        (b"Car 0.00 0 -1.57 587.0 173.0 614.0 200.0 1 1 1 1 1 1 0", False),  # KITTI
        (b"bolts - v1\n\nThe dataset includes 72 images.\n", False),
        (b"images/p00.jpg\n", False),
        (b"\xff\xfe\x00", False),
    ],
)
def test_label_files_are_told_from_other_texts(payload: bytes, expected: bool) -> None:
    assert looks_like_labels(payload) is expected


def two_days(root: Path, files: Mapping[str, str]) -> Labels:
    pictures = {f"day{day}/a.jpg": "" for day in (1, 2)} | {f"day{day}/a.txt": BOX for day in (1, 2)}
    return yolo.read(source_of(root, {**pictures, **files}), ())


def test_class_lists_count_for_their_folder(tmp_path: Path) -> None:
    labels = two_days(tmp_path, {"day1/classes.txt": "bolt\nnut", "day2/classes.txt": "nut\nbolt"})
    assert [labels.by_image[f"day{day}/a.jpg"].boxes[0].name for day in (1, 2)] == ["bolt", "nut"]
    assert (labels.classes, labels.class_source) == (("bolt", "nut"), "day1/classes.txt, day2/classes.txt")
    assert "[bolt, nut] and day2/classes.txt: [nut, bolt]" in labels.findings[0].example


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"day1/classes.txt": "bolt"},
            "without class names .*labels in day2; day1/classes.txt counts for its own folder",
        ),
        (
            {"data.yaml": "names: [bolt, nut]", "day1/classes.txt": "nut\nbolt"},
            r"\[nut, bolt\] and data.yaml|data.yaml: ",
        ),
        ({"x/a.names": "bolt", "y/b.names": "nut"}, "two class lists for the same labels"),
    ],
)
def test_labels_whose_class_list_is_not_clear(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        two_days(tmp_path, files)


def test_the_nearest_list_above_counts(tmp_path: Path) -> None:
    labels = two_days(tmp_path, {"data.yaml": "names: [bolt]", "day2/data.yaml": "names: [nut]"})
    assert [labels.by_image[f"day{day}/a.jpg"].boxes[0].name for day in (1, 2)] == ["bolt", "nut"]
