"""Groups: images that are never split up.

Decides the group of an image by itself, its folder, a pattern on its path or its time in a video, and then joins the
groups that share near-duplicates. Refuses a pattern that is not a regular expression with a group in it.

>>> merge_groups({"a": "1", "b": "2", "c": "3"}, [("a", "c")])
{'a': ('1', '3'), 'b': ('2',), 'c': ('1', '3')}
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from edgewright.errors import RecipeError
from edgewright.recipe.data import IngestConfig


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
