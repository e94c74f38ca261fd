"""Groups: images that are never split up.

Decides the group of an image by itself, its folder, a pattern on its path or its time in a video, and then joins the
groups that share near-duplicates or offline-augmented copies of one photograph, which a name alone betrays: no hash
knows a turned picture. Refuses a pattern that is not a regular expression with a group in it.

>>> merge_groups({"a": "1", "b": "2", "c": "3"}, [("a", "c")])
{'a': ('1', '3'), 'b': ('2',), 'c': ('1', '3')}
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from edgewright.data.source_splits import split_word
from edgewright.errors import RecipeError
from edgewright.recipe.data import IngestConfig

_EXPORTED = re.compile(r"(.+)[._](?:jpe?g|png|webp|bmp|tiff?)\.rf\.[0-9A-Za-z]{6,}", re.IGNORECASE)
"""`NAME_jpg.rf.HASH`: a version of NAME.jpg that Roboflow exported."""
_AUGMENTED = re.compile(
    r"(.+?)(?:[_-](?:aug(?:mented)?|[hv]?flip(?:lr|ud|ped)?|rot(?:ated?)?|mirror(?:ed)?|blur(?:red)?|bright(?:er)?|dark(?:er)?|nois[ey]|crop(?:ped)?)"
    r"[_-]?\d*)+",
    re.IGNORECASE,
)
"""`NAME_flip`, `NAME_aug_3`: a copy of NAME, where NAME is there too."""


def base_groups(ids: Iterable[str], config: IngestConfig, *, known: Mapping[str, str]) -> dict[str, str]:
    """Image id => group, before near-duplicates. `known`: what the source itself says (time in a video).

    Raises:
        RecipeError: the pattern is no regular expression, or has no group.
    """
    if config.group_by == "folder":
        return {name: PurePosixPath(name).parent.as_posix() for name in ids}
    if config.group_by == "pattern":
        pattern = _compiled(config.group_pattern)
        return {name: _first_group(pattern, name) for name in ids}
    return {name: known.get(name, name) for name in ids}


def merge_groups(group_of: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Image id => the base groups that are one because images in them are near-duplicates, sorted (union-find).

    Law: a partition: two images have the same tuple, or tuples without a common group.
    """
    parent = {group: group for group in group_of.values()}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for one, other in pairs:
        low, high = sorted((root(group_of[one]), root(group_of[other])))
        parent[high] = low
    members: defaultdict[str, list[str]] = defaultdict(list)
    for group in sorted(parent):
        members[root(group)].append(group)
    return {name: tuple(members[root(group)]) for name, group in group_of.items()}


def siblings(ids: Iterable[str]) -> list[tuple[str, ...]]:
    """Images that are one photograph by their names, augmented offline; each such family in order.

    >>> siblings(["train/a_jpg.rf.0123456789.jpg", "test/a_jpg.rf.abcdefabcd.jpg", "b.jpg", "b_flip.jpg", "c_flip.jpg"])
    [('b.jpg', 'b_flip.jpg'), ('test/a_jpg.rf.abcdefabcd.jpg', 'train/a_jpg.rf.0123456789.jpg')]
    """
    families: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    ordered = sorted(ids)
    plain = {_place(name) for name in ordered}
    for name in ordered:
        folder, stem = _place(name)
        exported, augmented = _EXPORTED.fullmatch(stem), _AUGMENTED.fullmatch(stem)
        copied = augmented.group(1) if augmented and (folder, augmented.group(1)) in plain else stem
        families[folder, f"{exported.group(1)}.rf" if exported else copied].append(name)
    return sorted(tuple(names) for (_, key), names in families.items() if len(names) > 1 and _differ(names, key))


def _place(name: str) -> tuple[str, str]:
    """The folder without the names of splits in it, and the stem."""
    path = PurePosixPath(name)
    return "/".join(part for part in path.parts[:-1] if split_word(part) is None), path.stem


def _differ(names: Sequence[str], key: str) -> bool:
    """Pictures of one plain name in several splits' folders are no siblings: cameras count from 1 again."""
    return any(PurePosixPath(name).stem != key for name in names)


def _compiled(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise RecipeError("ingest.group_pattern is not a regular expression", got=f"{text!r}: {error}") from error
    if pattern.groups < 1:
        raise RecipeError("ingest.group_pattern names no group", expected="e.g. (camera[0-9]+)_", got=repr(text))
    return pattern


def _first_group(pattern: re.Pattern[str], name: str) -> str:
    """An image that does not match is a group of its own."""
    found = pattern.search(name)
    return (found.group(1) or name) if found else name
