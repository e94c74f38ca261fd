"""Write docs/recipe.md from the recipe model: `python docs/write_recipe.py`.

Decides nothing. tests/test_docs.py compares the page with `page()`, so that a field without a line fails there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from edgewright.recipe import PRESET_NAMES, PRESETS, Recipe
from edgewright.recipe.section import Section
from edgewright.recipe.tiers import FurtherTier, TierConfig

PAGE = Path(__file__).parent / "recipe.md"
_LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "multiple of"}
_HEAD = """# The recipe

Everything a run depends on, apart from its source and the machine. A recipe is YAML with a section a stage; what it
leaves out comes from its preset (`preset: laptop` unless it says otherwise). `edgewright run laptop --source PHOTOS
--set train_detector.epochs=80` changes one field; `--dry-run` prints them all. An unknown field, a wrong type or a
value out of range ends the command with exit code 2.

Written by `docs/write_recipe.py` from `edgewright/recipe/`; do not edit it.
"""
_TIERS = """Below a tier, {tiers}: the fields of that section that are otherwise for it, as
`tiers.basic.train_detector.image_px`. Without any there is one detector, for `full`: [tiers](tiers.md).
"""


def page() -> str:
    """The whole page."""
    sections = {name: field for name, field in Recipe.model_fields.items() if isinstance(field.default, Section)}
    plain = {name: field for name, field in Recipe.model_fields.items() if name not in {*sections, "tiers"}}
    parts = [_HEAD, _table("The run", "", plain)]
    parts += [_table(f"`{name}`", name, type(field.default).model_fields) for name, field in sections.items()]
    tiers = " or ".join(f"`{tier}`" for tier in get_args(FurtherTier))
    parts += [_table("`tiers`", "tiers", TierConfig.model_fields), _TIERS.format(tiers=tiers)]
    return "\n".join(parts)


def _table(title: str, section: str, fields: dict[str, FieldInfo]) -> str:
    rows = [
        f"| `{name}` | {_values(field)} | {_default(f'{section}.{name}', field)} | {field.description or ''} |"
        for name, field in fields.items()
    ]
    return "\n".join([f"## {title}\n", "| field | values | default | |", "|---|---|---|---|", *rows, ""])


def _values(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    name = getattr(field.annotation, "__name__", "") or str(field.annotation)
    if get_origin(field.annotation):
        name = str(field.annotation).replace(f"{Section.__module__}.", "").replace("typing.", "")
    limits = [
        f"{sign} {getattr(item, word)}"
        for item in field.metadata
        for word, sign in _LIMITS.items()
        if getattr(item, word, None) is not None
    ]
    return " ".join([name.replace(" | ", " or "), ", ".join(limits)]).strip()


def _default(path: str, field: FieldInfo) -> str:
    if path in PRESETS:
        return ", ".join(f"{name} {value}" for name, value in zip(PRESET_NAMES, PRESETS[path], strict=True))
    return f"`{field.default}`" if field.default not in ("", (), {}) else "empty"


if __name__ == "__main__":
    PAGE.write_text(page())
