"""The numbers of a domain report, flat, as a tracker wants them.

>>> metrics_of({"a": 1, "b": {"c": 0.5, "d": None, "e": "text"}, "f": [1, 2]})
{'a': 1.0, 'b/c': 0.5}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

HISTORY_FILE = "history.json"
"""What every training writes of itself, a row a step or epoch."""


def metrics_of(report: Any, *, prefix: str = "") -> dict[str, float]:
    """Every finite number of a dataclass or mapping, nested names joined by `/`; sequences and text are left out."""
    values = asdict(report) if is_dataclass(report) and not isinstance(report, type) else report
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= metrics_of(value, prefix=f"{prefix}{name}/")
        elif isinstance(value, int | float) and math.isfinite(value):
            found[f"{prefix}{name}"] = float(value)
    return found


def history_of(path: Path) -> list[tuple[int, dict[str, float]]]:
    """A training's HISTORY_FILE: (step or epoch, its other numbers), in order; empty where there is none."""
    if not path.exists():
        return []
    rows: list[dict[str, float]] = json.loads(path.read_bytes())
    axis = next((name for name in ("step", "epoch") if rows and name in rows[0]), "")
    return [(int(row[axis]), {k: v for k, v in row.items() if k != axis}) for row in rows] if axis else []
