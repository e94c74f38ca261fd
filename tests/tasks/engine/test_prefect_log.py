"""A process whose console nobody reads any more goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIVES = """
import sys
from pathlib import Path
from rich.console import Console
from tasks.engine.prefect_log import outlive_console
if sys.argv[2] == "outlives":
    outlive_console()
print("here", flush=True)
sys.stdin.read()
Console(file=sys.stderr).print("a line of the log")
print("a line of its own", flush=True)
Path(sys.argv[1]).write_text("it went on")
"""


@pytest.mark.parametrize(("how", "goes_on"), [("outlives", True), ("as rich does", False)])
def test_a_log_that_nobody_reads_ends_nothing(tmp_path: Path, how: str, goes_on: bool) -> None:
    """The worker that read it was killed."""
    words = [sys.executable, "-c", LIVES, str(tmp_path / "told"), how]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"here\n"
        process.stdout.close()
        process.stderr.close()
        process.stdin.close()
        process.wait()
    assert (tmp_path / "told").exists() == goes_on
