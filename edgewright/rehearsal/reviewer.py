"""A simulated reviewer: knows the truth, corrects what a device proposed, and counts clicks.

Decides what a click costs: one to confirm a frame, one to remove a box, two to move one by two corners, three to draw a
new one and name it. A box that covers its object to GOOD_IOU stays as it is, as a person would leave it. The answers
are a file as annotation tools write it, and come in by the same import. Refuses nothing.

    write_answers(frames, truth, classes=("nut",), path=Path("answers.json"))
    clicks_of(report)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.fleet.frames import FleetFrame
from edgewright.review.formats.annotated import file_name
from edgewright.review.of_fleet import row_id
from edgewright.review.round_trip import ImportReport
from edgewright.runtime.boxes import Boxes

PERSON = "simulated reviewer"
GOOD_IOU = 0.75
CONFIRMED, REMOVED, RENAMED, MOVED, ADDED = 1, 1, 1, 2, 3
"""Clicks."""


def clicks_of(report: ImportReport) -> int:
    return (
        CONFIRMED * report.reviewed
        + REMOVED * report.removed
        + RENAMED * report.renamed
        + MOVED * report.moved
        + ADDED * report.added
    )


def corrected(proposed: Boxes, truth: Boxes) -> Boxes:
    """The truth, with the proposed corners of each object that one of them covers well enough."""
    xyxy = truth.xyxy.copy()
    overlap = truth.iou(proposed) if len(proposed) and len(truth) else None
    for index in range(len(truth) if overlap is not None else 0):
        same = (proposed.class_id == truth.class_id[index]) & (overlap[index] >= GOOD_IOU)  # type: ignore[index]
        if same.any():
            best = int((overlap[index] * same).argmax())  # type: ignore[index]
            xyxy[index] = proposed.xyxy[best]
    return Boxes.of(xyxy, class_id=truth.class_id)


def write_answers(
    frames: Sequence[FleetFrame], truth: Mapping[str, Boxes], *, classes: Sequence[str], path: Path
) -> None:
    """Args: truth: by the frame's digest."""
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, frame in enumerate(frames, 1):
        name = file_name(number, row_id(frame), suffix="webp")
        images.append({"id": number, "file_name": name, "width": frame.facts["width"], "height": frame.facts["height"]})
        answer = corrected(_proposed(frame), truth[frame.sha256])
        for (x1, y1, x2, y2), kind in zip(answer.xyxy.tolist(), answer.class_id.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": kind + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": 0,
                }
            )
    document = {
        "info": {"contributor": PERSON, "date_created": ""},
        "images": images,
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
        "annotations": annotations,
    }
    path.write_text(json.dumps(document), encoding="utf-8")


def _proposed(frame: FleetFrame) -> Boxes:
    rows = [*frame.facts["detections"], *frame.facts["doubted"]]
    return Boxes.of([row[:4] for row in rows], class_id=[int(row[5]) for row in rows]) if rows else Boxes.empty()
