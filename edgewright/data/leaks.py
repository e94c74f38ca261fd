"""Leaks: a photograph that a source has on two sides of its own split.

Decides what betrays one: the same bytes, a perceptual hash as near as duplicates are in this set, or a name that says
that both were augmented from one photograph. Counts the pictures of the less held-out side, each with one twin. Refuses
nothing and moves nothing: `divide` does what `ingest.leaks` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgewright.data.findings import Finding
from edgewright.data.phash import Duplicates
from edgewright.data.rows import Row, Split

SideOf = Callable[[str], Split | None]
SAME, NEAR, AUGMENTED = "the same file", "a near-duplicate", "augmented from one photograph, by its name"
_KINDS = (SAME, NEAR, AUGMENTED)
_ORDER = tuple(Split)


@dataclass(frozen=True)
class Leak:
    """Attributes: image: on the less held-out side, `split`. twin: the same photograph on the other, `twin_split`."""

    image: str
    split: Split
    twin: str
    twin_split: Split
    why: str


def find_leaks(
    rows: Sequence[Row], duplicates: Duplicates, families: Sequence[tuple[str, ...]], side_of: SideOf
) -> tuple[Leak, ...]:
    """One for each picture that has a twin on a more held-out side: the plainest one, plainest first."""
    sha256_of = {row.id: row.sha256 for row in rows}
    found: dict[str, Leak] = {}
    for one, other, _ in duplicates.pairs:  # closest first
        why = SAME if sha256_of[one] == sha256_of[other] else NEAR
        for leak in _leak(one, other, why, side_of):
            found.setdefault(leak.image, leak)
    for family in families:
        twin = max(family, key=lambda name: _held_out(side_of(name)))
        for image in family:
            for leak in _leak(image, twin, AUGMENTED, side_of):
                found.setdefault(leak.image, leak)
    return tuple(sorted(found.values(), key=lambda leak: (_KINDS.index(leak.why), leak.image)))


def leak_findings(leaks: Sequence[Leak], *, moved: bool) -> Iterator[Finding]:
    """A sentence for each kind and pair of sides."""
    for key in dict.fromkeys((leak.why, leak.split, leak.twin_split) for leak in leaks):
        same = [leak for leak in leaks if (leak.why, leak.split, leak.twin_split) == key]
        why, split, twin_split = key
        done = f": moved to {twin_split}" if moved else f": a leak, {twin_split} is no honest {twin_split}"
        cure = "" if moved else "`--set ingest.leaks=move` moves them to the more held-out side"
        what = f"pictures of {split} that also stand in {twin_split} ({why}){done}"
        yield Finding(what, len(same), f"{same[0].image} = {same[0].twin}", cure)


def _leak(one: str, other: str, why: str, side_of: SideOf) -> Iterator[Leak]:
    sides = (side_of(one), side_of(other))
    if sides[0] is None or sides[1] is None or sides[0] == sides[1]:
        return
    (image, split), (twin, twin_split) = sorted(
        ((one, sides[0]), (other, sides[1])), key=lambda pair: _held_out(pair[1])
    )
    yield Leak(image, split, twin, twin_split, why)


def _held_out(split: Split | None) -> int:
    return -1 if split is None else _ORDER.index(split)
