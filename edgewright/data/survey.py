"""The one pass over a source's pictures: each is decoded to its last pixel, hashed, and its boxes are checked.

Decides what becomes of each: a row with its labels, or a quarantined row with its reason and what is known of it.
Refuses nothing: whoever asked judges what is left.

    survey = survey_pictures(source, labels, config, sink=DatasetWriter(work, classes=labels.classes))
    len(survey.rows), survey.quarantined
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from edgewright.data.checks import CheckedBoxes, CheckedPicture, check_boxes
from edgewright.data.findings import Findings
from edgewright.data.formats import Annotation, Labels
from edgewright.data.looking import Look, looks
from edgewright.data.rows import LabelState, Row
from edgewright.data.sources import Source, Unusable
from edgewright.fanout.hands import Hands
from edgewright.fanout.processes import ALONE
from edgewright.progress import OnProgress, silent
from edgewright.recipe.data import IngestConfig

_PROGRESS_STEPS = 50


class Sink(Protocol):
    """Where pictures go."""

    def add(self, row: Row, payload: bytes) -> None: ...
    def quarantine(self, row: Row) -> None: ...


class Nowhere:
    """For who only looks."""

    def add(self, row: Row, payload: bytes) -> None:
        pass

    def quarantine(self, row: Row) -> None:
        pass


@dataclass
class Survey:
    """What the pass collects. Attributes: quarantined: id => reason; notes: what the decoder changed in pictures."""

    sink: Sink
    rows: list[Row] = field(default_factory=list)
    quarantined: dict[str, str] = field(default_factory=dict)
    notes: Findings = field(default_factory=Findings)
    clipped_boxes: int = 0

    def keep(self, row: Row, picture: CheckedPicture, boxes: CheckedBoxes) -> None:
        self.rows.append(row)
        coded = replace(row, sha256=picture.coded_of, codec=picture.codec) if picture.codec else row
        self.sink.add(coded, picture.payload)
        for what in picture.notes:
            self.notes.add(what, example=row.id)
        self.clipped_boxes += boxes.clipped
        for index, reason in boxes.refused:
            self.refuse(replace(row, id=f"{row.id}#box{index}", labels=(), state=LabelState.UNLABELED), reason)

    def refuse(self, row: Row, reason: str) -> None:
        self.quarantined[row.id] = reason
        self.sink.quarantine(replace(row, quarantine=reason))


def survey_pictures(
    source: Source,
    labels: Labels,
    config: IngestConfig,
    *,
    sink: Sink,
    hands: Hands = ALONE,
    on_progress: OnProgress = silent,
) -> Survey:
    """Every picture once, in order; decoded by hands where there are many pictures."""
    survey = Survey(sink)
    unread: Mapping[str, str] = {**source.refused, **labels.unpaired}
    for name, reason in unread.items():
        survey.refuse(Row(id=name, sha256=""), reason)  # not opened, or not a picture
    images = [name for name in source.images if name not in labels.not_photographs]
    every = max(1, len(images) // _PROGRESS_STEPS)
    found = looks(source, images, max_pixels=config.max_pixels, codec=config.codec, hands=hands)
    for number, look in enumerate(found, 1):
        _take(survey, look, annotation=labels.by_image.get(look.name), classes=labels.classes, config=config)
        if number % every == 0 or number == len(images):
            on_progress(number, len(images), "checking pictures")
    return survey


def _take(
    survey: Survey, look: Look, *, annotation: Annotation | None, classes: tuple[str, ...], config: IngestConfig
) -> None:
    """One image: used, or quarantined with what is known of it."""
    picture = look.picture
    if picture is None:
        survey.refuse(Row(id=look.name, sha256=look.sha256), look.reason)
        return
    row = Row(look.name, look.sha256, picture.phash, width=picture.wh[0], height=picture.wh[1])
    try:
        boxes = check_boxes(annotation or Annotation(), picture, classes=classes)
    except Unusable as error:
        survey.refuse(row, str(error))
        return
    state = LabelState(config.missing_label) if annotation is None else _state(boxes)
    survey.keep(replace(row, labels=boxes.labels, state=state), picture, boxes)


def _state(boxes: CheckedBoxes) -> LabelState:
    """A picture whose every box was refused is not empty: nothing is known of it."""
    if boxes.labels:
        return LabelState.HUMAN
    return LabelState.UNLABELED if boxes.refused else LabelState.BACKGROUND
