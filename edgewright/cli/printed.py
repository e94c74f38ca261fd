"""What commands print for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgewright.settings import Settings

PUBLIC_EMPTY: dict[str, Any] = {
    "run_id": None,
    "mlflow_run_id": None,
    "stages": [],
    "gates": [],
    "models": {},
    "tiers": {},
    "release": None,
    "device": None,
    "report": None,
}
last_run: dict[str, Any] = {}
"""What the journal of this process's run says, for the object that a failed `run --json` still prints."""


@contextmanager
def remembering(settings: Settings) -> Iterator[None]:
    """Keep the journal's public part where the frame finds it when the run raises; nothing where none was written."""
    from tasks.engine.journal import journals

    last_run.clear()
    before = {journal.path: journal.path.stat().st_mtime_ns for journal in journals(settings.runs)}
    try:
        yield
    finally:
        written = [run for run in journals(settings.runs) if run.path.stat().st_mtime_ns != before.get(run.path)]
        if written:
            last_run.update(written[0].public)


def print_json(value: Any) -> None:
    sys.stdout.flush()
    print(json.dumps(value, indent=1, sort_keys=True), flush=True)


def print_line(value: Any) -> None:
    """In one line: the object of an error may end a stream of such lines."""
    sys.stdout.flush()
    print(json.dumps(value, sort_keys=True), flush=True)
