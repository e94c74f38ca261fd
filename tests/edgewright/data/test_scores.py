"""Scores of photographs: read, held against the index, and written into its rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.data.rows import Row
from edgewright.data.scores import read_scores, require_known, scored
from edgewright.errors import SourceError
from edgewright.recipe.data import IngestConfig


def file(folder: Path, text: str) -> str:
    path = folder / "hard.csv"
    path.write_text(text)
    return str(path)


def test_scores_are_read_by_id(tmp_path: Path) -> None:
    text = 'id,hard\na.jpg,0.25\n"with, comma.jpg",1\n\nb/c.jpg,0\n'
    assert read_scores(file(tmp_path, text)) == {"a.jpg": 0.25, "with, comma.jpg": 1.0, "b/c.jpg": 0.0}
    assert read_scores("") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),  # nothing in it
        ("a.jpg,0.5\n", "id,hard.*line 1"),  # no head line
        ("id,hard\na.jpg,0.5\nb.jpg,1.5\n", "b.jpg,1.5.*line 3"),  # out of range
        ("id,hard\na.jpg,nan\n", "line 2"),
        ("id,hard\na.jpg,much\n", "a.jpg,much.*line 2"),  # no number
        ("id,hard\na.jpg\n", "line 2"),  # a column is missing
        ("id,hard\n,0.5\n", "line 2"),  # no id
        ("id,hard\na.jpg,0.5\na.jpg,0.6\n", "every id once.*line 3"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read_scores(file(tmp_path, text))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot be read.*ingest\.scores"):
        read_scores(str(tmp_path / "nowhere.csv"))


def test_scores_of_no_image_are_listed_three_at_most() -> None:
    require_known({"a": 0.5}, ["a", "b"], where="")
    with pytest.raises(SourceError, match=r"4 of 5 scores are of no image.*such as a.*got v, w, x\b"):
        require_known(dict.fromkeys("zyxwva"[1:] + "a", 0.5) | {"v": 1.0}, ["a", "b"], where="")


def test_a_row_keeps_its_other_scores() -> None:
    row = Row("a", "", scores={"sharp": 2.0})
    assert scored(row, {"a": 0.5}).scores == {"sharp": 2.0, "hard": 0.5}
    assert scored(row, {"b": 0.5}) is row


def test_ingest_writes_them_into_the_index(voc_folder: Path, take: Callable[..., object], tmp_path: Path) -> None:
    text = "id,hard\nJPEGImages/p01.jpg,0.75\n"
    _, dataset = take(voc_folder, IngestConfig(min_images=1, scores=file(tmp_path, text)))  # type: ignore[misc]
    assert {row.id: row.scores for row in dataset.rows if row.scores} == {"JPEGImages/p01.jpg": {"hard": 0.75}}
    with pytest.raises(SourceError, match="of no image"):
        take(voc_folder, IngestConfig(min_images=1, scores=file(tmp_path, text.replace("p01", "elsewhere"))))
