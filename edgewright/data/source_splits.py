"""The division that a source brings: which photograph is for training, for choosing, for testing.

Decides what counts as one, first come first taken: `train`, `val`, `test` of a data.yaml, be they folders or lists;
lists (`ImageSets/Main/val.txt`, `train.txt`); a COCO file each; folders. It has to tell training from something held
out: one folder named twice is no division, and is told. A photograph that stands on two sides is the more held-out
one's, and one that no side names is trained on; both are told. Refuses nothing: where nothing is said, nothing is.

    read_splits(source, labels).origin                  # "data.yaml"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from edgewright.data.findings import Finding, Findings
from edgewright.data.formats.annotation import MAX_LABEL_BYTES, MAX_YAML_BYTES, Labels, read_yaml
from edgewright.data.named_pictures import NamedPictures, within
from edgewright.data.rows import Split
from edgewright.data.sources import Source
from edgewright.errors import SourceError

_WORDS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training", "trainset", "trainval"), Split.TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "valset"), Split.VAL),
    **dict.fromkeys(("test", "testing", "testset"), Split.TEST),
}
_TOKEN = re.compile(r"[a-z]+|\d+")
_OTHER_TASKS = frozenset({"layout", "segmentation", "action", "person"})
"""Folders of `ImageSets` whose lists are for something else than detection."""
_LIST_PREFIXES = frozenset({"", "autosplit", "imagesets"})
Sides = dict[Split, set[str]]


@dataclass(frozen=True)
class SourceSplits:
    """What the source says.

    Attributes:
        split_of: image => split; empty where the source says nothing.
        origin: where it stands, for a person.
        files: lists and YAML files that were read for it.
    """

    split_of: Mapping[str, Split] = field(default_factory=dict)
    origin: str = ""
    files: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()


@dataclass
class _Said:
    """What one way of saying it gives."""

    sides: Sides = field(default_factory=dict)
    origin: str = ""
    files: set[str] = field(default_factory=set)
    told: Findings = field(default_factory=Findings)

    def add(self, split: Split, images: Iterable[str]) -> None:
        self.sides.setdefault(split, set()).update(images)

    @property
    def divides(self) -> bool:
        """Whether training is told from something held out, once no picture stands on two sides."""
        held_out = self.sides.get(Split.VAL, set()) | self.sides.get(Split.TEST, set())
        return bool(held_out) and bool(self.sides.get(Split.TRAIN, set()) - held_out)


def read_splits(source: Source, labels: Labels) -> SourceSplits:
    """Of every photograph of the source, or of none."""
    pictures = NamedPictures.over(name for name in source.images if name not in labels.not_photographs)
    passed = _Said()
    for way in _WAYS:
        said = way(source, labels, pictures)
        passed.files |= said.files
        if said.divides:
            return _settled(said, pictures, passed)
        passed.told.add_all(said.told)
    return SourceSplits(files=frozenset(passed.files), findings=tuple(passed.told))


def split_word(text: str) -> tuple[Split, str] | None:
    """The split that a name speaks of, and the rest of the name; None where it speaks of none, or of two.

    >>> split_word("instances_train2017"), split_word("VALID"), split_word("bus")
    ((<Split.TRAIN: 'train'>, 'instances 2017'), (<Split.VAL: 'val'>, ''), None)
    """
    tokens = _TOKEN.findall(text.lower())
    found = [token for token in tokens if token in _WORDS]
    if len(found) != 1:
        return None
    return _WORDS[found[0]], " ".join(token for token in tokens if token not in _WORDS)


def _settled(said: _Said, pictures: NamedPictures, passed: _Said) -> SourceSplits:
    split_of: dict[str, Split] = {}
    twice: dict[str, tuple[Split, Split]] = {}
    for split in Split:  # from what is learned from to what is held out most
        for image in sorted(said.sides.get(split, ())):
            if image in split_of:
                twice[image] = (split_of[image], split)
            split_of[image] = split
    findings = [*passed.told, *said.told, *_named_twice(twice)]
    unnamed = [name for name in pictures.names if name not in split_of]
    if unnamed:
        what = "pictures that the source's split does not name: they are in train"
        findings.append(Finding(what, len(unnamed), unnamed[0], "`--set ingest.splits=new` divides all of them anew"))
    split_of |= dict.fromkeys(unnamed, Split.TRAIN)
    return SourceSplits(split_of, said.origin, frozenset(passed.files), tuple(findings))


def _named_twice(twice: Mapping[str, tuple[Split, Split]]) -> Iterator[Finding]:
    for pair in sorted(set(twice.values())):
        images = sorted(image for image, splits in twice.items() if splits == pair)
        yield Finding(f"pictures that the source names for {pair[0]} and {pair[1]}: {pair[1]} alone has them",
                      len(images), images[0])  # fmt: skip


# ---------------------------------------------------------------- data.yaml


def _by_yaml(source: Source, _: Labels, pictures: NamedPictures) -> _Said:
    """Of the YAML files that name splits, the one that lies highest."""
    for file in sorted(source.named(".yaml", ".yml"), key=lambda name: (name.count("/"), name)):
        places = _yaml_places(source, file)
        if len(places) > 1:
            said = _read_places(source, file, places, pictures)
            if said.sides:
                return said
    return _Said()


def _yaml_places(source: Source, file: str) -> dict[str, tuple[Split, tuple[str, ...]]]:
    """Key => (split, the folders or lists it names, each within the YAML's own folder or its `path`)."""
    try:
        document = read_yaml(source.head(file, max_bytes=MAX_YAML_BYTES + 1), where=file)
    except SourceError:
        return {}  # some other tool's
    if not isinstance(document, dict):
        return {}
    root = document.get("path")
    prefix = f"{root}/" if isinstance(root, str) else ""
    return {
        str(key): (word[0], tuple(f"{prefix}{text}" for text in _texts(value)))
        for key, value in document.items()
        if (word := split_word(str(key))) and not word[1] and _texts(value)
    }


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(one for one in values if isinstance(one, str) and one.strip())


def _read_places(
    source: Source, file: str, places: Mapping[str, tuple[Split, tuple[str, ...]]], pictures: NamedPictures
) -> _Said:
    said = _Said(origin=file, files={file})
    for key, (split, texts) in places.items():
        for text in texts:
            found = _place(source, text, file=file, pictures=pictures, said=said)
            if not found:
                what = f"places that {file} names and the source does not have"
                said.told.add(what, example=f"{key}: {text}")
            said.add(split, found)
    held_out = said.sides.get(Split.VAL, set()) | said.sides.get(Split.TEST, set())
    if held_out and not said.divides:
        what = f"YAML file that names the same pictures for train and for {' and '.join(_held_out(said))}: no split"
        said.told.add(what, example=file)
    return said


def _held_out(said: _Said) -> list[Split]:
    return [split for split in (Split.VAL, Split.TEST) if said.sides.get(split)]


def _place(source: Source, text: str, *, file: str, pictures: NamedPictures, said: _Said) -> set[str]:
    """The pictures of a folder or of a list, as a tool of another machine may have written its path."""
    here = PurePosixPath(file).parent.as_posix()
    for candidate in within(text, here=here):
        if candidate in source.files and candidate.lower().endswith(".txt"):
            said.files.add(candidate)
            return _listed(source, candidate, here=here, pictures=pictures, said=said)
        if found := pictures.below(candidate):
            return set(found)
    return set()


# ---------------------------------------------------------------- lists


def _by_lists(source: Source, _: Labels, pictures: NamedPictures) -> _Said:
    """Files of image names, called as their split is; `trainval` is training where nothing else says more."""
    said = _Said()
    lists = [(file, word[0]) for file in source.named(".txt") if (word := _list_word(file))]
    for file, split in sorted(lists, key=lambda item: ("trainval" in item[0].lower(), item[0])):
        told = _Said()
        found = _listed(source, file, here=_list_root(file), pictures=pictures, said=told)
        if "trainval" in PurePosixPath(file).stem.lower():
            found -= said.sides.get(Split.VAL, set())
        if found:
            said.add(split, found)
            said.files.add(file)
            said.told.add_all(told.told)
    said.origin = ", ".join(
        file for file, _ in sorted(lists, key=lambda item: tuple(Split).index(item[1])) if file in said.files
    )
    return said


def _list_word(file: str) -> tuple[Split, str] | None:
    path = PurePosixPath(file)
    folders = [part.lower() for part in path.parts[:-1]]
    if "imagesets" in folders and _OTHER_TASKS & set(folders):
        return None
    word = split_word(path.stem)
    return word if word and word[1] in _LIST_PREFIXES else None


def _list_root(file: str) -> str:
    """The folder whose pictures a list names: the one above `ImageSets`, else its own."""
    parts = PurePosixPath(file).parts[:-1]
    lowered = [part.lower() for part in parts]
    return "/".join(parts[: lowered.index("imagesets")] if "imagesets" in lowered else parts)


def _listed(source: Source, file: str, *, here: str, pictures: NamedPictures, said: _Said) -> set[str]:
    """The pictures that a list's lines name."""
    lines = [line.strip() for line in _text(source, file).splitlines() if line.strip()]
    found = {line: pictures.find(line, here=here) or pictures.find(line.split()[0], here=here) for line in lines}
    missing = [line for line, name in found.items() if name is None]
    if missing:
        what = "lines of split lists that name no picture of the source"
        said.told.add(what, example=f"{file}: {missing[0][:80]}", count=len(missing))
    return {name for name in found.values() if name is not None}


def _text(source: Source, file: str) -> str:
    payload = source.head(file, max_bytes=MAX_LABEL_BYTES)
    wide = payload.startswith((b"\xff\xfe", b"\xfe\xff"))
    return payload.decode("utf-16" if wide else "utf-8-sig", "replace")


# ---------------------------------------------------------------- COCO files, folders


def _by_label_file(_: Source, labels: Labels, __: NamedPictures) -> _Said:
    """One file of labels a split: by its own name, else by the folder it lies in."""
    said = _Said()
    words = {file: _file_word(file) for file in sorted(set(labels.listed_in.values()))}
    for image, file in labels.listed_in.items():
        if split := words[file]:
            said.add(split, [image])
    said.origin = ", ".join(file for file, split in words.items() if split)
    return said


def _file_word(file: str) -> Split | None:
    path = PurePosixPath(file)
    words = (split_word(part) for part in (path.stem, *reversed(path.parts[:-1])))
    return next((word[0] for word in words if word), None)


def _by_folder(_: Source, __: Labels, pictures: NamedPictures) -> _Said:
    """Folders side by side whose names differ by the split alone: `train` and `val`, `bolts_train` and `bolts_test`."""
    found: dict[tuple[str, str], set[Split]] = {}
    for folder in pictures.folders:
        for place, split in _folder_words(folder):
            found.setdefault(place, set()).add(split)
    dividing = {place for place, splits in found.items() if Split.TRAIN in splits and len(splits) > 1}
    said, named = _Said(), set()
    for folder, images in pictures.folders.items():
        chosen = next(((place, split) for place, split in _folder_words(folder) if place in dividing), None)
        if chosen:
            said.add(chosen[1], images)
            named.add(_part_at(folder, chosen[0][0]))
    said.origin = f"folders {', '.join(sorted(named))}" if named else ""
    return said


def _folder_words(folder: str) -> Iterator[tuple[tuple[str, str], Split]]:
    """((what lies above, the rest of the name), split) of each part of a folder's path, outermost first."""
    parts = PurePosixPath(folder).parts
    for index, part in enumerate(parts):
        if word := split_word(part):
            yield ("/".join(parts[:index]), word[1]), word[0]


def _part_at(folder: str, above: str) -> str:
    parts = PurePosixPath(folder).parts
    depth = len(PurePosixPath(above).parts) if above else 0
    return "/".join(parts[: depth + 1])


_WAYS: tuple[Callable[[Source, Labels, NamedPictures], _Said], ...] = (_by_yaml, _by_lists, _by_label_file, _by_folder)
