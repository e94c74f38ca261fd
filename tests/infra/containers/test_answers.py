"""`answers`: what the health checks of images ask."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.infra.places import CONTAINERS


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path_factory.mktemp("served")))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def ask(url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CONTAINERS / "answers.py"), url]
    env = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)


def test_it_answers_whatever_proxy_is_named(url: str) -> None:
    done = ask(url, http_proxy=f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_answers_no(url: str) -> None:
    done = ask(f"{url}/absent")
    assert done.returncode == 1
    assert "404" in done.stderr


def test_nobody_answers(tmp_path: Path) -> None:
    done = ask(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "refused" in done.stderr
