"""Division: each photograph gets its group and its split, from the project, from the source, or drawn.

Decides who is asked first: the project's ledger, by content and by name; then what the source says, unless
`ingest.splits` is `new`; then the draw. A source that brings no val or no test with labels has it drawn from its train.
A leak that the source brings is told; `ingest.leaks` says whether it stays. Refuses nothing: what stands otherwise than
the source has it is a finding.

    division = divide(rows, config, n_classes=2, known={}, brought=brought, seed=0, ledger=None)
    division.place(row).split
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from edgewright.data.findings import Finding
from edgewright.data.groups import base_groups, merge_groups, siblings
from edgewright.data.leaks import Leak, find_leaks, leak_findings
from edgewright.data.phash import Duplicates, find_duplicates
from edgewright.data.recognize import recognize
from edgewright.data.rows import LabelState, Row, Split
from edgewright.data.source_splits import SourceSplits
from edgewright.data.splits import Assignment, KnownPicture, SplitLedger, assign_splits, draw_splits, most_held_out
from edgewright.recipe.data import IngestConfig

MergedGroup = tuple[str, ...]
Weights = Mapping[MergedGroup, Sequence[int]]
Shares = tuple[float, float, float]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Division:
    """How the photographs are divided, and why.

    Attributes:
        merged: image id => the base groups that are one.
        merged_images: images whose group was joined with another one by a near-duplicate.
        unmatched_images: images that the group pattern does not match.
        origin: where the splits came from, for a person.
        leaks: photographs that the source has on two sides.
    """

    duplicates: Duplicates
    merged: Mapping[str, MergedGroup]
    assignment: Assignment
    merged_images: int
    unmatched_images: int
    origin: str
    leaks: tuple[Leak, ...]
    findings: tuple[Finding, ...]

    def place(self, row: Row) -> Row:
        """The row with its group and split; a refused box goes with its image, any other refusal has none."""
        groups = self.merged.get(row.id.rpartition("#box")[0] if row.quarantine else row.id)
        if groups is None:
            return row
        return replace(row, group=groups[0], split=self.assignment.split_of[groups])


def divide(
    rows: Sequence[Row],
    config: IngestConfig,
    *,
    n_classes: int,
    known: Mapping[str, str],
    brought: SourceSplits,
    seed: int,
    ledger: SplitLedger | None,
) -> Division:
    """Groups and splits of usable rows.

    Args:
        known: image id => group, where the source itself knows (time in a video).
        brought: what the source says of its own division.
        ledger: what the project has divided before.
    """
    base = base_groups([row.id for row in rows], config, known=known)
    duplicates = find_duplicates([(row.id, row.phash, row.sha256) for row in rows])
    said = brought.split_of if config.splits == "source" else {}
    facts = _facts(rows, base, said, ledger or SplitLedger(), threshold_bits=duplicates.threshold_bits)
    families = siblings(base)
    apart = bool(said) and config.leaks == "keep"
    near = [pair for one, other, _ in duplicates.pairs if not facts.parted(pair := (one, other), apart)]
    alike = [pair for family in families for pair in facts.chained(family) if not facts.parted(pair, apart)]
    merged = merge_groups(base, near + alike)
    weights = _weights(rows, merged, n_classes)
    drawn = _drawn(rows, merged, weights, facts, shares=_shares(config), seed=seed) if said else {}
    fixed = facts.sides | {one: split for group, split in drawn.items() for one in group}
    assignment = assign_splits(weights, shares=_shares(config), seed=seed, ledger=ledger, fixed=fixed)
    leaks = find_leaks(rows, duplicates, families, facts.side_of) if said else ()
    return Division(
        duplicates=duplicates,
        merged=merged,
        assignment=_remembering(assignment, rows, base),
        merged_images=sum(len(groups) > 1 for groups in merge_groups(base, near).values()),
        unmatched_images=sum(name == group for name, group in base.items()) if config.group_by == "pattern" else 0,
        origin=_origin(config, brought, facts, drawn),
        leaks=leaks,
        findings=(
            *brought.findings,
            *_drawn_findings(rows, merged, drawn),
            *facts.findings(said),
            *leak_findings(leaks, moved=config.leaks == "move"),
        ),
    )


@dataclass(frozen=True)
class _Facts:
    """What is known before anything is drawn.

    Attributes:
        base: image id => base group.
        by_ledger, by_source: base group => split.
        renamed: image id => the group that the ledger knows it under.
    """

    base: Mapping[str, str]
    by_ledger: Mapping[str, Split]
    by_source: Mapping[str, Split]
    renamed: Mapping[str, str]

    @property
    def sides(self) -> dict[str, Split]:
        return {**self.by_source, **self.by_ledger}

    def side_of(self, image: str) -> Split | None:
        group = self.base[image]
        return self.by_ledger.get(group) or self.by_source.get(group)

    def parted(self, pair: Pair, apart: bool) -> bool:
        """Whether two pictures that are one photograph stay where the source has them."""
        return apart and self.side_of(pair[0]) != self.side_of(pair[1])

    def chained(self, family: Sequence[str]) -> Iterable[Pair]:
        """Pairs that join a family, those of one side among themselves."""
        return pairwise(sorted(family, key=lambda name: (str(self.side_of(name)), name)))

    def findings(self, said: Mapping[str, Split]) -> Iterator[Finding]:
        if self.renamed:
            new, old = min(self.renamed.items())
            what = "photographs that the project knows under another name: they stay in their split"
            yield Finding(what, len(self.renamed), f"{new} was {old}")
        other = sorted(
            name for name, split in said.items() if self.by_ledger.get(self.base.get(name, ""), split) != split
        )
        if other:
            example = f"{other[0]}: {said[other[0]]} in the source, {self.side_of(other[0])} in the project"
            what = "photographs that the source puts elsewhere than the project had them: the project's split stays"
            yield Finding(what, len(other), example, "`--project NEW_NAME` begins without the old splits")
        cut = {
            self.base[name]
            for name, split in said.items()
            if self.by_source.get(self.base.get(name, ""), split) != split
        }
        if cut:
            yield Finding("groups that the source's split cuts: each is held out whole", len(cut), min(cut))


def _facts(
    rows: Sequence[Row],
    base: Mapping[str, str],
    said: Mapping[str, Split],
    ledger: SplitLedger,
    *,
    threshold_bits: int,
) -> _Facts:
    renamed = recognize(rows, base, ledger, threshold_bits=threshold_bits)
    by_ledger = {group: ledger.splits[group] for group in base.values() if group in ledger.splits}
    for name, group in renamed.items():
        _hold_out(by_ledger, base[name], ledger.splits[group])
    by_source: dict[str, Split] = {}
    for name, group in base.items():
        if name in said:
            _hold_out(by_source, group, said[name])
    return _Facts(base, by_ledger, by_source, renamed)


def _hold_out(sides: dict[str, Split], group: str, split: Split) -> None:
    sides[group] = most_held_out((sides.get(group, split), split)) or split


def _weights(rows: Sequence[Row], merged: Mapping[str, MergedGroup], n_classes: int) -> dict[MergedGroup, list[int]]:
    """Merged group => images, then objects of each class."""
    weights: dict[MergedGroup, list[int]] = {}
    for row in rows:
        total = weights.setdefault(merged[row.id], [0] * (1 + n_classes))
        total[0] += 1
        for label in row.labels:
            total[1 + label.class_id] += not label.ignore
    return weights


def _shares(config: IngestConfig) -> Shares:
    return (config.train_share, config.val_share, 1 - config.train_share - config.val_share)


def _drawn(
    rows: Sequence[Row],
    merged: Mapping[str, MergedGroup],
    weights: Weights,
    facts: _Facts,
    *,
    shares: Shares,
    seed: int,
) -> dict[MergedGroup, Split]:
    """What is drawn from the source's train, for a held-out split that it does not bring; train itself among it."""
    labeled = [row for row in rows if row.state != LabelState.UNLABELED] or rows
    present = {facts.side_of(row.id) for row in labeled}
    wanted = tuple(
        share if split == Split.TRAIN or split not in present else 0.0
        for split, share in zip(Split, shares, strict=True)
    )
    free = {merged[row.id] for row in labeled if _is_free(merged[row.id], facts)}
    if sum(map(bool, wanted)) < 2 or not free:
        return {}
    whole = sum(wanted)
    normed = (wanted[0] / whole, wanted[1] / whole, wanted[2] / whole)
    return draw_splits({group: weights[group] for group in free}, shares=normed, seed=seed)


def _is_free(group: MergedGroup, facts: _Facts) -> bool:
    """Whether the source trains on it and the project has no split for it."""
    return all(base not in facts.by_ledger and facts.by_source.get(base) == Split.TRAIN for base in group)


def _drawn_findings(
    rows: Sequence[Row], merged: Mapping[str, MergedGroup], drawn: Mapping[MergedGroup, Split]
) -> Iterator[Finding]:
    for split in (Split.VAL, Split.TEST):
        images = [row.id for row in rows if drawn.get(merged[row.id]) == split]
        if images:
            yield Finding(
                f"pictures of train drawn for {split}: the source brings none with labels", len(images), images[0]
            )


def _remembering(assignment: Assignment, rows: Sequence[Row], base: Mapping[str, str]) -> Assignment:
    pictures = (KnownPicture(base[row.id], row.sha256, row.phash) for row in rows)
    return replace(assignment, ledger=assignment.ledger.remembering(pictures))


def _origin(config: IngestConfig, brought: SourceSplits, facts: _Facts, drawn: Mapping[MergedGroup, Split]) -> str:
    """Where the splits came from, in words."""
    groups = set(facts.base.values())
    if groups <= facts.by_ledger.keys():
        return "earlier ingests of the project"
    also = ", earlier ingests of the project" if facts.by_ledger else ""
    if facts.by_source:
        missing = [split for split in Split if split != Split.TRAIN and split in drawn.values()]
        return (
            f"the source: {brought.origin}" + (f"; {' and '.join(missing)} drawn from train" if missing else "") + also
        )
    train, val, test = (f"{share:.0%}" for share in _shares(config))
    asked = " as asked" if brought.split_of else ""
    return f"divided anew{asked}, by group: {train} train, {val} val, {test} test{also}"
