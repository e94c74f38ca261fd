"""Are `flows`, `tasks` and `deployments` ours? Their names are common, and whatever stands first on `sys.path` wins.

Decides by the folder: they lie beside this package. Refuses to go on with somebody else's, whose functions would be
called under our names.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from edgewright.errors import InputError

OURS = ("flows", "tasks", "deployments")


def require_own_packages() -> None:
    """Raises InputError naming the file that stands in the place of one of ours. Imports nothing."""
    beside = Path(__file__).resolve().parents[1]
    for name in OURS:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found != beside / name / "__init__.py":
            raise InputError(
                f"the package `{name}` is not edgewright's",
                expected=beside / name,
                got=found or "nothing",
                next_step="rename or move that file, or run from another folder: it stands first on Python's path",
            )
