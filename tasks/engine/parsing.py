"""A file of Python as a tree. Decides that what another thread does meanwhile ends nobody's parsing.

Until 3.11.7 CPython fails where two threads parse at once, be the other one Prefect's (python/cpython#106905).
"""

from __future__ import annotations

import ast
import threading
from contextlib import suppress
from pathlib import Path

_PARSES = threading.Lock()
_TRIES = 5


def parsed(path: Path) -> ast.Module:
    """Raises SyntaxError for what is no Python."""
    payload = path.read_bytes()
    with _PARSES:
        for _ in range(_TRIES - 1):
            with suppress(SystemError):
                return ast.parse(payload)
        return ast.parse(payload)
