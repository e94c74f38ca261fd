"""Pictures by the names that other files call them: whole paths, tails of paths, stems; written on any machine.

Decides that a name means a picture only where it means one alone: the longest tail that fits, below the folder that the
file speaks of before anywhere else. Refuses nothing: what means none or several is None.

>>> pictures = NamedPictures.over(["a/JPEGImages/1.jpg", "b/JPEGImages/1.jpg"])
>>> pictures.find("1", here="b"), pictures.find("1", here=""), pictures.find("C:\\\\sets\\\\a\\\\1.jpg", here="")
('b/JPEGImages/1.jpg', None, 'a/JPEGImages/1.jpg')
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgewright.data.sources import PICTURE_SUFFIXES, suffix_of

_ROLES = frozenset({"images", "jpegimages", "labels", "annotations", "imgs", "img", "data"})
"""Folders that say what a file is, not which one."""


@dataclass(frozen=True)
class NamedPictures:
    """Attributes: folders: folder => its pictures; by_stem: stem => all that bear it. Names are in order."""

    names: tuple[str, ...]
    folders: Mapping[str, Sequence[str]]
    by_stem: Mapping[str, Sequence[str]]

    @classmethod
    def over(cls, names: Iterable[str]) -> NamedPictures:
        folders: defaultdict[str, list[str]] = defaultdict(list)
        by_stem: defaultdict[str, list[str]] = defaultdict(list)
        ordered = tuple(sorted(names))
        for name in ordered:
            folder, _, last = name.rpartition("/")
            folders[folder].append(name)
            by_stem[_stem(last)].append(name)
        return cls(ordered, dict(folders), dict(by_stem))

    def below(self, folder: str) -> list[str]:
        """Every picture in a folder and the folders in it; all of them for an empty name."""
        inside = (own for own in self.folders if not folder or own == folder or own.startswith(f"{folder}/"))
        return [name for own in inside for name in self.folders[own]]

    def find(self, text: str, *, here: str) -> str | None:
        """The picture that a name means, read in a file that speaks of the folder `here`."""
        parts = _parts(text)
        candidates = self.by_stem.get(_stem(parts[-1]), ()) if parts else ()
        if suffix_of(parts[-1]) in PICTURE_SUFFIXES if parts else False:
            candidates = [name for name in candidates if suffix_of(name) == suffix_of(parts[-1])]
        near = [name for name in candidates if not here or name.startswith(f"{here}/")] or candidates
        if len(near) < 2:
            return near[0] if near else None
        common = [_common_tail(parts, name) for name in near]
        best = [name for name, length in zip(near, common, strict=True) if length == max(common)]
        return best[0] if len(best) == 1 else None


def within(text: str, *, here: str) -> Iterator[str]:
    """Where in the source a path may lie that a file in the folder `here` names: as it stands, then ever shorter tails.

    >>> list(within("../train/images", here="set"))
    ['set/train/images', 'train/images']
    """
    parts = _parts(text)
    own = [part for part in PurePosixPath(here).parts if part != "."]
    seen = set()
    for start in range(len(parts) or 1):
        tail = parts[start:]
        if start and all(part.lower() in _ROLES for part in tail):
            return
        for folder in (own, []):
            place = "/".join([*folder, *tail])
            if place not in seen:
                seen.add(place)
                yield place


def _parts(text: str) -> list[str]:
    """Of a path as any machine writes it; what climbs out of the source is left out."""
    kept: list[str] = []
    for part in text.strip().strip("\"'").replace("\\", "/").split("/"):
        if part == "..":
            kept = kept[:-1]
        elif part not in ("", "."):
            kept.append(part)
    return kept


def _stem(last: str) -> str:
    return PurePosixPath(last).stem if suffix_of(last) in PICTURE_SUFFIXES else last


def _common_tail(parts: Sequence[str], name: str) -> int:
    """How many folders above the file are the same, roles aside."""
    told, own = ([part for part in reversed(list(path)[:-1]) if part.lower() not in _ROLES]
                 for path in (parts, name.split("/")))  # fmt: skip
    length = 0
    for one, other in zip(told, own, strict=False):
        if one != other:
            break
        length += 1
    return length
