"""Laws of the mask encoding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgewright.data.rle import decode_mask, encode_mask
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
