"""The review round trip: doubtful pictures out to a labeling tool, a person's labels back into the data set.

Decides how an answer enters: the picture's boxes become exactly the person's, its state `reviewed`; every label says
who drew it and when, which model had proposed it, and where it stood before. An untouched box keeps its exact corners
and its mask. Regions that were never shown stay. Refuses, by name: a picture or class that the data set does not have,
a box that is none, two answers for one picture, an answer of nobody. A picture that was left out is usable once a
person has answered.

Law: exporting and importing the unchanged file gives the boxes that were shown.

    exported = export_review(dataset, out=Path("review"), format="label-studio", limit=100)
    report = import_review(dataset, Path("export.json"), format="label-studio", person="", writer=writer)
    writer.finish()
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from edgewright.artifacts.store import store_errors
from edgewright.data.dataset import Dataset, DatasetWriter, image_suffix
from edgewright.data.rows import Label, LabelSource, LabelState, Row
from edgewright.errors import InputError
from edgewright.label.trust.agreement import match_greedily
from edgewright.review.formats import (
    AnnotatedImage,
    Box,
    ReviewFile,
    ReviewTask,
    check_format,
    read_review,
    write_review,
)
from edgewright.review.formats.annotated import Xyxy, file_name, iso_time, key_of, write_images
from edgewright.review.queue import Proposals, collect_doubts, has_picture, hidden_labels
from edgewright.runtime.boxes import Boxes

UNCHANGED_PX = 0.02
"""Corners that moved less were rounded by a tool (CVAT writes two decimals), not by a person."""
SAME_OBJECT_IOU = 0.3
"""A drawn box is a proposed one's correction from this overlap on; with less it is another object."""
_SHOWN_NAMES = 5


@dataclass(frozen=True)
class ReviewExport:
    """Attributes: doubtful: pictures with a doubt; images, boxes: what was written; lowest_confidence: of the first."""

    folder: Path
    format: str
    doubtful: int
    images: int
    boxes: int
    lowest_confidence: float | None


@dataclass(frozen=True)
class ImportReport:
    """What a person's answers came to.

    Attributes:
        reviewed: pictures; untouched: pictures of the file that nobody has answered.
        kept, moved, renamed, added, removed: boxes against those that were proposed.
        persons: who answered.
    """

    reviewed: int
    untouched: int
    kept: int
    moved: int
    renamed: int
    added: int
    removed: int
    persons: tuple[str, ...]


def export_review(
    dataset: Dataset,
    *,
    out: Path,
    format: str,  # noqa: A002 - the option's name
    limit: int,
    proposals: Proposals | None = None,
) -> ReviewExport:
    """Write a project of the most doubtful pictures into a new folder.

    Args:
        limit: at most so many pictures.
        proposals: what a labeler says of the data set.

    Raises:
        InputError: unknown format, a folder that is not empty, or nothing to review.
        StoreUnavailable: the disk is full or the folder cannot be written.
    """
    check_format(format)
    doubts = collect_doubts(dataset.rows, proposals)
    if not doubts:
        raise InputError("nothing to review", expected="labels that the labeler doubts", where=dataset.ref.uri)
    payloads = [dataset.payload(item.row) for item in doubts[:limit]]
    tasks = [
        ReviewTask(file_name(rank, item.row.id, suffix=image_suffix(payload)), item)
        for rank, (item, payload) in enumerate(zip(doubts[:limit], payloads, strict=True), 1)
    ]
    with store_errors(str(out)):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError("the review folder is not empty", where=out, next_step="name a new folder")
        out.mkdir(parents=True, exist_ok=True)
        write_images(out, tasks, payloads)
        write_review(out.resolve(), tasks, dataset.classes, format=format)
    boxes = sum(len(task.item.shown) for task in tasks)
    return ReviewExport(out, format, len(doubts), len(tasks), boxes, tasks[0].item.confidence if tasks else None)


def import_review(
    dataset: Dataset,
    path: Path,
    *,
    format: str = "",  # noqa: A002 - the option's name
    person: str = "",
    when: str = "",
    writer: DatasetWriter,
    proposals: Proposals | None = None,
) -> ImportReport:
    """Write a row for every row of `dataset`, the answered ones with a person's labels. The caller finishes the writer.

    Args:
        format: empty: told by the file itself.
        person: who answered, where the file does not say.
        when: the time of every answer, ISO 8601; empty: what the file says of a picture, else when it was written.
        proposals: as at the export.

    Raises:
        InputError: see above; names the pictures and classes.
    """
    answers = read_review(path, format=format)
    by_key = _answers_by_key(answers, dataset, where=path)
    _check_people(answers, person, where=path)
    taker = _Taker(dataset.classes, person, _Clock.of(path, when), where=path)
    known = proposals or Proposals()
    reviewed = {
        row.id: taker.take(row, known.shown(row), by_key[key_of(row.id)])
        for row in dataset.rows
        if has_picture(row) and key_of(row.id) in by_key
    }
    for row in (reviewed.get(row.id, row) for row in dataset.rows):
        writer.carry(row, dataset)
    return taker.report(answers)


def _answers_by_key(answers: ReviewFile, dataset: Dataset, *, where: Path) -> dict[str, AnnotatedImage]:
    known = {key_of(row.id) for row in dataset.rows if has_picture(row)}
    _refuse(
        "pictures that the data set does not have",
        [answer.image for answer in answers.images if answer.key not in known],
        expected="file names as they were exported, imported with the --part that they were exported with",
        where=where,
    )
    classes = {box.name for answer in answers.images for box in answer.boxes}
    _refuse(
        "classes that the data set does not have",
        sorted(classes - set(dataset.classes)),
        expected=", ".join(dataset.classes),
        where=where,
    )
    by_key = {answer.key: answer for answer in answers.images}
    twice = [answer.image for answer in answers.images if by_key[answer.key] is not answer]
    _refuse("two answers for one picture", twice, expected="one", where=where)
    return by_key


def _check_people(answers: ReviewFile, person: str, *, where: Path) -> None:
    """Who answered is never invented."""
    if not person.strip():
        nobody = [answer.image for answer in answers.images if not answer.person]
        _refuse(
            "the file does not say who answered", nobody, expected="a person", where=where, next_step="--person NAME"
        )


def _refuse(what: str, names: Sequence[str], *, expected: str, where: Path, next_step: str | None = None) -> None:
    if names:
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        got = ", ".join(ascii(name[:80]) for name in names[:_SHOWN_NAMES]) + more
        raise InputError(what, expected=expected, got=got, where=where, next_step=next_step)


@dataclass(frozen=True)
class _Clock:
    """When answers were given, ISO 8601 in UTC: as `told`; else what the file says; else when it was `written`."""

    told: str
    written: str

    @classmethod
    def of(cls, path: Path, when: str) -> _Clock:
        told = iso_time(when)
        if when and not told:
            raise InputError("not a time", expected="ISO 8601, as 2026-05-04T10:00:00Z", got=when)
        return cls(told, datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds"))

    def time_of(self, answer: AnnotatedImage) -> str:
        return self.told or answer.reviewed_at or self.written


class _Taker:
    """Turns answers into rows and counts what they changed."""

    def __init__(self, classes: Sequence[str], person: str, clock: _Clock, *, where: Path) -> None:
        self._class_ids = {name: index for index, name in enumerate(classes)}
        self._person, self._clock, self._where = person.strip(), clock, where
        self._counts = dict.fromkeys(("kept", "moved", "renamed", "added", "removed"), 0)
        self._persons: set[str] = set()

    def take(self, row: Row, proposed: Sequence[Label], answer: AnnotatedImage) -> Row:
        """The reviewed row. `proposed`: the boxes that were shown."""
        person = answer.person or self._person
        self._persons.add(person)
        drawn = [self._label(box, row, answer) for box in answer.boxes]
        match = match_greedily(_boxes(drawn).iou(_boxes(proposed)), min_iou=SAME_OBJECT_IOU)
        labels = [
            self._joined(label, proposed[int(at)] if at >= 0 else None) for label, at in zip(drawn, match, strict=True)
        ]
        self._counts["removed"] += len(proposed) - int((match >= 0).sum())
        signed = [replace(label, person=person, reviewed_at=self._clock.time_of(answer)) for label in labels]
        numbered = tuple(replace(label, instance_id=i) for i, label in enumerate([*signed, *hidden_labels(row)]))
        return replace(row, labels=numbered, state=LabelState.REVIEWED, quarantine="")

    def report(self, answers: ReviewFile) -> ImportReport:
        persons = tuple(sorted(self._persons))
        return ImportReport(len(answers.images), answers.untouched, **self._counts, persons=persons)

    def _label(self, box: Box, row: Row, answer: AnnotatedImage) -> Label:
        width, height = row.width or 0, row.height or 0
        scale = (width, height, width, height) if answer.relative else (1, 1, 1, 1)
        corners = [value * by for value, by in zip(box.xyxy, scale, strict=True)]
        if not all(map(math.isfinite, corners)):
            raise InputError("a corner is not a finite number", got=box.xyxy, where=f"{self._where} {answer.image}")
        limits = (width, height, width, height)
        x1, y1, x2, y2 = (min(max(value, 0.0), float(limit)) for value, limit in zip(corners, limits, strict=True))
        if x2 <= x1 or y2 <= y1:
            raise InputError("a box without an area in the picture", got=corners, where=f"{self._where} {answer.image}")
        return Label(0, self._class_ids[box.name], (x1, y1, x2, y2), ignore=box.ignore, source=LabelSource.REVIEWED)

    def _joined(self, drawn: Label, proposed: Label | None) -> Label:
        """What was drawn, with what is known of the box that it corrects."""
        if proposed is None:
            self._counts["added"] += 1
            return drawn
        same_place = _same_place(drawn.xyxy, proposed.xyxy)
        renamed = drawn.class_id != proposed.class_id
        self._counts["renamed" if renamed else "kept" if same_place else "moved"] += 1
        return replace(
            drawn,
            xyxy=proposed.xyxy if same_place else drawn.xyxy,
            mask=proposed.mask if same_place else "",
            model=proposed.model,
            replaced_xyxy=proposed.replaced_xyxy if same_place else proposed.xyxy,
        )


def _same_place(one: Xyxy, other: Xyxy) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= UNCHANGED_PX


def _boxes(labels: Sequence[Label]) -> Boxes:
    return Boxes.of([label.xyxy for label in labels], class_id=[label.class_id for label in labels])
