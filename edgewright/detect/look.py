"""What `edgewright detect` looks at: words => files => pictures, one after another.

Decides which files a word names: a picture, a video (every n-th frame of it), a folder (all of them below it), a
pattern such as `photos/**/*.png`. Refuses nothing: what cannot be read is a picture without pixels that says why, so
that one bad file ends nobody's evening.

>>> files_of(["no/such/picture.png"])
[PosixPath('no/such/picture.png')]
>>> [picture.image is None for picture in pictures_in(Path("no/such/picture.png"), every=1)]
[True]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.data.sources import PICTURE_SUFFIXES
from edgewright.data.video import each_frame
from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.pictures import VIDEO_SUFFIXES, read_picture

LOOKED_AT = (*PICTURE_SUFFIXES, *VIDEO_SUFFIXES)
_MAGIC = "*?["


def _same(boxes: Boxes) -> Boxes:
    return boxes


@dataclass(frozen=True)
class Picture:
    """Attributes:
    name: the file as it was named, and the frame's number where it is a video's.
    stem: for the name of what is drawn.
    image: None where it cannot be read; `unreadable` says why then.
    to_file: its boxes => px of the file, which may be larger than what is looked at.
    """

    name: str
    stem: str
    image: Image | None
    unreadable: str = ""
    to_file: Callable[[Boxes], Boxes] = _same


def files_of(words: Sequence[str]) -> list[Path]:
    """The files that words name, each once, in the words' order; a word that names none stands for itself."""
    found = [path for word in words for path in _named(word)]
    return list(dict.fromkeys(found))


def pictures_in(path: Path, *, every: int) -> Iterator[Picture]:
    """The picture of a file, or every `every`-th frame of a video."""
    try:
        if path.is_dir():
            raise InputError("no pictures in the folder", expected=" ".join(LOOKED_AT), where=path)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            for number, _, image in each_frame(path, step=every):
                yield Picture(f"{path}#{number}", f"{path.stem}-frame-{number:08d}", image)
        else:
            read = read_picture(path)
            yield Picture(str(path), path.stem, read.pixels, to_file=read.to_file)
    except InputError as error:
        yield Picture(str(path), path.stem, None, unreadable=str(error))


def _named(word: str) -> list[Path]:
    path = Path(word).expanduser()
    if not path.exists() and set(word) & set(_MAGIC):
        matching = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        return [file for match in matching for file in _below(match)] or [path]
    return _below(path)


def _below(path: Path) -> list[Path]:
    """A folder's pictures and videos in name order, hidden ones apart; the path itself where it is no such folder."""
    if not path.is_dir():
        return [path]
    inside = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in LOOKED_AT and file.is_file()]
    return [file for file in inside if not _is_hidden(file.relative_to(path))] or [path]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)
