"""Two machines that make the same bytes: what must be equal, and what is said of what is not."""

from __future__ import annotations

import platform

import pytest

from edgewright.fanout.alike import difference, likeness


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        ({"numpy": "2.4"}, {"numpy": "2.4"}, ""),
        ({"numpy": "2.4"}, {"numpy": "2.3"}, "numpy: 2.4 here, 2.3 there"),
        ({"torch": "2.15"}, {}, "torch: 2.15 here, none there"),
        ({}, {"cv2": "5.0"}, "cv2: none here, 5.0 there"),
        ({"edgewright": "a" * 64}, {"edgewright": "b" * 64}, f"edgewright: {'a' * 12} here, {'b' * 12} there"),
    ],
)
def test_the_first_difference_is_named(here: dict[str, str], there: dict[str, str], said: str) -> None:
    assert difference(here, there) == said


def test_a_process_is_like_itself_and_says_what_counts() -> None:
    assert difference(likeness(), dict(likeness())) == ""
    assert len(likeness()["edgewright"]) == 64
    assert likeness()["python"] == platform.python_version()
    assert {"numpy", "pillow", "torch"} <= likeness().keys()
