from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.errors import ArtifactCorrupt
from edgewright.label.trust.evidence import ClassEvidence, Evidence

found = st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()), max_size=12).map(
    lambda pairs: sorted(pairs, key=lambda pair: -pair[0])
)
classes = st.builds(
    lambda pairs, more: ClassEvidence(
        sum(hit for _, hit in pairs) + more, tuple(s for s, _ in pairs), tuple(h for _, h in pairs)
    ),
    found,
    st.integers(0, 5),
)


@pytest.mark.parametrize(
    ("scores", "hits", "precision", "min_found", "threshold"),
    [
        ([0.9, 0.8, 0.7], [1, 1, 0], 1.0, 1, 0.8),  # the last that is still good enough
        ([0.9, 0.8, 0.7], [1, 1, 0], 0.6, 1, 0.7),  # all of them are
        ([0.9, 0.8, 0.7], [0, 1, 1], 0.6, 1, 0.7),  # one false alarm at the top does not end it
        ([0.9, 0.8], [0, 0], 0.1, 1, None),  # never right
        ([0.9, 0.8], [1, 1], 0.9, 3, None),  # too few to know
        ([], [], 0.1, 1, None),  # found nothing
        ([0.9, 0.9, 0.9], [1, 0, 0], 0.9, 1, None),  # one score has one precision
    ],
)
def test_the_threshold_is_the_lowest_score_that_keeps_the_precision(
    scores: list[float], hits: list[int], precision: float, min_found: int, threshold: float | None
) -> None:
    evidence = ClassEvidence(3, tuple(scores), tuple(map(bool, hits)))
    assert evidence.threshold(precision=precision, min_found=min_found) == threshold


@given(classes, st.floats(0.05, 1), st.floats(0.05, 1))
def test_more_precision_never_lowers_a_threshold(evidence: ClassEvidence, a: float, b: float) -> None:
    low, high = (evidence.threshold(precision=p, min_found=1) for p in sorted((a, b)))
    assert high is None or (low is not None and low <= high)


@given(classes, st.floats(0.05, 1), st.integers(1, 5))
def test_what_stands_above_a_threshold_is_as_good_as_asked(
    evidence: ClassEvidence, precision: float, min_found: int
) -> None:
    threshold = evidence.threshold(precision=precision, min_found=min_found)
    if threshold is not None:
        above = [hit for score, hit in zip(evidence.scores, evidence.hits, strict=True) if score >= threshold]
        assert len(above) >= min_found
        assert sum(above) / len(above) >= precision - 1e-6


@given(st.dictionaries(st.text(max_size=4), classes, max_size=3))
def test_evidence_survives_json(by_class: dict[str, ClassEvidence]) -> None:
    evidence = Evidence("val", by_class)
    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


@pytest.mark.parametrize("value", [{}, {"source": "val", "by_class": 3}, {"source": "val", "by_class": {"a": {}}}])
def test_other_documents_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ArtifactCorrupt, match="evidence"):
        Evidence.from_json(value)
