"""The tutorial goes as it says: its commands, in order, in the home of a finished run; its notebook, cell by cell.

Decides which commands are not run here. The toy run stands for those that train; nothing is trained again.
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import edgewright as ew
from edgewright.cli import frame
from edgewright.data.export import export_dataset
from edgewright.device.cli import main as device_main
from edgewright.device.runner import DETECTIONS_FILE
from edgewright.release.server import serve_releases
from tasks.engine.journal import journals
from tests.test_docs import ROOT, commands_in

TUTORIAL = ROOT / "docs/tutorial.md"
NOTEBOOK = ROOT / "docs/tutorial.ipynb"
SERVER = "http://127.0.0.1:28000"
NOT_HERE = {
    "edgewright run laptop --source photos/": "trains for an hour; the toy run stands for it",
    "edgewright run laptop --source photos/ --set train_detector.epochs=80": "trains for an hour",
    "edgewright serve-releases": "serves until Ctrl-C; the test serves the same",
    "edgewright review export latest --to review --format label-studio": "the labeler of the toy run doubts nothing",
    "edgewright ui": "serves until Ctrl-C; tests/slow/test_interfaces.py",
}


@pytest.fixture
def folder(toy_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None) -> Path:
    """Where the reader stands after the run: photographs with labels, and the home of a run on them."""
    home = tmp_path / ".edgewright"
    shutil.copytree(toy_run.store, home / "store", copy_function=os.link)
    shutil.copytree(toy_run.record, home / "runs" / toy_run.record.name)
    shutil.copytree(toy_run.home / "mlflow", home / "mlflow")
    shutil.copytree(toy_run.home / "releases" / "demo", home / "releases" / "photos")
    shutil.copytree(toy_run.home / "devices" / "demo-demo-0", home / "devices" / "photos-demo-0")
    monkeypatch.chdir(tmp_path)
    for name in ("EDGEWRIGHT_HOME", "EDGEWRIGHT_STORE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    export_dataset(ew.Run.latest().dataset, tmp_path / "photos", layout="yolo")
    (tmp_path / "new").mkdir()
    for name, picture in zip(("one", "two", "three"), (tmp_path / "photos").rglob("*.jpg"), strict=False):
        shutil.copy(picture, tmp_path / "new" / f"{name}.jpg")
    return tmp_path


def test_its_commands_do_what_it_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = commands_in(TUTORIAL)
    assert set(NOT_HERE) <= set(lines)
    with serve_releases(folder / ".edgewright/releases", host="127.0.0.1", port=0) as server:
        for line in lines:
            if line not in NOT_HERE:
                program, *words = shlex.split(line.replace(SERVER, server.url))
                main = device_main if program == "edgewright-device" else frame._run_command
                assert main(words) == 0, f"{line}: {capsys.readouterr().err}"
    said = capsys.readouterr().out
    assert "release 1 installed, on trial in slot" in said
    assert [path.suffix for path in (folder / "found").iterdir()] == [".png"] * 3
    assert list((folder / "dataset").rglob("*.json"))
    assert len((folder / "detections" / DETECTIONS_FILE).read_text().splitlines()) == 3


def test_its_notebook_goes_from_cell_to_cell(
    toy_home: Path,
    toy_settings: list[str],
    prefect_api: str,
    migrated: Path,
    environment: None,
) -> None:
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "its outputs are cleared"
    [parameters] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    values = dict(text.split("=", 1) for text in toy_settings[1::2])
    parameters.source = f'RECIPE, SOURCE, SETTINGS = "demo", "", {values!r}'
    (toy_home / "mlflow").mkdir()
    shutil.copy(migrated, toy_home / "mlflow" / "mlflow.db")
    os.environ |= {"EDGEWRIGHT_HOME": str(toy_home), "PREFECT_API_URL": prefect_api}
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    shown = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert all(word in shown for word in (": finished>", "image/png", "int8 {", "<iframe sandbox"))
    assert "never awaited" not in shown, "a kernel runs an event loop"
    [journal] = journals(toy_home / "runs")
    assert {row["name"] for row in journal.state["stages"] if not row["cached"]} == {"release", "flash"}
