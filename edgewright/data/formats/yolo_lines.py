"""The one parser of a YOLO label file: detection of the layout, pairing and reading all ask it.

Decides what separates numbers (white space, or commas or semicolons followed by anything but a digit that belongs to
the same number) and what a label line is: a class, then four numbers or more. Refuses the rest line by line, each with
its number; a decimal comma is refused, because `0,5 0,5` may be two numbers or four.

>>> line = read_lines(b"0.0\\t0.5\\t0.5\\t0.2\\t0.4\\r\\n")[0]
>>> line.name, line.numbers, line.fault
('0.0', (0.5, 0.5, 0.2, 0.4), '')
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgewright.data.formats.text import text_lines
from edgewright.data.sources import Unusable

MAX_SHARE = 1.5
"""A share of the picture above this is a number in px: boxes over the edge are cut later."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA_INSIDE = re.compile(r"\d,\d", re.ASCII)
_COMMAS = "a decimal comma, or numbers that nothing separates"
_MIN_NUMBERS = 4
_SHOWN = 60


@dataclass(frozen=True)
class Line:
    """One line that is not blank.

    Attributes:
        number: from 1, blank lines counted.
        text: as it stands, shortened.
        name: the class: an id, or a name that may have several words.
        numbers: what follows the class.
        fault: why it is no label line; empty where it is one.
    """

    number: int
    text: str
    name: str = ""
    numbers: tuple[float, ...] = ()
    fault: str = ""

    @property
    def columns(self) -> int:
        return 1 + len(self.numbers)

    @property
    def is_label(self) -> bool:
        """A name instead of an id is a label's only before shares: `Car 0.00 0 -1.57 587.0 …` is KITTI's.

        A line of numbers with decimal commas is a label's too, that will be refused.
        """
        if self.fault:
            return self.fault == _COMMAS and is_number(self.name)
        return is_number(self.name) or max(self.numbers) <= MAX_SHARE

    def refuse(self, why: str) -> str:
        """The reason of a refused box."""
        return f"{why} (line {self.number}: {self.text!r})"


def read_lines(payload: bytes) -> tuple[Line, ...]:
    """Every line of a label file that is not blank. Raises Unusable where it is not text."""
    lines = enumerate(text_lines(payload), 1)
    return tuple(_line(number, text.strip()) for number, text in lines if text.strip())


def looks_like_labels(payload: bytes, *, cut: bool = False) -> bool:
    """Whether any line is a label line; of the beginning of a longer file (`cut`) the last line is not asked."""
    try:
        lines = read_lines(payload)
    except Unusable:
        return False
    return any(line.is_label for line in (lines[:-1] if cut else lines))


def is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word) is not None


def _line(number: int, text: str) -> Line:
    shown = " ".join(text.split())[:_SHOWN]
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    name, numbers = _class_and_numbers(words)
    if len(numbers) < _MIN_NUMBERS or not all(map(is_number, numbers)):
        return Line(number, shown, fault="not a label line")
    if not _separates(text, len(words)):
        return Line(number, shown, name, fault=_COMMAS)
    return Line(number, shown, name, tuple(map(float, numbers)))


def _separates(text: str, n_words: int) -> bool:
    """Whether a comma between two digits, if there is one, stands between two numbers."""
    alone = ";" not in text and len(text.split()) == 1 and ("." in text or n_words == 1 + _MIN_NUMBERS)
    return alone or not _COMMA_INSIDE.search(text)


def _class_and_numbers(words: list[str]) -> tuple[str, list[str]]:
    """A class id, or as many words as are no numbers: `traffic light 0.5 …`."""
    n_name = 1
    while n_name < len(words) and not is_number(words[0]) and not is_number(words[n_name]):
        n_name += 1
    return " ".join(words[:n_name]), words[n_name:]
