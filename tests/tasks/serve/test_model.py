"""A run's float detector, served by the command that people type, to a device of the home's fleet."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from edgewright.artifacts import ArtifactRef, Content, Record, open_store
from edgewright.compress.files import FACTS_FILE, SPEC_FILE
from edgewright.detect.graph_file import write_graph
from edgewright.detect.network import GRAPH_FILE, WEIGHTS_FILE
from edgewright.device.enroll import enroll
from edgewright.device.files import Files
from edgewright.device.home import Home
from edgewright.device.identity import Identity
from edgewright.errors import ArtifactMissing, InputError
from edgewright.settings import Settings
from tasks.engine.journal import Journal
from tasks.serve.collector import collector_served, expelled, invited
from tasks.serve.model import model_served
from tests.cells import SPEC


@pytest.fixture
def run(settings: Settings) -> str:
    """A run whose detector is as its random numbers made it."""
    import torch
    from safetensors.torch import save_file

    from edgewright.detect.efficientdet.graph import graph_named
    from edgewright.detect.efficientdet.network import EfficientDet

    torch.manual_seed(0)
    store = open_store(settings.store, scratch=settings.scratch / "s3")
    graph = graph_named("efficientdet-slim", n_classes=len(SPEC.classes))
    spec = {**SPEC.to_json(), "score_threshold": 0.0}
    with store.workspace() as out:
        save_file(EfficientDet(graph).state_dict(), out / WEIGHTS_FILE)
        write_graph(graph.to_json(), out / GRAPH_FILE)
        (out / SPEC_FILE).write_text(json.dumps(spec))
        (out / FACTS_FILE).write_text("{}")
        ref: ArtifactRef = store.publish(out, Content(kind="detector", stage="train_detector"), Record())
    journal = Journal.begin(settings.runs, project="belt", source="x", recipe={}, plan="p")
    journal.note_stage({"name": "train_detector"}, ref.to_json())
    return journal.run_id


@pytest.fixture
def device(settings: Settings, publish: Callable[..., None], tmp_path: Path) -> Home:
    publish(1)
    with collector_served(settings, port=_free(), say=lambda line: None):
        token = invited(settings, "belt", channel="stable", tier="full", device="line-1", life_s=60.0)
        return enroll(tmp_path / "device", token, files=Files())


def _free() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def ask(url: str, home: Home) -> tuple[int, dict[str, Any]]:
    stream = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(stream, "JPEG")
    place = urlsplit(url)
    connection = HTTPSConnection("127.0.0.1", place.port, timeout=10, context=Identity(home.identity).context())
    try:
        connection.request("POST", "/detect", body=stream.getvalue())
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_a_process_answers_the_fleets_devices_until_it_is_told_to_end(
    settings: Settings, run: str, device: Home
) -> None:
    command = [sys.executable, "-m", "edgewright.cli", "serve-model", run, "--port", "0"]
    environment = {**os.environ, "EDGEWRIGHT_HOME": str(settings.home)}
    before = {path: path.read_bytes() for path in settings.fleet.glob("collector.*")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        try:
            assert running.stdout
            said = next(iter(running.stdout))
            url = said.split()[1].rstrip(":")
            status, told = ask(url, device)
            assert status == 200 and told["model"].startswith("belt:") and told["model"] in said
            assert told["detections"] and {row["class"] for row in told["detections"]} <= set(SPEC.classes)
            expelled(settings, "belt", "line-1", why="it was stolen")
            assert ask(url, device) == (403, {"why": "line-1 was expelled: it was stolen"})
            began = time.monotonic()
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0 and time.monotonic() - began < 10
        finally:
            running.kill()
    assert {path: path.read_bytes() for path in before} == before, "the collector's certificate is its own"


def test_devices_of_another_project_are_not_heard(settings: Settings, run: str, device: Home) -> None:
    with model_served(settings, run, project="elsewhere", port=0, say=lambda line: None) as served:
        assert ask(served.url, device) == (403, {"why": "devices of elsewhere are heard here"})


def test_what_cannot_be_served_is_said(settings: Settings, run: str) -> None:
    def served(name: str, **changes: Any) -> None:
        with model_served(settings, name, port=0, say=print, **changes):
            pass

    with pytest.raises(ArtifactMissing, match="no such run"):
        served("20200101")
    with pytest.raises(ArtifactMissing, match="no detector"):
        served(f"{run}@basic")
    with pytest.raises(InputError, match="devices elsewhere do not find it"):
        served(run, host="0.0.0.0")
