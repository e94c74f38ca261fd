"""The pair sum of 16 bits, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgewright.compress.saturation import (
    MAX_MASS,
    can_saturate,
    in_kernel_order,
    largest_masses,
    pair_masses,
    pair_sums,
    saturating_sums,
)


@pytest.mark.parametrize(
    ("activations", "weights", "expected"),
    [
        ([255, 255], [64, 64], 32640),  # 7 bits: the most that they can give
        ([255, 255], [64, 65], 32767),  # 32,895 is too much for 16 bits
        ([255, 255], [127, 127], 32767),
        ([128, 129], [127, 127], 32639),  # just below
        ([129, 130], [127, 127], 32767),  # 32,893
        ([255, 255], [-64, -64], -32640),
        ([255, 255], [-64, -65], -32768),  # the lowest reaches one further
        ([255, 255], [127, -127], 0),  # of two signs: never
        ([255, 255, 0, 0], [127, 127, 127, 127], 32767),
        # both pairs are cut, each for itself: the sum of 32 bits does not make up for it
        ([255, 255, 255, 255], [127, 127, -127, -127], -1),
        # no pair is too much, although four products are
        ([255, 0, 255, 0], [127, 127, 127, 127], 64770),
    ],
)
def test_sums_by_hand(activations: list[int], weights: list[int], expected: int) -> None:
    seen, kernel = np.array([activations], np.uint8), np.array([weights], np.int8)
    assert saturating_sums(seen, kernel).tolist() == [[expected]]


def test_neighbors_are_channels_of_one_place() -> None:
    weight = np.arange(8, dtype=np.int8).reshape(1, 4, 1, 2)  # channel c, place p: 2c + p
    assert in_kernel_order(weight).tolist() == [[0, 2, 4, 6, 1, 3, 5, 7]]
    odd = np.arange(6, dtype=np.int8).reshape(1, 3, 1, 2)
    assert in_kernel_order(odd).tolist() == [[0, 2, 4, 1, 3, 5]]  # a pair of two places
    assert in_kernel_order(odd[..., :1]).tolist() == [[0, 2, 4, 0]]


def test_of_an_odd_number_of_channels_both_orders_are_looked_at() -> None:
    weight = np.zeros((1, 3, 1, 2), np.int8)
    weight[0, 2, 0, 0] = weight[0, 0, 0, 1] = 100  # the last channel of one place, the first of the next
    assert largest_masses(weight).tolist() == [200]
    weight[0, 0, 0, 1], weight[0, 1, 0, 1] = 100, 90  # neighbors within a place alone
    weight[0, 2, 0, 0] = 0
    assert largest_masses(weight).tolist() == [190]


def test_the_mass_of_a_pair_is_of_one_sign() -> None:
    weights = np.array([[127, -127, -100, -28, 100, 28]], np.int8)
    assert pair_masses(weights).tolist() == [[127, 128, 128]]


WEIGHTS = arrays.arrays(np.int8, (2, 6), elements=st.integers(-127, 127))
SEEN = arrays.arrays(np.uint8, (4, 6), elements=st.integers(0, 255))


@given(SEEN, WEIGHTS)
def test_what_has_no_heavy_pair_never_saturates_and_what_has_one_can(seen: np.ndarray, weights: np.ndarray) -> None:
    exact = pair_sums(seen, weights).sum(axis=2)
    if pair_masses(weights).max() <= MAX_MASS:
        assert (saturating_sums(seen, weights) == exact).all()
    else:
        at_worst = np.concatenate([255 * (weights > 0), 255 * (weights < 0)]).astype(np.uint8)
        assert (saturating_sums(at_worst, weights) != pair_sums(at_worst, weights).sum(axis=2)).any()


@given(SEEN, arrays.arrays(np.int8, (2, 6), elements=st.integers(-64, 64)))
def test_weights_of_seven_bits_never_saturate(seen: np.ndarray, weights: np.ndarray) -> None:
    assert (saturating_sums(seen, weights) == pair_sums(seen, weights).sum(axis=2)).all()
    assert not can_saturate(weights.reshape(2, 6, 1, 1))
