"""Labels find their pictures one to one; where the folder is another one, it is told."""

from __future__ import annotations

import pytest

from edgewright.data.findings import Findings
from edgewright.data.formats.pairing import Lookup, pair_by_name, require_a_pair
from edgewright.errors import SourceError


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (["img/x.jpg"], ["txt/x.txt"], {"img/x.jpg": "txt/x.txt"}),
        (["images/x.jpg"], ["annotations/xmls/x.xml"], {"images/x.jpg": "annotations/xmls/x.xml"}),
        (["a/x.jpg", "b/y.jpg"], ["all/x.txt", "all/y.txt"], {"a/x.jpg": "all/x.txt", "b/y.jpg": "all/y.txt"}),
        (["x.jpg", "x.png"], ["x.jpg.txt", "x.png.txt"], {"x.jpg": "x.jpg.txt", "x.png": "x.png.txt"}),
        (["i/x.jpg"], ["t/x.jpg.txt"], {"i/x.jpg": "t/x.jpg.txt"}),
        (["e\u0301.jpg"], ["\u00e9.txt"], {"e\u0301.jpg": "\u00e9.txt"}),  # macOS and the rest
        (  # the same names in two splits
            ["train/img/x.jpg", "val/img/x.jpg"],
            ["train/txt/x.txt", "val/txt/x.txt"],
            {"train/img/x.jpg": "train/txt/x.txt", "val/img/x.jpg": "val/txt/x.txt"},
        ),
        (["a/x.jpg", "b/x.jpg"], ["c/x.txt"], {}),  # either
        (["i/x.jpg"], ["t/x.txt", "u/x.txt"], {}),  # two for one
        (["i/x.jpg"], ["t/x.txt", "t/y.txt", "t/z.txt"], {}),  # one of three: by chance
        (["i/x.jpg", "i/y.jpg"], ["i/y.txt", "t/x.txt"], {"i/y.jpg": "i/y.txt"}),  # labels lie beside the pictures here
    ],
)
def test_pairs(images: list[str], labels: list[str], expected: dict[str, str]) -> None:
    assert pair_by_name(images, labels).label_of == expected


def test_two_labels_for_one_picture_refuse_it() -> None:
    pairs = pair_by_name(["i/x.jpg"], ["t/x.txt", "u/x.txt"])
    assert pairs.refused == {"i/x.jpg": "labels cannot be paired: i/x.jpg and t/x.txt, u/x.txt share one name"}


def test_what_was_paired_in_another_place_is_told() -> None:
    told = Findings()
    pair_by_name(["img/x.jpg", "img/y.jpg"], ["txt/x.txt", "txt/y.txt"], told=told)
    assert [str(finding) for finding in tuple(told)] == [
        "2 labels in txt/ paired by name with the pictures in img/, e.g. txt/x.txt with img/x.jpg"
    ]


def test_a_label_may_name_its_picture() -> None:
    named = {"n0.xml": "C:\\data\\x.jpg", "n1.xml": "gone.jpg", "n2.xml": ""}
    pairs = pair_by_name(["x.jpg", "y.jpg"], named, named_in=lambda file: named[file])
    assert (pairs.label_of, set(pairs.unpaired)) == ({"x.jpg": "n0.xml"}, {"n1.xml", "n2.xml"})


def test_labels_without_a_single_picture_end_the_run() -> None:
    with pytest.raises(SourceError, match=r"labels in txt/ \(2\), pictures in img/ \(1\)"):
        require_a_pair([], ["img/a.jpg"], ["txt/x.txt", "txt/y.txt"], where="photos")
    require_a_pair([], ["img/a.jpg"], [], where="photos")
    require_a_pair(["img/a.jpg"], ["img/a.jpg"], ["txt/x.txt"], where="photos")


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("a.jpg", "ann/a.jpg"),  # beside the file that names it
        ("x/b.jpg", "x/b.jpg"),
        ("./x/b.jpg", "x/b.jpg"),
        ("/data/mine/b.jpg", "x/b.jpg"),
        ("val/c.jpg", "images/val/c.jpg"),
        ("c.jpg", None),  # in train and in val
        ("gone.jpg", None),
    ],
)
def test_pictures_are_looked_up(named: str, found: str | None) -> None:
    lookup = Lookup.over(["ann/a.jpg", "x/a.jpg", "x/b.jpg", "images/train/c.jpg", "images/val/c.jpg"])
    assert lookup.find(named, beside="ann/x.json") == found
