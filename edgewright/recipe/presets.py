"""Presets, recipe files and overrides: from words to a recipe, and a recipe as the file that is read back.

>>> resolve("demo", overrides=["train_detector.epochs=3"]).train_detector.epochs
3
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from edgewright.errors import InputError, RecipeError, meant
from edgewright.recipe.recipe import Recipe

MAX_RECIPE_BYTES = 64_000
SIMULATED = "simulated"
"""The source where none is named: photographs by the simulated camera, for `demo` alone."""

_KEY = "[key]"
"""Pydantic's word where a mapping's key is what it refuses."""
PRESET_NAMES = ("demo", "laptop", "workstation", "cluster")
PRESETS: dict[str, tuple[int | float, int | float, int | float, int | float]] = {
    # field                          demo  laptop  workstation  cluster
    "train_generator.steps":        (400,  800,    20000,       60000),
    "train_generator.batch":        (16,   32,     128,         256),
    "train_generator.width":        (32,   32,     64,          64),
    "train_generator.scene_px":     (192,  320,    640,         640),
    "generate.images":              (160,  240,    4000,        50000),
    "generate.image_px":            (192,  320,    640,         640),
    "train_labeler.steps":          (250,  320,    5000,        10000),
    "train_labeler.batch":          (8,    8,      16,          16),
    "train_labeler.image_px":       (128,  160,    256,         256),
    "train_labeler.folds":          (2,    2,      5,           5),
    "measure_utility.pairs":        (0,    0,      1,           2),
    "measure_utility.steps":        (400,  400,    2000,        4000),
    "train_detector.image_px":      (192,  256,    416,         416),
    "train_detector.epochs":        (10,   16,     150,         200),
    "train_detector.batch":         (8,    8,      64,          128),
    "train_detector.learning_rate": (3e-3, 2e-3,   2e-3,        2e-3),
    "train_detector.mosaic":        (0.5,  1.0,    1.0,         1.0),
    "gate_data.bootstraps":         (100,  200,    200,         200),
}  # fmt: skip


def resolve(name_or_path: str, *, overrides: Sequence[str] = ()) -> Recipe:
    """A preset's name or a YAML file, with `section.field=value` overrides (values are YAML).

    Raises:
        RecipeError: names the field, what it expects and what it got.
    """
    if name_or_path in PRESET_NAMES:
        values = _preset_values(name_or_path)
    else:
        written = _read_yaml(Path(name_or_path))
        base = written.get("preset", "laptop")
        if base not in PRESET_NAMES:
            raise RecipeError(
                "unknown preset",
                expected=", ".join(PRESET_NAMES),
                got=base,
                where=name_or_path,
                next_step=meant(str(base), PRESET_NAMES),
            )
        values = _merge(_preset_values(base), written)
    for override in overrides:
        _override(values, override)
    return validate(values, where=name_or_path)


def validate(values: dict[str, Any], *, where: str = "recipe") -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise _refusal(error.errors()[0], where=where) from error


class _Plain(yaml.SafeDumper):
    """Values are written out: aliases are not read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def source_for(recipe: Recipe, named: str) -> str:
    """What a run of this recipe takes its photographs from. Raises InputError where it has to be named and is not."""
    if not named and recipe.preset != "demo":
        raise InputError(
            "a source is needed",
            expected="a folder, archive, video, s3://… or dataset:…",
            got="nothing",
            next_step="--source FOLDER; the recipe `demo` alone takes pictures itself",
        )
    return named or SIMULATED


def to_yaml(recipe: Recipe) -> str:
    """Every field with its value. Law: `resolve` of a file that holds it gives the recipe again."""
    values = recipe.model_dump(mode="json")
    return yaml.dump(values, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


def _refusal(first: Mapping[str, Any], *, where: str) -> RecipeError:
    """What pydantic says of one field, as a sentence, with the word that was probably meant."""
    path = [str(part) for part in first["loc"] if part != _KEY]
    if first["type"] == "value_error":  # our own: what it says is whole
        return RecipeError(f"recipe, {'.'.join(path) or 'all of it'}: {first['ctx']['error']}", where=where)
    field, got = ".".join(path), first.get("input")
    what, known, near = f"recipe field {field!r}: {first['msg']}", "", ""
    if first["type"] == "extra_forbidden":
        names = sorted(_fields_below(Recipe, path[:-1]))
        what, known = f"recipe field {field!r}: there is none of this name", ", ".join(names)
        near = _in_other_sections(path[-1]) or meant(path[-1], names)
        got = path[-1]
    elif first["type"] == "literal_error":
        near = meant(str(got), re.findall("'([^']*)'", first["ctx"]["expected"]))
    every = "`edgewright run PRESET --dry-run` prints every field with its value"
    return RecipeError(what, expected=known, got=repr(got), where=where, next_step=near or every)


def _fields_below(section: type[BaseModel], path: Sequence[str]) -> Iterable[str]:
    """The fields of a section, or of the part of it that `path` leads to."""
    if not path:
        return section.model_fields
    kinds = (section.model_fields[path[0]].annotation, *get_args(section.model_fields[path[0]].annotation))
    part = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    below = path[2:] if get_origin(kinds[0]) is dict else path[1:]  # a key of it is no field
    return _fields_below(part, below) if part else ()


def _in_other_sections(name: str) -> str:
    """Sections that have a field of this name, as a question; empty where none has."""
    paths = [f"{section}.{name}" for section in Recipe.model_fields if name in _fields_below(Recipe, [section])]
    return f"did you mean {' or '.join(paths)}?" if paths else ""


def _preset_values(preset: str) -> dict[str, Any]:
    values: dict[str, Any] = {"preset": preset}
    column = PRESET_NAMES.index(preset)
    for path, row in PRESETS.items():
        section, field = path.split(".")
        values.setdefault(section, {})[field] = row[column]
    return values


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise RecipeError(
            "no such preset and no such recipe file",
            expected=", ".join(PRESET_NAMES),
            got=str(path),
            next_step=meant(path.name, PRESET_NAMES),
        ) from error
    if len(payload) > MAX_RECIPE_BYTES:
        raise RecipeError(
            "recipe file too large", expected=f"<= {MAX_RECIPE_BYTES} bytes", got=len(payload), where=path
        )
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(payload)):
            raise RecipeError("YAML aliases are not read", where=path, next_step="write the values out")
        document = yaml.safe_load(payload)
    except yaml.YAMLError as error:
        raise RecipeError("not YAML", got=error, where=path) from error
    if not isinstance(document, dict):
        raise RecipeError("not a recipe", expected="sections with fields", got=type(document).__name__, where=path)
    return document


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        old = merged.get(name)
        merged[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _override(values: dict[str, Any], text: str) -> None:
    path, separator, value = text.partition("=")
    if not separator:
        raise RecipeError("not an override", expected="section.field=value", got=text)
    first, *rest = path.strip().split(".")
    values[first] = _with(values.get(first), rest, yaml.safe_load(value))


def _with(values: Any, path: Sequence[str], value: Any) -> Any:
    """What stands there, with one value at the end of the path."""
    if not path:
        return value
    known = values if isinstance(values, dict) else {}
    return {**known, path[0]: _with(known.get(path[0]), path[1:], value)}
