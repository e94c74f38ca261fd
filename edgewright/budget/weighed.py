"""What was measured of one candidate, as it stands in its file. Decides nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgewright.detect.bootstrap import Paired

WEIGHED_FILE = "weighed.json"


@dataclass(frozen=True)
class Weighed:
    """Law: `Weighed.from_json(w.to_json()) == w`.

    Attributes:
        bytes: of the larger INT8 file.
        map50_95, float_map50_95, map50: of the worse INT8 file and of the float one.
        paired: the worse INT8 file less the float one, with its interval over images.
    """

    bytes: int
    parameters: int
    float_map50_95: float
    map50_95: float
    map50: float
    n_images: int
    paired: Paired

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Weighed:
        return cls(**{**value, "paired": Paired(**value["paired"])})
