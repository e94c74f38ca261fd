"""What an ingest took, what it left out and why. Decides what is worth a warning; refuses nothing.

A quarantined box reads `("JPEGImages/a.jpg#box3", "zero-area box [181, 329, 181, 329]")`, a warning reads `class 'dent'
has no object in test`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edgewright.data.findings import Finding
from edgewright.data.leaks import Leak
from edgewright.data.left_out import left_out
from edgewright.data.phash import Duplicates
from edgewright.data.rows import Row, Split, count_by_class
from edgewright.data.splits import SplitLedger

MERGED_SHARE_WARNING = 0.2
"""DESIGN: above a fifth the pictures are worth a look: the hash may be joining what only looks alike."""
MAX_PAIRS_SHOWN = 24


@dataclass(frozen=True)
class SplitCount:
    """What one split holds; objects by class name, ignore regions not counted."""

    images: int
    groups: int
    objects: Mapping[str, int]


@dataclass(frozen=True)
class IngestReport:
    """The facts of `ingest.json`, and the ledger of `splits.json`.

    Attributes:
        images: usable ones, with `unlabeled` and `background` among them.
        quarantined: (id, reason) of images, boxes (`<image>#box<index>`, from 0) and label files, by id.
        clipped_boxes: boxes that were cut at the picture's edge.
        passed_over: suffix => number of files that are neither pictures nor labels.
        duplicates: the threshold, the distance histogram and the pairs.
        merged_images: images whose group was joined with another one by a near-duplicate.
        unmatched_images: images that the group pattern does not match: groups of their own.
        moved: base groups whose split changed, because a near-duplicate stands in a more held-out one.
        label_folders: where the label files lie, by name.
        class_source, split_source: where the class list and the splits came from, for a person.
        passed_over_examples: suffix => one of those files.
        leaks: photographs that the source has on two sides of its split.
        findings: what readers and splits have to say.
    """

    layout: str
    classes: tuple[str, ...]
    images: int
    unlabeled: int
    background: int
    splits: Mapping[str, SplitCount]
    quarantined: tuple[tuple[str, str], ...]
    clipped_boxes: int
    passed_over: Mapping[str, int]
    duplicates: Duplicates
    merged_images: int
    unmatched_images: int
    moved: tuple[str, ...]
    ledger: SplitLedger
    label_folders: tuple[str, ...] = ()
    class_source: str = ""
    split_source: str = ""
    findings: tuple[Finding, ...] = ()
    passed_over_examples: Mapping[str, str] = field(default_factory=dict)
    leaks: tuple[Leak, ...] = ()

    @property
    def quarantined_boxes(self) -> int:
        return sum("#box" in name for name, _ in self.quarantined)

    @property
    def left_out(self) -> list[Finding]:
        return left_out(self.quarantined, self.passed_over, self.passed_over_examples)

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*_class_warnings(self), *_group_warnings(self))

    def to_json(self) -> dict[str, Any]:
        """Without the ledger, which has a file of its own; of the pairs the closest, of the leaks the plainest."""
        value = asdict(replace(self, ledger=SplitLedger(self.ledger.version)))
        value["split_version"] = value.pop("ledger")["version"]
        value["duplicates"]["pairs"] = value["duplicates"]["pairs"][:MAX_PAIRS_SHOWN]
        value["n_leaks"] = len(self.leaks)
        value["leaks"] = value["leaks"][:MAX_PAIRS_SHOWN]
        value["quarantined_boxes"] = self.quarantined_boxes
        value["labeled"] = self.images - self.unlabeled - self.background
        value["left_out"] = [asdict(one) for one in self.left_out]
        value["warnings"] = list(self.warnings)
        return value


def count_splits(rows: Sequence[Row], classes: tuple[str, ...]) -> dict[str, SplitCount]:
    """Of the rows that are not quarantined; every split is listed."""
    counts: dict[str, SplitCount] = {}
    for split in Split:
        chosen = [row for row in rows if row.split == split and not row.quarantine]
        objects = dict(zip(classes, count_by_class(chosen, len(classes)), strict=True))
        counts[split] = SplitCount(len(chosen), len({row.group for row in chosen}), objects)
    return counts


def _class_warnings(report: IngestReport) -> Iterator[str]:
    for name in report.classes:
        absent = [split for split, count in report.splits.items() if not count.objects[name]]
        if len(absent) == len(Split):
            yield f"class {name!r} has no object at all"
        elif absent:
            yield f"class {name!r} has no object in {' and '.join(absent)}"


def _group_warnings(report: IngestReport) -> Iterator[str]:
    for split, count in report.splits.items():
        if not count.images:
            yield f"{split} is empty: there are too few groups to divide"
    if report.merged_images > MERGED_SHARE_WARNING * report.images:
        share = report.merged_images / report.images
        yield f"{share:.0%} of the images were joined into groups by near-duplicates: look at the pairs"
    if report.duplicates.threshold_bits < 0 and report.images > 1:
        yield "the pictures are too alike to find near-duplicates by hash: only identical files were joined"
    if report.unmatched_images:
        yield f"{report.unmatched_images} images do not match ingest.group_pattern: each is a group of its own"
    if report.moved:
        yield f"{len(report.moved)} groups changed their split: near-duplicates stand in a more held-out one"
