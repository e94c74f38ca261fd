"""What the shell offers while a command is typed: presets and recipe files, fields, stages, runs, models.

Decides nothing and prints nothing; a home that cannot be read offers nothing. Imports neither Prefect nor the training
stack: the shell waits for the answer.

>>> stages("train_")
['train_generator', 'train_labeler', 'train_detector']
>>> fields("quantize.iou")
['quantize.iou_threshold=']
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgewright.errors import EdgewrightError
from edgewright.settings import read_settings


def recipes(incomplete: str) -> list[str]:
    """Presets, and the YAML files and folders that begin so."""
    from edgewright.recipe import PRESET_NAMES

    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    shown = [f"{path}/" if path.is_dir() else str(path) for path in found]
    return _beginning(incomplete, [*PRESET_NAMES, *(name for name in shown if name.endswith(("/", ".yaml", ".yml")))])


def fields(incomplete: str) -> list[str]:
    """`section.field=` of the recipe, for `--set`."""
    from edgewright.recipe import Recipe

    sections = {name: getattr(part.annotation, "model_fields", {}) for name, part in Recipe.model_fields.items()}
    paths = [f"{section}.{name}=" for section, names in sections.items() for name in names]
    return _beginning(incomplete, ["seed=", *paths])


def stages(incomplete: str) -> list[str]:
    """The life cycle's stages in order: those that have a section in the recipe."""
    from edgewright.recipe import Recipe

    sections = [name for name, part in Recipe.model_fields.items() if hasattr(part.annotation, "model_fields")]
    return _beginning(incomplete, [name for name in sections if name != "route"])  # of where stages run


def run_ids(incomplete: str) -> list[str]:
    """`latest` and the home's runs, newest first."""
    from tasks.engine.journal import journals

    try:
        known = [journal.run_id for journal in journals(read_settings().runs)]
    except (EdgewrightError, OSError):
        return []
    return _beginning(incomplete, ["latest", *known] if known else [])


def projects(incomplete: str) -> list[str]:
    """Those that have released something."""
    try:
        return _beginning(incomplete, sorted(path.name for path in read_settings().releases.glob("*") if path.is_dir()))
    except (EdgewrightError, OSError):
        return []


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
