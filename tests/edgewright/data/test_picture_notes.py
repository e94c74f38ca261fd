"""What the decoder changed, counted."""

from __future__ import annotations

from edgewright.data.findings import Finding
from edgewright.data.picture_notes import PictureNotes


def test_each_kind_is_counted_with_its_first_picture() -> None:
    notes = PictureNotes()
    for name, found in (("a.png", ("deep pictures",)), ("b.png", ()), ("c.png", ("deep pictures", "large pictures"))):
        notes.add(name, found)
    assert notes.findings() == (Finding("deep pictures", 2, "a.png"), Finding("large pictures", 1, "c.png"))
