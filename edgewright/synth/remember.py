"""Values that are remembered while they fit into a number of bytes; those used longest ago are forgotten first.

Decides nothing about what is remembered: a value is made by a pure function of its key, so forgetting costs time alone.

>>> known = Remembered[int, str](limit_bytes=3, size_of=len)
>>> known.of(1, lambda: "ab"), known.of(2, lambda: "cd"), known.of(2, lambda: "never made"), len(known)
('ab', 'cd', 'cd', 1)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Law: what is held is at most `limit_bytes`, or a single value."""

    def __init__(self, *, limit_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._limit_bytes = limit_bytes
        self._size_of = size_of
        self._known: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def of(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key, made if it is not known (any more)."""
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
            return found[0]
        value = make()
        size = self._size_of(value)
        self._known[key] = (value, size)
        self._bytes += size
        while self._bytes > self._limit_bytes and len(self._known) > 1:
            self._bytes -= self._known.popitem(last=False)[1][1]
        return value
