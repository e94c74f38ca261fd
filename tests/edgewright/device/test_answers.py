from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.device.answers import MAX_ANSWER_BYTES, answer_of
from edgewright.runtime.decode import MAX_DETECTIONS

ROW: dict[str, Any] = {"class": "green", "score": 0.5, "xyxy": [1.0, 2.0, 64.5, 30.0]}


def told(rows: object, **changes: object) -> bytes:
    return json.dumps({"model": "belt:ab", "detections": rows, **changes}).encode()


def test_boxes_come_with_the_devices_own_class_ids_and_end_at_the_picture() -> None:
    answer = answer_of(told([ROW, {**ROW, "class": "red"}]), wh=(64, 48), classes=("red", "green"))
    assert answer.model == "belt:ab" and answer.boxes.class_id.tolist() == [1, 0]
    assert answer.boxes.xyxy[0].tolist() == [1, 2, 64, 30]
    assert not len(answer_of(told([]), wh=(64, 48), classes=("red",)).boxes)


@pytest.mark.parametrize(
    "row",
    [
        {**ROW, "class": "face"},
        {**ROW, "class": ["green"]},
        {**ROW, "score": 1.5},
        {**ROW, "score": float("nan")},
        {**ROW, "xyxy": [0, 0, 66, 10]},
        {**ROW, "xyxy": [0, 0, float("nan"), 10]},
        {**ROW, "xyxy": [0, 0, float("inf"), 10]},
        {**ROW, "xyxy": [30, 0, 10, 10]},
        {**ROW, "xyxy": [0, 0, 10]},
        {**ROW, "xyxy": [0, 0, 10**400, 1]},
        {**ROW, "xyxy": None},
        {"class": "green"},
        7,
    ],
)
def test_a_box_that_lies_is_no_answer(row: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        answer_of(told([ROW, row]), wh=(64, 48), classes=("red", "green"))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 150_000,
        told({}),
        told([ROW] * (MAX_DETECTIONS + 1)),
        told([], model=""),
        told([], model="x" * 101),
        told([], model="a\x1b[2J"),
        told([], model=3),
        told([]) + b" " * MAX_ANSWER_BYTES,
    ],
    ids=lambda payload: payload[:20].decode("latin-1"),
)
def test_what_is_no_answer_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        answer_of(payload, wh=(64, 48), classes=("red", "green"))


@given(payload=st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        answer_of(payload, wh=(64, 48), classes=("red",))
