"""VOC files in the encodings and places that people keep them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.data.formats import Labels, voc
from edgewright.data.formats.safe_xml import first_tag
from edgewright.errors import SourceError
from tests.sources import source_of

OBJECT = (
    "<object><name>{name}</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>{x}</xmax><ymax>40</ymax></bndbox></object>"
)


def annotation(name: str = "bolt", x: object = 30, *, file: str = "a.jpg") -> str:
    return f"<annotation><filename>{file}</filename>{OBJECT.format(name=name, x=x)}</annotation>"


def read(root: Path, text: str | bytes, *, place: str = "a.xml") -> Labels:
    return voc.read(source_of(root, {"a.jpg": "", "b.jpg": "", place: text}), ())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "latin-1", "windows-1252", "gbk", "shift_jis"])
def test_a_document_says_its_encoding(tmp_path: Path, encoding: str) -> None:
    name = "螺母" if encoding == "gbk" else "ネジ" if encoding == "shift_jis" else "Müller"
    labels = read(tmp_path, f'<?xml version="1.0" encoding="{encoding}"?>\n{annotation(name)}'.encode(encoding))
    assert [(box.name, box.xyxy) for box in labels.by_image["a.jpg"].boxes] == [(name, (1, 2, 30, 40))]


def test_a_document_in_another_encoding_than_it_says_refuses_its_picture(tmp_path: Path) -> None:
    labels = read(tmp_path, f'<?xml version="1.0" encoding="gbk"?>{annotation("x")}'.encode() + b"\xff")
    assert labels.by_image["a.jpg"].reason.startswith("a.xml: not XML in the encoding that it declares")


def test_blank_lines_before_the_declaration(tmp_path: Path) -> None:
    labels = read(tmp_path, f'\r\n\n<?xml version="1.0"?>{annotation()}')
    assert len(labels.by_image["a.jpg"].boxes) == 1


def test_the_picture_that_a_file_names(tmp_path: Path) -> None:
    labels = read(tmp_path, annotation(), place="0001.xml")
    assert list(labels.by_image) == ["a.jpg"]
    assert labels.findings[0].example == "0001.xml with a.jpg"
    with pytest.raises(SourceError, match="not one label belongs to a picture"):
        read(tmp_path / "gone", annotation(file="gone.jpg"), place="0001.xml")


def test_objects_that_stand_twice_and_corners_as_shares(tmp_path: Path) -> None:
    twice = annotation().replace("</annotation>", OBJECT.format(name="bolt", x="30.0") + "</annotation>")
    labels = read(tmp_path, twice)
    assert (len(labels.by_image["a.jpg"].boxes), labels.findings[0].count) == (1, 1)
    shares = annotation(x=0.5).replace(">1<", ">0.1<").replace(">2<", ">0.2<").replace(">40<", ">0.9<")
    with pytest.raises(SourceError, match="boxes look normalized"):
        read(tmp_path / "shares", shares)


@pytest.mark.parametrize(
    ("head", "tag"),
    [(b"<annotation><ob", "annotation"), (b"\xef\xbb\xbf<a/>", "a"), (b"", ""), (b"<", ""), (b"\0\0", "")],
)
def test_the_first_tag(head: bytes, tag: str) -> None:
    assert first_tag(head) == tag
