"""Which code a run says that it ran."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import edgewright
from tasks.engine.code_origin import file_of, source_tags
from tasks.ingest import ingest

ROOT = Path(edgewright.__file__).parents[1]


def test_a_stage_names_its_file() -> None:
    assert (ROOT / file_of(ingest.fn)).samefile(ROOT / "tasks" / "ingest.py")


def test_the_commit_is_that_of_the_checkout_and_an_installation_has_none() -> None:
    tags = source_tags("tasks/ingest.py")
    assert (tags.pop("mlflow.source.name"), tags.pop("mlflow.source.type")) == ("tasks/ingest.py", "LOCAL")
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        assert tags == {}
        return
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert tags.pop("mlflow.source.git.commit") == head.stdout.strip()
    assert set(tags) == {"mlflow.source.git.dirty"}
