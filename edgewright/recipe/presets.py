"""Presets, recipe files and overrides: from words to a recipe.

>>> resolve("demo", overrides=["train_detector.epochs=3"]).train_detector.epochs
3
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from edgewright.errors import RecipeError
from edgewright.recipe.recipe import Recipe

MAX_RECIPE_BYTES = 64_000

PRESET_NAMES = ("demo", "laptop", "workstation", "cluster")
PRESETS: dict[str, tuple[int | float, int | float, int | float, int | float]] = {
    # field                          demo  laptop  workstation  cluster
    "train_generator.steps":        (400,  1500,   20000,       60000),
    "train_generator.batch":        (16,   32,     128,         256),
    "train_generator.width":        (32,   32,     64,          64),
    "train_generator.scene_px":     (192,  320,    640,         640),
    "generate.images":              (160,  240,    4000,        50000),
    "generate.image_px":            (192,  320,    640,         640),
    "train_labeler.steps":          (250,  600,    5000,        10000),
    "train_labeler.batch":          (8,    16,     16,          16),
    "train_labeler.image_px":       (128,  160,    256,         256),
    "train_labeler.folds":          (2,    2,      5,           5),
    "measure_utility.pairs":        (0,    0,      3,           5),
    "measure_utility.steps":        (400,  400,    2000,        4000),
    "train_detector.image_px":      (192,  256,    416,         416),
    "train_detector.epochs":        (18,   50,     150,         200),
    "train_detector.batch":         (8,    16,     64,          128),
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
            raise RecipeError("unknown preset", expected=", ".join(PRESET_NAMES), got=base, where=name_or_path)
        values = _merge(_preset_values(base), written)
    for override in overrides:
        _override(values, override)
    return validate(values, where=name_or_path)


def validate(values: dict[str, Any], *, where: str = "recipe") -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RecipeError(
            f"recipe field {field!r}: {first['msg']}",
            got=repr(first.get("input")),
            where=where,
            next_step="`edgewright run PRESET --dry-run` prints every field with its value",
        ) from error


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
            "no such preset and no such recipe file", expected=", ".join(PRESET_NAMES), got=str(path)
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
    parts = path.strip().split(".")
    if not separator or not 1 <= len(parts) <= 2:
        raise RecipeError("not an override", expected="section.field=value", got=text)
    parsed = yaml.safe_load(value)
    if len(parts) == 1:
        values[parts[0]] = parsed
    else:
        values[parts[0]] = {**values.get(parts[0], {}), parts[1]: parsed}
