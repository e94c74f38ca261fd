from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.label.trust.agreement import Agreement, Decision, Judgment, compare, decide, inside, match_greedily
from edgewright.recipe.label import LabelConfig
from edgewright.runtime.boxes import Boxes

Drawn = list[tuple[tuple[int, ...], int, float]]

CONFIG = LabelConfig(keep_iou=0.6, drop_iou=0.3, min_score=0.5, correct_score=0.9375)
A, B = (0, 0, 10, 10), (20, 20, 30, 30)


def boxes(*rows: tuple[tuple[int, ...], int, float]) -> Boxes:
    """(xyxy, class id, score) rows."""
    return Boxes.of([r[0] for r in rows], class_id=[r[1] for r in rows], score=[r[2] for r in rows])


@pytest.mark.parametrize(
    ("truth", "seen", "decisions", "phantoms"),
    [
        ([(A, 0, 1)], [(A, 0, 0.9)], ["keep"], ()),  # exactly there
        ([(A, 0, 1)], [((0, 0, 10, 5), 0, 0.9)], ["review"], ()),  # half of it
        ([(A, 0, 1)], [((0, 0, 10, 5), 0, 0.95)], ["correct"], ()),  # the same by a labeler that is sure
        ([(A, 0, 1)], [((8, 0, 18, 10), 0, 0.9)], ["drop"], ()),  # elsewhere, but it was meant
        ([(A, 0, 1)], [(B, 0, 0.9)], ["missed"], (0,)),  # one not seen, one not known
        ([(A, 0, 1)], [(A, 0, 0.2)], ["keep"], ()),  # unsure, and yet it agrees
        ([(A, 0, 1)], [(A, 0, 0.9), (B, 1, 0.4)], ["keep"], ()),  # too unsure for a phantom
        ([(A, 0, 1)], [(A, 1, 0.9)], ["drop"], ()),  # another class: one mistake, not two
        ([(A, 0, 1)], [(A, 1, 0.05)], ["missed"], ()),  # a faint box of another class: nothing was seen
        ([(A, 0, 1)], [(A, 0, 0.05), (A, 1, 0.04)], ["keep"], ()),  # a faint one of its own agrees all the same
        ([(A, 0, 1)], [(A, 0, 0.9), ((1, 1, 4, 4), 0, 0.9)], ["keep"], ()),  # a fragment is not an unknown object
        ([(A, 0, 1)], [(A, 0, 0.9), ((1, 1, 4, 4), 1, 0.9)], ["keep"], (1,)),  # of another class it is
        ([(A, 0, 1), (A, 0, 1)], [(A, 0, 0.9)], ["keep", "missed"], ()),  # one box proves one object
        ([], [], [], ()),  # an empty picture
        ([], [(A, 0, 0.9)], [], (0,)),  # an object in an empty picture
    ],
)
def test_decisions(truth: Drawn, seen: Drawn, decisions: list[str], phantoms: tuple[int, ...]) -> None:
    agreement = compare(boxes(*truth), boxes(*seen), config=CONFIG)
    assert [judgment.decision for judgment in agreement.judgments] == decisions
    assert agreement.phantoms == phantoms


def test_nothing_counts_in_an_ignored_region() -> None:
    agreement = compare(Boxes.empty(), boxes((A, 0, 0.9)), config=CONFIG, ignored=boxes(((0, 0, 10, 6), 1, 1)))
    assert agreement.phantoms == ()


def test_what_cannot_be_judged_is_held_against_no_one() -> None:
    agreement = compare(
        boxes((A, 0, 1), (B, 0, 1)), boxes((B, 0, 0.9)), config=CONFIG, judgeable=np.array([False, True])
    )
    assert [judgment.decision for judgment in agreement.judgments] == ["unjudged", "keep"]
    assert agreement.bad_share == 0
    assert agreement.mean_iou == 1


@pytest.mark.parametrize(
    ("decisions", "n_phantoms", "share"),
    [
        ([], 0, 0),  # an empty picture is no bad picture
        (["keep", "review"], 0, 0),  # undecided is not bad
        (["keep", "drop"], 0, 1 / 2),
        (["keep", "missed"], 2, 3 / 4),
        (["unjudged", "missed"], 0, 1),  # only what was judged counts
        ([], 1, 1),
    ],
)
def test_bad_share(decisions: list[str], n_phantoms: int, share: float) -> None:
    judgments = tuple(Judgment(Decision(decision)) for decision in decisions)
    assert Agreement(judgments, tuple(range(n_phantoms))).bad_share == share


def test_matching_takes_the_best_pair_first() -> None:
    overlap = np.array([[0.6, 0.5], [0.9, 0.0]], dtype=np.float32)
    assert match_greedily(overlap, min_iou=0.1).tolist() == [1, 0]


def test_share_inside() -> None:
    assert inside(boxes((A, 0, 1)), boxes(((0, 0, 5, 10), 0, 1), (B, 0, 1))).tolist() == [[0.5, 0]]


ORDER = [Decision.DROP, Decision.REVIEW, Decision.CORRECT, Decision.KEEP]
share = st.floats(0, 1)


@given(share, share, share)
def test_more_overlap_is_never_worse(a: float, b: float, score: float) -> None:
    low, high = sorted((a, b))
    assert ORDER.index(decide(low, score, config=CONFIG)) <= ORDER.index(decide(high, score, config=CONFIG))


@given(share, share, share)
def test_a_surer_labeler_is_never_worse(iou: float, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert ORDER.index(decide(iou, low, config=CONFIG)) <= ORDER.index(decide(iou, high, config=CONFIG))


def test_a_judgment_points_at_its_match() -> None:
    agreement = compare(boxes((A, 0, 1)), boxes((B, 0, 0.9), (A, 0, 0.8)), config=CONFIG)
    assert (agreement.judgments[0].at, agreement.judgments[0].score) == (1, pytest.approx(0.8))
    assert compare(boxes((A, 0, 1)), boxes(), config=CONFIG).judgments[0].at == -1


corners = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 12)] * 2)
some_boxes = st.lists(st.tuples(corners, st.integers(0, 1), st.floats(0, 1, width=32)), max_size=6).map(
    lambda rows: boxes(*[((x, y, x + w, y + h), class_id, score) for (x, y, w, h), class_id, score in rows])
)


@given(some_boxes, some_boxes)
def test_every_label_is_judged_once_and_shares_are_shares(truth: Boxes, seen: Boxes) -> None:
    agreement = compare(truth, seen, config=CONFIG)
    assert len(agreement.judgments) == len(truth)
    assert 0 <= agreement.bad_share <= 1
    assert all(seen.score[at] >= CONFIG.min_score for at in agreement.phantoms)


@given(some_boxes)
def test_a_labeler_that_sees_the_truth_agrees(truth: Boxes) -> None:
    agreement = compare(truth, truth, config=CONFIG)
    assert agreement.phantoms == ()
    assert agreement.bad_share == 0
