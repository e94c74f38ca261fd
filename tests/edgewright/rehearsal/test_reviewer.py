from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edgewright.fleet.frames import FleetFrame
from edgewright.rehearsal.reviewer import PERSON, clicks_of, corrected, write_answers
from edgewright.review.formats.coco import read
from edgewright.review.round_trip import ImportReport
from edgewright.runtime.boxes import Boxes

TRUTH = Boxes.of([[0, 0, 10, 10], [20, 20, 40, 40]], class_id=[0, 1])


def test_a_good_box_stays_as_it_is_and_a_poor_one_is_moved() -> None:
    proposed = Boxes.of([[0, 0, 10, 11], [20, 20, 40, 60]], class_id=[0, 1])
    assert corrected(proposed, TRUTH).xyxy.tolist() == [[0, 0, 10, 11], [20, 20, 40, 40]]


def test_a_box_of_another_class_or_of_nothing_is_no_help() -> None:
    proposed = Boxes.of([[0, 0, 10, 10], [70, 70, 80, 80]], class_id=[1, 0])
    answer = corrected(proposed, TRUTH)
    assert np.array_equal(answer.xyxy, TRUTH.xyxy) and np.array_equal(answer.class_id, TRUTH.class_id)
    assert len(corrected(proposed, Boxes.empty())) == 0
    assert np.array_equal(corrected(Boxes.empty(), TRUTH).xyxy, TRUTH.xyxy)


def test_answers_are_a_file_that_the_import_reads(tmp_path: Path) -> None:
    facts = {"width": 64, "height": 48, "detections": [[0, 0, 10, 11, 0.9, 0]], "doubted": [[1, 1, 5, 5, 0.2, 1]]}
    frame = FleetFrame("belt", "line-1", "ab" * 32, tmp_path / "a.webp", facts)
    write_answers([frame], {frame.sha256: TRUTH}, classes=("nut", "screw"), path=tmp_path / "answers.json")
    (image,) = read(json.loads((tmp_path / "answers.json").read_text())).images
    assert image.person == PERSON
    assert [(box.name, box.xyxy) for box in image.boxes] == [("nut", (0, 0, 10, 11)), ("screw", (20, 20, 40, 40))]


def test_clicks_are_counted() -> None:
    report = ImportReport(reviewed=2, untouched=0, kept=5, moved=1, renamed=1, added=2, removed=3, persons=(PERSON,))
    assert clicks_of(report) == 2 + 3 + 1 + 2 + 6
