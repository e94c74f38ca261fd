"""One synthetic picture, as every way to make one hands it over."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.data.rows import Label
from edgewright.runtime.boxes import Image


@dataclass(frozen=True)
class SyntheticPicture:
    """One synthetic image. `counts`: objects `kept`, `pasted_real`, `pasted_generated`, left out for `no_place`."""

    image: Image
    labels: tuple[Label, ...]
    parents: tuple[str, ...]
    counts: dict[str, int]
