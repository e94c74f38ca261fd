"""What is remembered stays within its limit and is what would be made anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewright.synth.remember import Remembered


@given(keys=st.lists(st.integers(1, 9), max_size=60), limit=st.integers(0, 25))
def test_a_value_is_right_and_the_limit_holds(keys: list[int], limit: int) -> None:
    known = Remembered[int, str](limit_bytes=limit, size_of=len)
    held: list[int] = []
    for key in keys:
        assert known.of(key, lambda key=key: "x" * key) == "x" * key  # type: ignore[misc]
        held = [*(other for other in held if other != key), key]
        while sum(held) > limit and len(held) > 1:
            held = held[1:]
        assert len(known) <= max(1, len(held))


def test_the_one_used_longest_ago_is_forgotten_first() -> None:
    made: list[str] = []

    def make(value: str) -> str:
        made.append(value)
        return value

    known = Remembered[str, str](limit_bytes=2, size_of=len)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert known.of(name, lambda name=name: make(name)) == name  # type: ignore[misc]
    assert made == ["a", "b", "c", "b"]
