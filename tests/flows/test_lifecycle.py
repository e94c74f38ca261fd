"""The whole DAG at toy size, by the command a person types, and what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.cli.frame import main
from flows.lifecycle import STAGES

Command = Callable[..., subprocess.CompletedProcess[str]]
Spoken = Callable[..., str]


@pytest.fixture
def spoken(environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Spoken:
    """`spoken(*words, home=…)`: what a command that computes nothing prints, in this process."""

    def run(*words: str, home: Path) -> str:
        monkeypatch.setenv("EDGEWRIGHT_HOME", str(home))
        with pytest.raises(SystemExit) as ended:
            main(words)
        printed = capsys.readouterr()
        assert ended.value.code == 0, printed.err
        return printed.out

    return run


def test_every_stage_ran_and_said_where(toy_run: Any) -> None:
    stages = toy_run.printed["stages"]
    assert [stage["name"] for stage in stages] == [stage.name for stage in STAGES]
    assert {stage["name"]: stage["pool"] for stage in stages} == {stage.name: stage.pool for stage in STAGES}
    assert all(set(stage["ran_on"]) == {"router", "host", "device"} for stage in stages)
    assert not any(stage["cached"] for stage in stages)
    assert (stages[0]["told"]["layout"], stages[0]["told"]["labeled"]) == ("yolo", 90)
    assert "ingest  labels    yolo, in labels/" in toy_run.stderr


@pytest.mark.trains
def test_the_object_holds_what_the_command_line_promises(toy_run: Any) -> None:
    printed = toy_run.printed
    assert printed["error"] is None
    assert {gate["name"] for gate in printed["gates"]} == {"gate_data", "gate_model"}
    assert all(gate["verdict"] in ("pass", "refuse", "not_evaluable") and gate["reasons"] for gate in printed["gates"])
    literal = next(gate["beside"] for gate in printed["gates"] if gate["name"] == "gate_data")
    assert literal.startswith("rule fid_recall (FID < 30, recall > 0.85), reported only: not evaluable.")
    assert set(printed["models"]) == {"float", "int8"}
    assert 0 < printed["models"]["int8"]["bytes"] < 2_000_000 < printed["models"]["float"]["bytes"]
    assert printed["release"]["version"] == 1
    assert set(printed["device"]) == {"version", "slot", "p50_ms", "p99_ms", "detections"}
    assert printed["device"]["version"] == 1


def test_stderr_holds_progress_and_nothing_else(toy_run: Any) -> None:
    lines = [line for line in toy_run.stderr.splitlines() if line.strip()]
    strange = [line for line in lines if not line.startswith(("[", "    "))]
    assert strange == []


def test_the_report_is_one_page_that_says_simulated(toy_run: Any) -> None:
    page = Path(toy_run.printed["report"]).read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "simulated" in page.lower()
    assert "rule fid_recall (FID &lt; 30, recall &gt; 0.85), reported only: not evaluable." in page
    assert "<script" not in page.lower()
    assert 'src="http' not in page


def test_mlflow_has_one_parent_and_a_child_a_stage(toy_run: Any) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{toy_run.home}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("edgewright/demo")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.run_id for run in parents] == [toy_run.printed["mlflow_run_id"]]
    children = {run.data.tags["edgewright.stage"] for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert children == {stage.name for stage in STAGES}
    named = {"prefect.flow_run_id", "gate.gate_data", "gate.gate_model", "release", "ingest.labels", "ingest.split_by"}
    assert named <= set(parents[0].data.tags)
    assert parents[0].info.run_name == f"demo demo {toy_run.printed['run_id']}"
    assert [(one.dataset.name, one.tags[0].value) for one in parents[0].inputs.dataset_inputs] == [
        ("demo/real", "photographs"),
        ("demo/training", "training"),
    ]
    detector = next(run for run in runs if run.data.tags.get("edgewright.stage") == "train_detector")
    assert detector.data.params["train_detector.epochs"] == "12"
    assert not [name for name in detector.data.metrics if name.rpartition("/")[2] in ("epoch", "epochs")]
    assert [one.dataset.name for one in detector.inputs.dataset_inputs] == ["demo/training"]
    assert f"runs/{parents[0].info.run_id}?workflowType=machine_learning" in Path(toy_run.printed["report"]).read_text()


def test_the_registry_joins_both_precisions_and_the_aliases_name_int8(toy_run: Any) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{toy_run.home}/mlflow/mlflow.db")
    versions = {v.tags["precision"]: v for v in client.search_model_versions("name='edgewright-demo'")}
    assert set(versions) == {"float", "int8"}
    assert versions["int8"].tags["float_version"] == str(versions["float"].version)
    for alias in ("challenger", "champion"):
        assert client.get_model_version_by_alias("edgewright-demo", alias).version == versions["int8"].version


def test_the_champion_is_loaded_as_a_function(toy_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{toy_run.home}/mlflow/mlflow.db")
    found = mlflow.pyfunc.load_model("models:/edgewright-demo@champion").predict(np.zeros((90, 120, 3), np.uint8))
    assert list(found.columns) == ["x1", "y1", "x2", "y2", "score", "class_name"]


def test_a_second_run_comes_from_the_store(toy_run: Any, toy_settings: list[str], command: Command) -> None:
    from mlflow import MlflowClient

    began = time.monotonic()
    again = json.loads(command("run", "demo", *toy_settings, "--json", home=toy_run.home).stdout)
    seconds = time.monotonic() - began
    assert {s["name"] for s in again["stages"] if not s["cached"]} == {"release", "flash"}
    assert again["models"] == toy_run.printed["models"]
    assert again["stages"][0]["told"] == toy_run.printed["stages"][0]["told"], "from the store it says the same"
    assert again["release"] == toy_run.printed["release"], "an equal bundle is not released twice"
    assert again["run_id"] != toy_run.printed["run_id"]
    client = MlflowClient(f"sqlite:///{toy_run.home}/mlflow/mlflow.db")
    of_run = f"tags.`mlflow.parentRunId` = '{again['mlflow_run_id']}'"
    tree = client.search_runs([client.get_run(again["mlflow_run_id"]).info.experiment_id], of_run)
    cached = {run.data.tags["edgewright.stage"] for run in tree if run.info.run_name.endswith(" (cached)")}
    assert {run.data.tags["edgewright.stage"] for run in tree} == {stage.name for stage in STAGES}
    assert cached == {stage.name for stage in STAGES} - {"release", "flash"}
    assert all(run.data.tags["edgewright.made_by"] for run in tree if run.info.run_name.endswith(" (cached)"))
    assert seconds < toy_run.seconds


def test_the_flow_alone_opens_a_run(toy_home: Path, toy_settings: list[str]) -> None:
    """As a worker starts it: no command line, a home named by the environment, a server that Prefect begins itself."""
    code = (
        "import sys; from edgewright.settings import configure_libraries, read_settings\n"
        "configure_libraries(read_settings())\n"
        "from edgewright.recipe import resolve; from flows.lifecycle import lifecycle\n"
        "lifecycle(resolve('demo', overrides=sys.argv[1:]), 'simulated')"
    )
    environment = {**os.environ, "EDGEWRIGHT_HOME": str(toy_home)}
    subprocess.run([sys.executable, "-c", code, *toy_settings[1::2]], env=environment, check=True, timeout=300)
    [journal] = (toy_home / "runs").glob("*/run.json")
    state = json.loads(journal.read_bytes())
    assert (state["status"], state["prefect_flow_run_id"] != "") == ("finished", True)
    assert {row["name"] for row in state["stages"] if not row["cached"]} == {"release", "flash"}
    assert Path(state["report"]).is_file()


def test_the_plan_shows_what_is_cached(toy_run: Any, toy_settings: list[str], spoken: Spoken) -> None:
    changed = ["--set", "train_detector.epochs=15"]
    plan = json.loads(spoken("run", "demo", *toy_settings, *changed, "--dry-run", "--json", home=toy_run.home))
    states = {row["name"]: row["state"] for row in plan["stages"]}
    assert states["gate_data"] == "cached"
    assert states["train_detector"] == states["flash"] == "to run"


def test_from_and_until(toy_run: Any, toy_settings: list[str], command: Command) -> None:
    words = ("--from", "quantize", "--until", "gate_model")
    done = json.loads(command("run", "demo", *toy_settings, *words, "--json", home=toy_run.home).stdout)
    assert [(s["name"], s["cached"]) for s in done["stages"]][-3:] == [
        ("compress", True),
        ("quantize", False),
        ("gate_model", False),
    ]
    assert done["release"] is None
    other = ["--set", "seed=5", "--from", "label"]
    missing = command("run", "demo", *toy_settings, *other, "--json", home=toy_run.home, check=False)
    assert missing.returncode == 2
    assert json.loads(missing.stdout)["error"]["kind"] == "ArtifactMissing"
    assert "ingest" in missing.stderr


TIERS = ("--set", "tiers.basic.compress.share=0.4", "--set", "tiers.basic.gate_model.max_p99_ms=6000")


def test_a_detector_a_tier_under_one_number(toy_home: Path, toy_settings: list[str], command: Command) -> None:
    """The second one learns in the few steps after its channels are taken; everything before that is the first's."""
    from mlflow import MlflowClient

    words = ("run", "demo", *toy_settings, *TIERS, "--json")
    done = json.loads(command(*words, home=toy_home).stdout)
    further = ["train_detector@basic", "compress@basic", "quantize@basic", "gate_model@basic"]
    names = [stage["name"] for stage in done["stages"]]
    assert names == [stage.name for stage in STAGES[:-2]] + further + ["release", "flash"]
    assert {s["name"] for s in done["stages"] if not s["cached"]} == {*further[1:], "release", "flash"}
    assert [gate["name"] for gate in done["gates"]] == ["gate_data", "gate_model", "gate_model@basic"]

    full, basic = done["tiers"]["full"], done["tiers"]["basic"]
    assert basic["bytes"] < full["bytes"] == done["models"]["int8"]["bytes"]
    assert (full["outcome"], basic["outcome"], done["release"]["version"]) == ("pass", "pass", 1)
    assert full["device_p50_ms"] > 0 and basic["device_p50_ms"] > 0
    page = Path(done["report"]).read_text()
    assert "For devices of tier basic" in page and "Model gate, basic" in page
    listed = command("runs", home=toy_home).stdout
    assert done["run_id"] in listed and f"basic, p99 {basic['p99_ms']:.1f} ms" in listed
    picture = str(next((toy_home / "store").rglob("basic/feed/frames/*")))
    assert json.loads(command("detect", "latest@basic", picture, "--json", home=toy_home).stdout)["image"] == picture

    for device, tier in (("demo-demo-0", "full"), ("demo-demo-0-basic", "basic")):
        folder = toy_home / "devices" / device
        (runs,) = folder.glob("slots/a/manifest.json")
        signed = next((toy_home / "releases/demo/targets/stable" / tier / "1").glob("*.manifest.json"))
        assert runs.read_bytes() == signed.read_bytes()
        assert json.loads((folder / "device.json").read_bytes())["tier"] == tier

    client = MlflowClient(f"sqlite:///{toy_home}/mlflow/mlflow.db")
    champions = {a: client.get_model_version_by_alias("edgewright-demo", a) for a in ("champion", "champion-basic")}
    assert [version.tags["tier"] for version in champions.values()] == ["full", "basic"]
    assert [int(version.tags["bytes"]) for version in champions.values()] == [full["bytes"], basic["bytes"]]
    parent = client.get_run(done["mlflow_run_id"])
    assert parent.data.metrics["basic/bytes"] == basic["bytes"]
    assert parent.data.tags["gate.gate_model.basic"] == "pass"

    refused = command(*words, "--set", "tiers.basic.gate_model.min_map50=1", home=toy_home, check=False)
    ended = json.loads(refused.stdout)
    assert (refused.returncode, ended["release"], "release" in {s["name"] for s in ended["stages"]}) == (3, None, False)
    assert [gate["verdict"] for gate in ended["gates"]][1:] == ["pass", "refuse"]
    aliases = client.get_registered_model("edgewright-demo").aliases
    assert str(aliases["champion-basic"]) == str(champions["champion-basic"].version), "what was refused is no champion"
    assert aliases["challenger"] == aliases["champion"], "and the other tier's aliases stay"


def test_a_plan_shows_each_tiers_stages(toy_run: Any, toy_settings: list[str], command: Command) -> None:
    words = ("run", "demo", *toy_settings, *TIERS, "--until", "quantize", "--dry-run", "--json")
    plan = json.loads(command(*words, home=toy_run.home).stdout)
    states = {row["name"]: row["state"] for row in plan["stages"]}
    assert (states["compress"], states["train_detector@basic"]) == ("cached", "cached")
    assert (states["compress@basic"], states["quantize@basic"], states["gate_model@basic"]) == (
        "to run",
        "to run",
        "skipped",
    )


def test_runs_are_listed_newest_first(toy_run: Any, spoken: Spoken) -> None:
    listed = json.loads(spoken("runs", "--json", home=toy_run.home))
    assert toy_run.printed["run_id"] == listed[-1]["run_id"]
    assert set(listed[0]) == set(toy_run.printed)
    assert toy_run.printed["run_id"] in spoken("runs", home=toy_run.home)


def test_detect_draws_and_export_writes(toy_run: Any, tmp_path: Path, command: Command) -> None:
    count = command("export", toy_run.printed["run_id"], "--out", str(tmp_path / "yolo"), home=toy_run.home).stdout
    assert count.startswith("90 images")
    picture = str(next((tmp_path / "yolo").rglob("*.jpg")))
    words = ("detect", toy_run.printed["run_id"], picture, "--save", str(tmp_path / "drawn"), "--json")
    found = json.loads(command(*words, home=toy_run.home).stdout)
    assert Path(found["drawn"]).is_file()


def test_gc_keeps_what_models_and_releases_reach(toy_run: Any, spoken: Spoken) -> None:
    before = sorted((toy_run.home / "store").rglob("*"))
    dry = spoken("gc", "--keep", "0", home=toy_run.home)
    assert dry.startswith("would free") and dry.endswith("Next: edgewright gc --keep 0 --yes\n")
    assert sorted((toy_run.home / "store").rglob("*")) == before
    assert spoken("gc", "--keep", "1", "--yes", home=toy_run.home).startswith("freed")
    model = toy_run.home / "store" / "artifacts"
    kinds = {json.loads(path.read_bytes())["content"]["kind"] for path in model.glob("*/manifest.json")}
    assert {"int8_model", "release", "dataset_real"} <= kinds


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (["run", "laptop", "--source", "/nowhere"], 2, "SourceError"),
        (["run", "laptop"], 2, "InputError"),  # only the demo has a camera of its own
        (["run", "demo", "--set", "train_detector.epochs=0"], 2, "RecipeError"),
        (["run", "demo", "--from", "nonsense"], 2, "InputError"),
        (["run", "demo", "--nonsense"], 2, "InputError"),
    ],
)
def test_bad_input_ends_with_two_and_one_object(
    words: list[str],
    code: int,
    kind: str,
    tmp_path: Path,
    environment: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process; a command of its own ends so above."""
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path / "home"))
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    printed = capsys.readouterr()
    assert ended.value.code == code
    assert json.loads(printed.out)["error"]["kind"] == kind
    assert "Traceback" not in printed.err
