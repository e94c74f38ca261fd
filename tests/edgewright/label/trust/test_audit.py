from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgewright.data.rows import Label, Row
from edgewright.errors import ArtifactCorrupt
from edgewright.label.trust.audit import find_suspects
from edgewright.label.trust.evidence import ClassEvidence
from edgewright.label.trust.score import Prediction
from edgewright.label.trust.suspects import Suspect
from edgewright.runtime.boxes import Boxes

Seen = tuple[tuple[float, ...], int, float]

A, B = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 30.0, 30.0)
GOOD = ClassEvidence(labels=10, scores=(1.0,) * 10, hits=(True,) * 9 + (False,))
OFTEN_MISSES = ClassEvidence(labels=10, scores=(1.0,) * 4, hits=(True,) * 4)
OFTEN_WRONG = ClassEvidence(labels=10, scores=(1.0,) * 20, hits=(True, False) * 10)
ROW = Row(id="a", sha256="", labels=(Label(5, 0, A),))


def look(*seen: Seen, row: Row = ROW, learned: tuple[bool, bool] = (True, True)) -> Prediction:
    """(xyxy, class id, score)…"""
    boxes = Boxes.of([s[0] for s in seen], class_id=[s[1] for s in seen], score=[s[2] for s in seen])
    return Prediction(row, boxes, learned)


@pytest.mark.parametrize(
    ("seen", "kinds"),
    [
        ([(A, 0, 0.9)], []),  # they agree
        ([((0, 0, 10, 4), 0, 0.9)], ["misplaced"]),
        ([((0, 0, 10, 4), 0, 0.5)], []),  # not sure enough to say so
        ([(A, 1, 0.9)], ["swapped"]),
        ([(A, 0, 0.9), (B, 1, 0.85)], ["overlooked"]),
        ([(A, 0, 0.9), (B, 1, 0.5)], []),
        ([], ["unseen"]),  # of a class that it finds nine times in ten
    ],
)
def test_kinds_of_doubt(seen: list[Seen], kinds: list[str]) -> None:
    found = find_suspects([look(*seen)], trust=[GOOD, GOOD], min_doubt=0.8)
    assert [suspect.kind.value for suspect in found] == kinds
    assert all(suspect.instance_id == (-1 if suspect.kind == "overlooked" else 5) for suspect in found)


def test_a_class_that_is_often_missed_is_no_reason_to_doubt_a_label() -> None:
    assert find_suspects([look()], trust=[OFTEN_MISSES, GOOD], min_doubt=0.8) == ()
    assert find_suspects([look()], trust=[ClassEvidence(0), GOOD], min_doubt=0.8) == ()


def test_a_labeler_that_is_often_wrong_is_no_witness() -> None:
    misplaced, swapped, overlooked = look(((0, 0, 10, 4), 0, 0.9)), look((A, 1, 0.9)), look((A, 0, 0.9), (B, 1, 0.9))
    assert find_suspects([misplaced], trust=[OFTEN_MISSES, GOOD], min_doubt=0.8) == ()
    assert find_suspects([swapped, overlooked], trust=[GOOD, OFTEN_WRONG], min_doubt=0.8) == ()
    assert len(find_suspects([misplaced, swapped, overlooked], trust=[GOOD, GOOD], min_doubt=0.8)) == 3


def test_neither_is_a_class_that_was_not_learned() -> None:
    assert find_suspects([look((A, 1, 0.9), learned=(False, True))], trust=[GOOD, GOOD], min_doubt=0.5) == ()


def test_nothing_is_doubted_in_an_ignored_region() -> None:
    row = replace(ROW, labels=(Label(0, 0, A, ignore=True),))
    assert find_suspects([look((A, 1, 0.9), row=row)], trust=[GOOD, GOOD], min_doubt=0.5) == ()


def test_the_worst_come_first_and_survive_json() -> None:
    found = find_suspects(
        [look((A, 1, 0.82)), look((A, 0, 0.9), (B, 1, 0.85), row=replace(ROW, id="b"))],
        trust=[GOOD, GOOD],
        min_doubt=0.8,
    )
    assert [(suspect.image, suspect.doubt) for suspect in found] == [
        ("b", pytest.approx(0.85)),
        ("a", pytest.approx(0.82)),
    ]
    assert [Suspect.from_json(json.loads(json.dumps(suspect.to_json()))) for suspect in found] == list(found)


def test_other_documents_are_refused() -> None:
    with pytest.raises(ArtifactCorrupt, match="suspect"):
        Suspect.from_json({"image": "a", "kind": "strange"})
