"""A person's label that a labeler doubts: what is kept of the doubt (`audit.json`). How it is found: `audit.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from edgewright.errors import ArtifactCorrupt

AUDIT_FILE = "audit.json"


class Suspicion(StrEnum):
    OVERLOOKED = "overlooked"
    MISPLACED = "misplaced"
    SWAPPED = "swapped"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Suspect:
    """One doubt. Law: `Suspect.from_json(s.to_json()) == s`.

    Attributes:
        image: the row's id.
        instance_id: of the doubted label; -1 for an overlooked object.
        class_id, xyxy: what the labeler sees, px of the photograph; the label itself where it sees nothing.
        doubt: how sure the labeler is, in [0, 1], and at most as sure as it is good on held-out photographs.
    """

    image: str
    instance_id: int
    kind: Suspicion
    class_id: int
    xyxy: tuple[float, float, float, float]
    doubt: float

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "kind": self.kind.value, "xyxy": list(self.xyxy)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Suspect:
        """Raises ArtifactCorrupt."""
        try:
            x1, y1, x2, y2 = map(float, value["xyxy"])
            return cls(
                image=str(value["image"]),
                instance_id=int(value["instance_id"]),
                kind=Suspicion(value["kind"]),
                class_id=int(value["class_id"]),
                xyxy=(x1, y1, x2, y2),
                doubt=float(value["doubt"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactCorrupt("not a suspect label", got=error, where=AUDIT_FILE) from error
