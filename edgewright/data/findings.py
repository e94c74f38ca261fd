"""What was found in a source and a person must hear of: one sentence, how often, one example, what to do next.

Decides the shape in which readers, splits and ingest say so; the terminal, `--json`, Prefect, MLflow and the page show
the same findings. Refuses nothing: what cannot be used is quarantined or ends the run, by whoever found it.

>>> print(Finding("label lines that stand twice, each taken once", 16, example="labels/p000.txt"))
16 label lines that stand twice, each taken once, e.g. labels/p000.txt
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        what: what was found, to be read after its number; equal words are one kind.
        count: how often.
        example: a file, line or image that shows it.
        next_step: what cures it, often a `--set`; empty where nothing has to be done.
    """

    what: str
    count: int
    example: str = ""
    next_step: str = ""

    def __str__(self) -> str:
        example = f", e.g. {self.example}" if self.example else ""
        return f"{self.count} {self.what}{example}" + (f". Next: {self.next_step}" if self.next_step else "")


@dataclass
class Findings:
    """Findings by what they say, counted while something is read; in the order in which kinds were first met, each with
    its first example.

    >>> told = Findings()
    >>> told.add("lines that stand twice, each taken once", example="a.txt")
    >>> told.add("lines that stand twice, each taken once", example="b.txt")
    >>> print(*told)
    2 lines that stand twice, each taken once, e.g. a.txt
    """

    _found: dict[str, Finding] = field(default_factory=dict)

    def add(self, what: str, *, example: str, next_step: str = "", count: int = 1) -> None:
        known = self._found.get(what, Finding(what, 0, example, next_step))
        self._found[what] = replace(known, count=known.count + count)

    def add_all(self, findings: Iterable[Finding]) -> None:
        for one in findings:
            self.add(one.what, example=one.example, next_step=one.next_step, count=one.count)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found.values())
