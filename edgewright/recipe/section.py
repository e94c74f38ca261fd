"""What every part of a recipe is: frozen, no unknown field, defaults checked too."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict


def source(why: str) -> JsonDict:
    """For a field's `json_schema_extra`: why its default is this number and no other."""
    return {"source": why}


class Section(BaseModel):
    """One stage's part of a recipe."""

    external_paths: ClassVar[tuple[str, ...]] = ()
    """Fields that may name a file or a folder: a result depends on what lies there, not on what it is called."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions of optional extras that these values call in: a result depends on their versions then."""
        return ()

    @classmethod
    def source_of(cls, name: str) -> str:
        """Where a field's default comes from; empty where nobody says."""
        said = cls.model_fields[name].json_schema_extra
        return str(said.get("source", "")) if isinstance(said, dict) else ""
