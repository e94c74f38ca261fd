"""A process whose console nobody reads any more goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIVES = """
import sys
from pathlib import Path
from rich.console import Console
import tasks.engine.stage
print("here", flush=True)
sys.stdin.read()
Console(file=sys.stderr).print("a line of the log")
print("a line of its own", flush=True)
Path(sys.argv[1]).write_text("it went on")
"""


@pytest.mark.parametrize(("begun_for", "goes_on"), [("a flow run", True), ("", False)])
def test_a_log_that_nobody_reads_ends_nothing(tmp_path: Path, begun_for: str, goes_on: bool) -> None:
    """The worker that read it was killed, when the process had read its flow and called nothing of it."""
    words = [sys.executable, "-c", LIVES, str(tmp_path / "told")]
    pipe = subprocess.PIPE
    environment = {**os.environ, **({"PREFECT__FLOW_RUN_ID": begun_for} if begun_for else {})}
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"here\n"
        process.stdout.close()
        process.stderr.close()
        process.stdin.close()
        process.wait()
    assert (tmp_path / "told").exists() == goes_on
