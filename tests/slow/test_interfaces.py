"""`edgewright ui` starts what it needs and no more, and leaves no server behind, however it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.serve.prefect_server import answers
from tests.conftest import free_port

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_both_servers_end_with_it(sent: signal.Signals, code: int, tmp_path: Path) -> None:
    ports = {"--prefect-port": free_port(), "--mlflow-port": free_port()}
    urls = [f"http://127.0.0.1:{ports['--prefect-port']}/api", f"http://127.0.0.1:{ports['--mlflow-port']}"]
    command = [sys.executable, "-m", "edgewright.cli", "ui", *(str(word) for pair in ports.items() for word in pair)]
    ui = subprocess.Popen(
        command, env={**os.environ, "EDGEWRIGHT_HOME": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert ui.stdout is not None
        said: list[str] = []
        while "Ctrl-C ends both" not in said:
            line = ui.stdout.readline()
            assert line, f"it ended by itself: {said}"
            said.append(line.strip())
        assert f"MLflow   {urls[1]}/#/experiments?workflowType=machine_learning" in said
        below = [" ".join(child.cmdline()) for child in psutil.Process(ui.pid).children(recursive=True)]
        assert len(below) == 3, f"Prefect, MLflow's command and its server, and no job runner: {below}"
        ui.send_signal(sent)
        assert ui.wait(60) == code
    finally:
        ui.kill()
        ui.communicate()
    deadline = time.monotonic() + 30
    while any(answers(url) for url in urls):
        assert time.monotonic() < deadline, "a server outlived its owner"
        time.sleep(0.2)
