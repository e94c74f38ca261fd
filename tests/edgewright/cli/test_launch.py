"""A start that cannot be: one sentence, one exit code, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import edgewright
from tests.listeners import closed_port


def test_a_server_that_is_away_ends_the_command_before_anything_is_made(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}/api"
    done = edgewright(
        "run", "demo", "--json", home=tmp_path, check=False, PREFECT_API_URL=url, PYTHONPROFILEIMPORTTIME="1"
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert (done.returncode, len(said)) == (1, 1)
    assert said[0].startswith("edgewright: the Prefect server that PREFECT_API_URL names does not answer")
    assert not any(line.split("|")[-1].strip() in ("prefect", "mlflow") for line in done.stderr.splitlines())
    printed = json.loads(done.stdout)
    assert (printed["run_id"], printed["error"]["kind"]) == (None, "StoreUnavailable")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prefect"]


def test_a_source_that_is_not_there_ends_it_too(tmp_path: Path) -> None:
    done = edgewright("run", "laptop", "--source", str(tmp_path / "photos"), home=tmp_path / "home", check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the source does not exist" in done.stderr
    assert [path.name for path in (tmp_path / "home").rglob("*")] == ["prefect"]
