"""Laws of average precision; its numbers are held against pycocotools' in `test_evaluate.py`."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgewright.detect.matching import match, meet
from edgewright.detect.ranking import average_precision, class_precisions
from edgewright.runtime.boxes import Boxes


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=20), st.integers(1, 30))
def test_average_precision_is_a_share_and_grows_with_a_hit(ranked: list[tuple[float, bool]], n_truth: int) -> None:
    score = np.array([row[0] for row in ranked])
    hit = np.array([row[1] for row in ranked], dtype=bool) & (np.cumsum([row[1] for row in ranked]) <= n_truth)
    before = average_precision(score, hit, n_truth=n_truth)
    assert 0 <= before <= 1
    if hit.sum() < n_truth:
        after = average_precision(np.append(score, 2.0), np.append(hit, True), n_truth=n_truth)
        assert after >= before - 1e-12


def test_a_class_without_an_object_has_no_precision() -> None:
    nothing = match(meet(Boxes.empty(), Boxes.empty(), Boxes.empty()))
    assert np.isnan(class_precisions([nothing, nothing])).all()
