"""A source as ingest and inspection both read it: layout, labels, its own splits, one pass over its pictures.

Decides the order, and what a person is told of it. Refuses what cannot be read at all; whether it is enough to begin a
run with is asked separately (`require_usable`).

    with read_source(Path("photos"), IngestConfig(), scratch=scratch, sink=lambda labels: Nowhere()) as reading:
        division = reading.divided(config, seed=0)
    reading.report([division.place(row) for row in reading.survey.rows], division).findings
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar

from edgewright.data.divide import Division, divide
from edgewright.data.findings import Finding
from edgewright.data.formats import Labels, detect_layout, layout_named
from edgewright.data.formats.foreign import foreign_beside
from edgewright.data.ingest_report import IngestReport, count_splits
from edgewright.data.rows import LabelState, Row
from edgewright.data.source_splits import SourceSplits, read_splits
from edgewright.data.sources import Source, open_source, suffix_of
from edgewright.data.splits import SplitLedger
from edgewright.data.survey import Sink, Survey, survey_pictures
from edgewright.data.usable import require_enough, require_labels
from edgewright.fanout.hands import Hands
from edgewright.fanout.processes import ALONE
from edgewright.progress import OnProgress, silent
from edgewright.recipe.data import IngestConfig

S = TypeVar("S", bound=Sink)


@dataclass(frozen=True)
class Reading(Generic[S]):
    """What was read. Attributes: foreign: files of labels in formats that are not read, beside those that are."""

    source: Source
    layout: str
    labels: Labels
    brought: SourceSplits
    foreign: tuple[Finding, ...]
    sink: S
    survey: Survey

    def require_usable(self, config: IngestConfig) -> None:
        """Raises SourceError where a run would have too little to begin with; asked while the source is open."""
        require_enough(len(self.survey.rows), self.survey.quarantined, config, where=self.source.where)
        require_labels(self.source, self.labels, self.survey.rows, self.survey.quarantined, config)

    def divided(self, config: IngestConfig, *, seed: int, ledger: SplitLedger | None = None) -> Division:
        """Raises RecipeError where the group pattern is wrong."""
        return divide(
            self.survey.rows,
            config,
            n_classes=len(self.labels.classes),
            known=self.source.groups,
            brought=self.brought,
            seed=seed,
            ledger=ledger,
        )

    def report(self, rows: Sequence[Row], division: Division) -> IngestReport:
        """What a person is told. `rows`: placed ones, quarantined ones among them or not."""
        survey, labels, others = self.survey, self.labels, self._passed_over()
        return IngestReport(
            layout=self.layout,
            classes=labels.classes,
            images=len(survey.rows),
            unlabeled=sum(row.state == LabelState.UNLABELED for row in survey.rows),
            background=sum(row.state == LabelState.BACKGROUND for row in survey.rows),
            splits=count_splits(rows, labels.classes),
            quarantined=tuple(sorted(survey.quarantined.items())),
            clipped_boxes=survey.clipped_boxes,
            passed_over=dict(sorted(Counter(map(_suffix, others)).items())),
            passed_over_examples={_suffix(name): name for name in reversed(others)},
            duplicates=division.duplicates,
            merged_images=division.merged_images,
            unmatched_images=division.unmatched_images,
            moved=division.assignment.moved,
            ledger=division.assignment.ledger,
            label_folders=tuple(sorted({PurePosixPath(name).parent.as_posix() for name in labels.files})),
            class_source=labels.class_source,
            split_source=division.origin,
            leaks=division.leaks,
            findings=(
                *self.source.findings,
                *labels.findings,
                *self.foreign,
                *survey.notes,
                *division.findings,
            ),
        )

    def _passed_over(self) -> list[str]:
        """Files that are neither used nor quarantined: masks, read-me files."""
        labels = self.labels
        used = (set(self.source.images) - labels.not_photographs) | labels.files | labels.class_files
        used |= set(labels.unpaired) | self.brought.files
        return [name for name in self.source.files if name not in used]


@contextmanager
def read_source(
    source: Path,
    config: IngestConfig,
    *,
    scratch: Path,
    sink: Callable[[Labels], S],
    hands: Hands = ALONE,
    on_progress: OnProgress = silent,
) -> Iterator[Reading[S]]:
    """Read a folder, an archive or a video; in the block its pictures can be read again.

    Args:
        sink: where pictures go, made once the labels are known.
        hands: who decodes where there are many pictures.

    Raises:
        SourceError: it cannot be read, its labels cannot be told, or it holds nothing.
        MissingExtra: nothing but videos, and OpenCV is not installed.
    """
    with open_source(
        source,
        scratch=scratch,
        frame_step=config.frame_step,
        frame_group_s=config.frame_group_s,
        follow_links=config.follow_links,
    ) as opened:
        layout = detect_layout(opened) if config.layout == "auto" else config.layout
        labels = layout_named(layout).read(opened, config.classes)
        brought, target = read_splits(opened, labels), sink(labels)
        survey = survey_pictures(opened, labels, config, sink=target, hands=hands, on_progress=on_progress)
        foreign = () if layout == "unlabeled" else foreign_beside(opened, labels.files | labels.class_files)
        yield Reading(opened, layout, labels, brought, foreign, target, survey)


def _suffix(name: str) -> str:
    return suffix_of(name) or "no suffix"
