"""The form that the Prefect UI shows for a life cycle: a line a field, with its type, bounds and default."""

from __future__ import annotations

from typing import Any

from flows.lifecycle import lifecycle
from tests.goldens import Golden

PROSE = ("title", "description", "position")


def test_the_fields_of_the_form(golden: Golden) -> None:
    form = lifecycle.parameters.model_dump()
    assert form["required"] == ["recipe", "source"]
    sections = {"recipe": form["definitions"]["Recipe"], **form["definitions"]}
    lines = [
        f"{section}.{name}: {described(field)}\n"
        for section, schema in sorted(sections.items())
        for name, field in schema.get("properties", {}).items()
    ]
    golden("lifecycle_form.txt", "".join(dict.fromkeys(lines)))


def described(field: dict[str, Any]) -> str:
    """`type=integer minimum=1 default=24`, without the prose; a section's own lines say its defaults."""
    unsaid = (*PROSE, "default") if "$ref" in field else PROSE
    return " ".join(f"{name}={value}" for name, value in sorted(field.items()) if name not in unsaid)
