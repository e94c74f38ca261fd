"""Labels of which not one can be used end a run; pictures alone do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.data.formats import Labels
from edgewright.data.sources import Source
from edgewright.data.usable import label_files, require_labels
from edgewright.errors import SourceError
from edgewright.recipe.data import IngestConfig

Take = Callable[..., object]


@pytest.fixture
def bare(tmp_path: Path, picture: Callable[..., bytes]) -> Path:
    """Twelve pictures in `images/`."""
    (tmp_path / "set/images").mkdir(parents=True)
    for number in range(12):
        (tmp_path / f"set/images/p{number:02d}.jpg").write_bytes(picture(number))
    return tmp_path / "set"


def write(folder: Path, name: str, text: str) -> None:
    """The same text for every picture; `{}` is its stem."""
    for image in (folder / "images").glob("*.jpg"):
        path = folder / name.format(image.stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(image.stem))


def test_pictures_alone_are_enough(bare: Path, take: Take) -> None:
    (bare / "README.txt").write_text("taken in March")
    (bare / "notes.json").write_text('{"camera": 3}')
    take(bare, IngestConfig())


@pytest.mark.parametrize(
    ("name", "text", "sentences"),
    [
        ("labels/{}.txt", "0 0.5 0.5 0 0\n", ["12 × zero-area box", "in labels/", "draw them again"]),
        ("odd/{}.xml", "<annotation><object></object></annotation>", ["in odd/", "pictures in images/"]),
    ],
)
def test_labels_of_which_not_one_can_be_used(
    bare: Path, take: Take, name: str, text: str, sentences: list[str]
) -> None:
    write(bare, name, text)
    (bare / "data.yaml").write_text("names: [bolt]\n")
    with pytest.raises(SourceError, match="not one label could be used") as caught:
        take(bare, IngestConfig())
    assert caught.value.exit_code == 2
    assert all(sentence in str(caught.value) for sentence in sentences), str(caught.value)
    assert "`--set ingest.layout=unlabeled` takes the pictures alone" in str(caught.value)
    take(bare, IngestConfig(layout="unlabeled"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels/{}.txt", "bolt at 12 13\n"),
        ("odd/{}.json", '{{"shapes": [], "imagePath": "{}"}}'),
        ("boxes.csv", "image,xmin,ymin,xmax,ymax\n"),
        ("via.xml", "<image><box label='bolt'/></image>"),
    ],
)
def test_labels_in_whatever_format_are_seen(bare: Path, name: str, text: str) -> None:
    """By what they hold, though no reader took them."""
    write(bare, name, text)
    files = {path.relative_to(bare).as_posix(): path for path in sorted(bare.rglob("*.*"))}
    source, expected = Source("here", files), [one for one in files if not one.startswith("images/")]
    assert label_files(source, Labels(())) == expected
    with pytest.raises(SourceError, match=f"got {len(expected)} files of labels in .*no layout that is read"):
        require_labels(source, Labels(()), [], {}, IngestConfig())


def test_one_label_is_enough(bare: Path, take: Take) -> None:
    write(bare, "labels/x_{}.txt", "0 0.5 0.5 0.1 0.1\n")
    (bare / "labels/p00.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (bare / "data.yaml").write_text("names: [bolt]\n")
    take(bare, IngestConfig())
