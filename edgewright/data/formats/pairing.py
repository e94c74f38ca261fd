"""How labels find their pictures: by name and relative folder, never by order.

Decides, in this order: the same name in the same place, folders that only say what a file is left aside
(`train/images/x.jpg`, `train/labels/x.txt`); the same name in another folder (`img/x.jpg`, `txt/x.txt`), where it is
one to one and most labels of the folder find a picture; the picture that the label itself names. What was not found in
the same place is told. Refuses a pair that is not one to one, and a source in which not one label has a picture.

>>> pair_by_name(["img/x.jpg"], ["txt/x.txt"]).label_of
{'img/x.jpg': 'txt/x.txt'}
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from edgewright.data.findings import Findings
from edgewright.data.formats.annotation import pair_key
from edgewright.errors import SourceError

MIN_PAIRED_SHARE = 0.5
"""Of the labels of a folder that is paired with another folder by name alone: fewer may have met by chance."""
_MAX_FOLDERS = 4


@dataclass(frozen=True)
class Pairs:
    """Attributes: label_of: image => label file; refused: image => reason; unpaired: label file => reason."""

    label_of: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unpaired: dict[str, str] = field(default_factory=dict)

    @property
    def taken(self) -> set[str]:
        """Images that a label has been found for, or several."""
        return self.label_of.keys() | self.refused.keys()


def pair_by_name(
    images: Iterable[str],
    label_files: Iterable[str],
    *,
    told: Findings | None = None,
    named_in: Callable[[str], str] | None = None,
) -> Pairs:
    """One image and one label file that belong together are a pair; two of either are refused, all of them.

    Args:
        named_in: label file => the picture that it names; asked only where the file's own name finds none.
    """
    images, told = sorted(images), told or Findings()
    pairs = _in_one_place(images, sorted(label_files))
    _in_other_folders(pairs, images, told)
    if named_in is not None:
        _by_what_they_name(pairs, images, named_in, told)
    return pairs


def require_a_pair(paired: Collection[str], images: Iterable[str], labels: Collection[str], *, where: str) -> None:
    """Raises SourceError where labels are left over and no image has one: both kinds of folders are named."""
    if labels and not paired:
        raise SourceError(
            "not one label belongs to a picture",
            expected="label files named as their pictures, `labels/x.txt` for `images/x.jpg`",
            got=f"labels in {_folders(labels)}, pictures in {_folders(images)}",
            where=where,
            next_step="give each label file the name of its picture",
        )


def normal(name: str) -> str:
    """Names as people see them: macOS writes `é` as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class Lookup:
    """Pictures by the name that a label gives them: beside it, as it stands, then by its end where that is unique."""

    names: Mapping[str, str]
    by_last_part: Mapping[str, Sequence[str]]

    @classmethod
    def over(cls, images: Iterable[str]) -> Lookup:
        by_last_part: defaultdict[str, list[str]] = defaultdict(list)
        names = {normal(name): name for name in images}
        for name in names:
            by_last_part[PurePosixPath(name).name].append(name)
        return cls(names, by_last_part)

    def find(self, file_name: str, *, beside: str) -> str | None:
        path = PurePosixPath(normal(file_name.replace("\\", "/")))
        near = (PurePosixPath(normal(beside)).parent / path).as_posix()
        for name in (near, path.as_posix()):
            if name in self.names:
                return self.names[name]
        same = self.by_last_part.get(path.name, ())
        if len(same) > 1:
            same = [name for name in same if f"/{name}".endswith(f"/{path.as_posix()}")]
        return self.names[same[0]] if len(same) == 1 else None


def _in_one_place(images: Sequence[str], label_files: Sequence[str]) -> Pairs:
    pictures = _grouped(images, pair_key)
    by_full_name = _grouped(images, lambda name: f"{pair_key(name)}{PurePosixPath(name).suffix}")
    candidates: dict[str, list[str]] = {}
    for file in label_files:
        key = normal(pair_key(file))
        candidates[file] = pictures.get(key) or by_full_name.get(key, [])  # `x.jpg.txt` belongs to `x.jpg`
    pairs = Pairs(unpaired=dict.fromkeys(label_files, "a label file without an image"))
    _settle(pairs, {file: found for file, found in candidates.items() if found})
    return pairs


def _in_other_folders(pairs: Pairs, images: Sequence[str], told: Findings) -> None:
    """Folders of labels in which none has a picture, and folders of pictures in which none has a label."""
    used = {_folder(name) for name in [*pairs.taken, *pairs.label_of.values()]}
    free = [name for name in images if _folder(name) not in used]
    by_stem, by_full_name = _grouped(free, _stem), _grouped(free, lambda name: PurePosixPath(name).name)
    candidates: dict[str, Sequence[str]] = {}
    for folder, files in _grouped(pairs.unpaired, _folder).items():
        met = {file: found for file in files if (found := by_stem.get(_stem(file)) or by_full_name.get(_stem(file)))}
        if folder not in used and len(met) >= MIN_PAIRED_SHARE * len(files):
            candidates |= {file: _nearest(file, found) for file, found in met.items()}
    for file, nearest in candidates.items():
        if len(nearest) > 1:
            pairs.unpaired[file] = f"a label file whose picture may be one of several: {', '.join(nearest[:3])}"
    for file, image in _settle(pairs, {file: near for file, near in candidates.items() if len(near) == 1}):
        what = f"labels in {_folder(file)}/ paired by name with the pictures in {_folder(image)}/"
        told.add(what, example=f"{file} with {image}")


def _by_what_they_name(pairs: Pairs, images: Sequence[str], named_in: Callable[[str], str], told: Findings) -> None:
    lookup = Lookup.over(name for name in images if name not in pairs.taken)
    named = {file: lookup.find(named_in(file), beside=file) for file in pairs.unpaired}
    for file, image in _settle(pairs, {file: [image] for file, image in named.items() if image is not None}):
        told.add("label files named otherwise than the picture that they name", example=f"{file} with {image}")


def _settle(pairs: Pairs, candidates: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Enter label files with their candidate pictures: (file, image) where it is one to one; the rest is refused."""
    claims: defaultdict[str, list[str]] = defaultdict(list)
    for file, images in candidates.items():
        pairs.unpaired.pop(file)
        for image in images:
            claims[image].append(file)
    settled = []
    for image, files in claims.items():
        rivals = sorted({rival for file in files for rival in candidates[file]})
        if len(files) == len(rivals) == 1:
            pairs.label_of[image] = files[0]
            settled.append((files[0], image))
        else:
            reason = f"labels cannot be paired: {', '.join(rivals)} and {', '.join(files)} share one name"
            pairs.refused[image] = reason
    return settled


def _nearest(file: str, candidates: Sequence[str]) -> list[str]:
    """Those that share the most folders with the file."""
    folders = Counter(PurePosixPath(file).parts[:-1])
    shared = {name: (folders & Counter(PurePosixPath(name).parts[:-1])).total() for name in candidates}
    most = max(shared.values(), default=0)
    return [name for name, count in shared.items() if count == most]


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        found[normal(key(name))].append(name)
    return dict(found)


def _folder(name: str) -> str:
    return PurePosixPath(name).parent.as_posix()


def _stem(name: str) -> str:
    return normal(PurePosixPath(name).stem)


def _folders(names: Iterable[str]) -> str:
    """`img/ (16), more/ (3)`, the fullest first."""
    counts = Counter(_folder(name) for name in names).most_common()
    shown = [f"{folder}/ ({count})" for folder, count in counts[:_MAX_FOLDERS]]
    return ", ".join(shown) + (f" and {len(counts) - _MAX_FOLDERS} more" if len(counts) > _MAX_FOLDERS else "")
