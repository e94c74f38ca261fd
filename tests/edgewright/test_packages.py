"""Whose `tasks` is it? A file of that name that stands first on Python's path must be named, not called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright.packages import OURS, require_own_packages

ROOT = Path(__file__).parents[2]


def test_ours_are_ours() -> None:
    require_own_packages()


@pytest.mark.parametrize("name", OURS)
def test_a_foreign_file_is_named(name: str, tmp_path: Path) -> None:
    foreign = tmp_path / f"{name}.py"
    foreign.write_text("raise SystemExit('a stranger was imported')\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "edgewright.cli", "runs", "--json"],
        env={**os.environ, "PYTHONPATH": path, "EDGEWRIGHT_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"the package `{name}` is not edgewright's" in done.stderr
    assert str(foreign) in done.stderr
    assert "stranger" not in done.stderr
