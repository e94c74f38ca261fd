"""CreateML's boxes by their middle; what is no box is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.data.formats import Labels, createml
from edgewright.errors import SourceError
from tests.sources import source_of


def read(root: Path, *items: object) -> Labels:
    files = {"a.jpg": "", "b.jpg": "", "_annotations.createml.json": json.dumps(items)}
    return createml.read(source_of(root, files), ())


def item(name: str, *boxes: tuple[object, ...]) -> dict[str, object]:
    sides = ("x", "y", "width", "height")
    return {
        "image": name,
        "annotations": [{"label": "bolt", "coordinates": dict(zip(sides, box, strict=True))} for box in boxes],
    }


def test_boxes_by_their_middle(tmp_path: Path) -> None:
    labels = read(tmp_path, item("a.jpg", (20, 10, 8, 4), ("20", 10, 8, 4), (1, 2, "x", 4)), item("gone.jpg"))
    good, bad = labels.by_image["a.jpg"].boxes
    assert (good.xyxy, labels.classes) == ((16, 8, 24, 12), ("bolt",))
    assert bad.reason.startswith("not a label with coordinates")
    assert labels.findings[0].what.startswith("objects that stand twice")
    assert (list(labels.unpaired), "b.jpg" in labels.by_image) == (["_annotations.createml.json#gone.jpg"], False)
    assert labels.listed_in == {"a.jpg": "_annotations.createml.json"}


def test_sets_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="boxes look normalized"):
        read(tmp_path / "shares", item("a.jpg", (0.5, 0.5, 0.2, 0.2)))
    with pytest.raises(SourceError, match="not one label belongs to a picture"):
        read(tmp_path / "gone", item("gone.jpg", (20, 10, 8, 4)))
    assert read(tmp_path, item("a.jpg"), item("a.jpg")).by_image["a.jpg"].reason.startswith("annotated twice")
