"""What a failed `run --json` still prints: its own run, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.cli.printed import last_run, remembering
from edgewright.errors import SourceError
from edgewright.settings import read_settings
from tasks.engine.journal import Journal


def begin(runs: Path) -> Journal:
    return Journal.begin(runs, project="p", source="s", recipe={}, plan="plan")


def test_a_run_that_never_began_is_not_an_earlier_one(tmp_path: Path) -> None:
    settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path)})
    earlier = begin(settings.runs)
    with pytest.raises(SourceError), remembering(settings):
        raise SourceError("there is none")
    assert last_run == {}
    with remembering(settings):
        later = begin(settings.runs)
    assert last_run["run_id"] == later.run_id
    with remembering(settings):
        earlier.update(status="running")  # continued
    assert last_run["run_id"] == earlier.run_id
    last_run.clear()
