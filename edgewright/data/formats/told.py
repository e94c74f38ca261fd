"""What a reader understood otherwise than it stands there, counted by kind while it reads.

Decides the order: that in which kinds were first met, each with its first example.

>>> told = Told()
>>> told.add("lines that stand twice, each taken once", example="a.txt")
>>> told.add("lines that stand twice, each taken once", example="b.txt")
>>> [str(finding) for finding in told.findings]
['2 lines that stand twice, each taken once, e.g. a.txt']
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgewright.data.findings import Finding


@dataclass
class Told:
    """Findings by what they say."""

    _found: dict[str, Finding] = field(default_factory=dict)

    def add(self, what: str, *, example: str, next_step: str = "", count: int = 1) -> None:
        known = self._found.get(what, Finding(what, 0, example, next_step))
        self._found[what] = replace(known, count=known.count + count)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(self._found.values())
