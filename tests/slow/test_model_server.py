"""`mlflow models serve` of a registered version answers a posted picture with what the device would see in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from edgewright.artifacts import LocalStore
from edgewright.data.dataset import Dataset
from tests.conftest import free_port

pytestmark = pytest.mark.slow

MODEL = "models:/edgewright-demo@champion"
ALL = {"score_threshold": 0.001}  # a network of a few steps is sure of little


@pytest.fixture(scope="module")
def server(toy_run: Any) -> Iterator[str]:
    port, binaries = free_port(), Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{toy_run.home}/mlflow/mlflow.db",
    }
    words = ["-m", "mlflow", "models", "serve", "-m", MODEL, "--env-manager", "local", "--port", str(port)]
    with subprocess.Popen([sys.executable, *words], env=environment, start_new_session=True) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while not is_there(url):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.3)
            yield f"{url}/invocations"
        finally:
            os.killpg(process.pid, 15)


def is_there(url: str) -> bool:
    try:
        with urlopen(f"{url}/ping", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def posted(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())  # type: ignore[no-any-return]


def test_a_posted_picture_is_answered(server: str, toy_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{toy_run.home}/mlflow/mlflow.db")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    model = mlflow.pyfunc.load_model(MODEL)
    store = LocalStore(toy_run.store)
    ref = json.loads((toy_run.record / "run.json").read_bytes())["refs"]["ingest"]
    photographs = Dataset.open(store, store.ref(ref["sha256"], "dataset_real"))
    found = 0
    for row in photographs.usable[:4]:
        image = photographs.image(row)
        expected = model.predict(image, params=ALL).to_dict(orient="records")
        answered = posted(server, {"inputs": image.tolist(), "params": ALL})["predictions"]
        assert [one["class_name"] for one in answered] == [one["class_name"] for one in expected]
        for name in ("x1", "y1", "x2", "y2", "score"):
            np.testing.assert_allclose([a[name] for a in answered], [e[name] for e in expected], atol=1e-3)
        found += len(answered)
    assert found, "pictures in which nothing is found show nothing"


def test_what_is_no_picture_is_refused(server: str) -> None:
    with pytest.raises(HTTPError) as refused:
        posted(server, {"inputs": [1, 2, 3]})
    with refused.value as answer:
        assert answer.code == 400
