"""Laws of the mask encoding."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgewright.data.rle import decode_coco, decode_mask, encode_coco, encode_mask, encode_window
from edgewright.errors import InputError

masks = npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


@given(masks)
def test_a_decoded_mask_is_the_encoded_one(mask: np.ndarray) -> None:
    assert (decode_mask(encode_mask(mask), shape=mask.shape) == mask).all()


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([[0, 1], [1, 1]], "1 3"),  # starts with zeros
        ([[1, 1], [0, 0]], "0 2 2"),  # starts with ones: a run of no zeros
        ([[0, 0]], "2"),  # nothing
        ([[1]], "0 1"),  # everything
    ],
)
def test_runs_start_with_zeros(rows: list[list[int]], text: str) -> None:
    assert encode_mask(np.array(rows, bool)) == text


@given(masks, st.integers(1, 5))
def test_a_mask_of_another_size_is_refused(mask: np.ndarray, more: int) -> None:
    with pytest.raises(InputError, match="another size"):
        decode_mask(encode_mask(mask), shape=(mask.shape[0] + more, mask.shape[1]))


@given(masks)
def test_coco_reads_what_coco_writes(mask: np.ndarray) -> None:
    from pycocotools import mask as coco

    compressed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert (decode_coco(compressed["counts"].decode(), shape=mask.shape) == mask).all()
    assert (decode_coco(encode_coco(mask), shape=mask.shape) == mask).all()
    plain = coco.frPyObjects({"counts": encode_coco(mask), "size": list(mask.shape)}, *mask.shape)
    assert plain["counts"] == compressed["counts"]


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(InputError):
        assert decode_coco(text, shape=(3, 4)).shape == (3, 4)


@given(masks, st.tuples(*[st.integers(0, 4)] * 4))
def test_a_window_is_a_part_of_a_larger_mask(mask: np.ndarray, margins: tuple[int, int, int, int]) -> None:
    left, right, top, bottom = margins
    whole = np.pad(mask, ((top, bottom), (left, right)))
    assert encode_window(mask, at_xy=(left, top), shape=whole.shape) == encode_mask(whole)
