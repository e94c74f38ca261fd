"""What the decoder changed in pictures, counted over a source. Decides nothing.

>>> notes = PictureNotes()
>>> notes.add("a.webp", ("pictures of several frames or pages, of which the first is taken",))
>>> print(*notes.findings())
1 pictures of several frames or pages, of which the first is taken, e.g. a.webp
"""

from __future__ import annotations

from edgewright.data.findings import Finding


class PictureNotes:
    """A finding for each kind of change, with its first picture."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def add(self, name: str, notes: tuple[str, ...]) -> None:
        for what in notes:
            known = self._found.get(what, Finding(what, 0, name))
            self._found[what] = Finding(what, known.count + 1, known.example)

    def findings(self) -> tuple[Finding, ...]:
        return tuple(self._found.values())
