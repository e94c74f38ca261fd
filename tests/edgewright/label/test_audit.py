import json
from dataclasses import replace

import pytest

from edgewright.data.rows import Label, Row
from edgewright.errors import ArtifactCorrupt
from edgewright.label.audit import find_suspects
from edgewright.label.score import Sighting
from edgewright.label.suspects import Suspect
from edgewright.runtime.boxes import Boxes

A, B = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 30.0, 30.0)
ROW = Row(id="a", sha256="", labels=(Label(5, 0, A),))


def look(*seen, row=ROW, learnt=(True, True)):
    """(xyxy, class id, score)…"""
    boxes = Boxes.of([s[0] for s in seen], class_id=[s[1] for s in seen], score=[s[2] for s in seen])
    return Sighting(row, boxes, learnt)


@pytest.mark.parametrize(
    ("seen", "kinds"),
    [
        ([(A, 0, 0.9)], []),  # they agree
        ([((0, 0, 10, 4), 0, 0.9)], ["misplaced"]),
        ([((0, 0, 10, 4), 0, 0.5)], []),  # not sure enough to say so
        ([(A, 1, 0.9)], ["swapped"]),
        ([(A, 0, 0.9), (B, 1, 0.95)], ["overlooked"]),
        ([(A, 0, 0.9), (B, 1, 0.5)], []),
        ([], ["unseen"]),  # of a class that it finds nine times in ten
    ],
)
def test_kinds_of_doubt(seen, kinds):
    found = find_suspects([look(*seen)], recall={0: 0.9, 1: 0.1}, min_doubt=0.8)
    assert [suspect.kind.value for suspect in found] == kinds
    assert all(suspect.instance_id == (-1 if suspect.kind == "overlooked" else 5) for suspect in found)


def test_a_class_that_is_often_missed_is_no_reason_to_doubt_a_label():
    assert find_suspects([look()], recall={0: 0.4}, min_doubt=0.8) == ()
    assert find_suspects([look()], recall={0: None}, min_doubt=0.8) == ()


def test_neither_is_a_class_that_was_not_learnt():
    assert find_suspects([look((A, 1, 0.9), learnt=(False, True))], recall={}, min_doubt=0.5) == ()


def test_nothing_is_doubted_in_an_ignored_region():
    row = replace(ROW, labels=(Label(0, 0, A, ignore=True),))
    assert find_suspects([look((A, 1, 0.9), row=row)], recall={}, min_doubt=0.5) == ()


def test_the_worst_come_first_and_survive_json():
    found = find_suspects(
        [look((A, 1, 0.85)), look((A, 0, 0.9), (B, 1, 0.95), row=replace(ROW, id="b"))], recall={}, min_doubt=0.8
    )
    assert [(suspect.image, suspect.doubt) for suspect in found] == [
        ("b", pytest.approx(0.95)),
        ("a", pytest.approx(0.85)),
    ]
    assert [Suspect.from_json(json.loads(json.dumps(suspect.to_json()))) for suspect in found] == list(found)


def test_other_documents_are_refused():
    with pytest.raises(ArtifactCorrupt, match="suspect"):
        Suspect.from_json({"image": "a", "kind": "strange"})
