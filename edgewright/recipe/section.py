"""What every part of a recipe is: frozen, no unknown field, defaults checked too."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One stage's part of a recipe."""

    external_paths: ClassVar[tuple[str, ...]] = ()
    """Fields that may name a file or a folder: a result depends on what lies there, not on what it is called."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions of optional extras that these values call in: a result depends on their versions then."""
        return ()
