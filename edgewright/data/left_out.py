"""Everything that an ingest leaves out, by reason: how often, one example, what cures it.

Decides which reasons are one kind: those that differ by a number, a path or a quotation alone. Decides the nearest fix
of each kind that has one. Refuses nothing.

>>> print(*left_out([("a.jpg#box0", "zero-area box [5, 5, 5, 5]"), ("a.jpg#box1", "zero-area box [7, 7, 7, 9]")]))
2 boxes left out: zero-area box, e.g. a.jpg#box0. Next: draw them again: such a box has no inside
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from edgewright.data.findings import Finding
from edgewright.data.sources import PICTURE_SUFFIXES, suffix_of
from edgewright.runtime.pictures import VIDEO_SUFFIXES

_VARYING = (
    re.compile(r"^[^:]*\.(?:txt|xml|json): "),  # the label file that a reason names
    re.compile(r"[ :]*\[[^\]]*\]"),
    re.compile(r"[ :]*\((?:expected|got|in) .*\)"),
    re.compile(r": '.*'$|: \".*\"$"),
    re.compile(r"(?<=cannot be paired): .*"),
)
_CURES = (
    ("a label file without an image", "a picture and its label share a name: images/x.jpg, labels/x.txt"),
    ("labels cannot be paired", "give each picture one label file of its own name"),
    ("is out of range", "list every class in data.yaml or classes.txt, or `--set ingest.classes=[a,b,c]`"),
    ("unknown class", "add it: `--set ingest.classes=[…]`, every name in it; or leave ingest.classes empty"),
    ("zero-area box", "draw them again: such a box has no inside"),
    ("picture too large", "make them smaller, or raise ingest.max_pixels"),
    ("a link that leaves the source folder", "copy the files into the folder, or ingest the folder that holds them"),
    ("made for a picture of another size", "export the labels again for the pictures as they are"),
    ("corrupt or truncated picture", "copy them again from where they were whole"),
    ("not a picture", "convert them to JPEG or PNG"),
    ("corners in the wrong order", "write xmin < xmax and ymin < ymax"),
    ("more than half outside", "draw them again within the picture"),
    ("not a label line", "one line an object: class x y w h"),
    ("an entry without an image", "`file_name` must name a picture of the source"),
    ("annotated twice", "keep one of the files, or merge them"),
)  # fmt: skip


def left_out(
    quarantined: Iterable[tuple[str, str]],
    passed_over: Mapping[str, int] | None = None,
    examples: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Most frequent first; files that nobody took for pictures or labels come last.

    Args:
        quarantined: (id, reason) of images, boxes (`<image>#box<index>`), label files.
        passed_over: suffix => number of files. examples: suffix => one of them.
    """
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for name, reason in quarantined:
        why, _, step = reason.partition(". Next: ")
        kinds.setdefault((_what(name), plain(why), step or cure(why)), []).append(name)
    found = [
        Finding(f"{what} left out: {why}", len(names), names[0], step) for (what, why, step), names in kinds.items()
    ]
    others = [
        Finding(f"files passed over, neither pictures nor labels: {suffix}", count, (examples or {}).get(suffix, ""))
        for suffix, count in (passed_over or {}).items()
    ]
    return [*sorted(found, key=lambda one: (-one.count, one.what)), *others]


def plain(reason: str) -> str:
    """A reason without what is different from case to case."""
    for pattern in _VARYING:
        reason = pattern.sub("", reason)
    return reason


def cure(reason: str) -> str:
    """The nearest fix; empty where there is none to name."""
    return next((step for words, step in _CURES if words in reason), "")


def _what(name: str) -> str:
    if "#box" in name:
        return "boxes"
    if suffix_of(name) in VIDEO_SUFFIXES:
        return "videos"
    return "pictures" if suffix_of(name) in PICTURE_SUFFIXES else "labels"
