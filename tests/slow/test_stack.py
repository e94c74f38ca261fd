"""`edgewright up` with all that it starts: the toy run on its workers is the toy run, whatever is killed meanwhile.

Every stage has a process and a home of its own, and a store in S3: nothing but references may travel. A local path, a
live object or a global that a stage relied on would fail here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import boto3
import psutil
import psycopg
import pytest

from edgewright.device.report import DeviceReport
from edgewright.recipe import resolve
from edgewright.release.repository import publish_release
from flows.lifecycle import STAGES
from tasks.engine.stage import POOLS
from tests.cells import write_bundle
from tests.conftest import edgewright, free_port
from tests.pages import Album, begin_in_the_form, browsing, decide_in_the_form, see_artifact, see_in_mlflow
from tests.servers.postgres import postgres
from tests.stack import Program, Stack, home_of, kill, process_of, refs_of, tree_of, up, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

BUCKET = "stack"
ENDS = ("Completed", "Failed", "Crashed")
AGAIN = ("--from", "quantize", "--until", "quantize")
AT_THE_GATEWAY = {"release", "flash"}
"""They meet at its repository."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, s3_environment: dict[str, str]) -> Iterator[Stack]:
    """Tables in a real PostgreSQL where one is installed, artifacts and MLflow's files in a real S3."""
    with postgres() as database, pytest.MonkeyPatch.context() as patch:
        for name, value in s3_environment.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        environment = {"EDGEWRIGHT_STORE": f"s3://{BUCKET}/team", "EDGEWRIGHT_DATABASE": database or ""}
        home = tmp_path_factory.mktemp("up")
        (home / "fleet").mkdir(mode=0o700)
        (home / "fleet/collector.json").write_text(json.dumps({"port": free_port()}))
        with up(home, "--collector", "--pages-port", str(free_port()), **s3_environment, **environment) as here:
            for stage in STAGES:
                if stage.name not in AT_THE_GATEWAY:
                    here.give_home(f"{stage.name}/{stage.pool}", here.home / "of" / stage.name)
            yield here


@pytest.fixture
def page() -> Iterator[Page]:
    with browsing() as found:
        yield found


def test_every_part_is_well(stack: Stack) -> None:
    assert "EDGEWRIGHT_ROUTER=pools" in stack.said
    parts = json.loads(edgewright("status", "--json", home=stack.home).stdout)
    assert [part["name"] for part in parts] == ["Prefect", "MLflow", "collector", *(f"pool {pool}" for pool in POOLS)]
    assert all(part["well"] for part in parts)
    told = next(line for line in stack.said.splitlines() if line.startswith("Fleet "))
    assert "<h1>Fleets</h1>" in urlopen(told.split()[1].rstrip(",")).read().decode()
    refused = edgewright("up", home=stack.home, check=False)
    assert (refused.returncode, "this home is up already" in refused.stderr) == (1, True)


def test_a_killed_parent_finds_its_children_and_everything_is_as_inline(
    stack: Stack, toy_run: Any, toy_settings: list[str]
) -> None:
    with stack.start(*toy_settings) as parent:
        wait_for(lambda: [run for run in stack.flow_runs(named="train_labeler") if run["state_type"] == "RUNNING"])
        parent.send_signal(signal.SIGKILL)
    printed = json.loads(stack.run(*toy_settings).stdout)

    stages = Counter(run["name"] for run in printed["stages"])
    assert set(stages) == {stage["name"] for stage in toy_run.printed["stages"]}
    dispatched = [len(stack.flow_runs(named=name)) for name in stages]
    assert dispatched == [1] * len(stages), "nothing ran twice"
    apart = {path.parent.name for path in (stack.home / "of").glob("*/stages")}
    assert apart == {stage.name for stage in STAGES} - AT_THE_GATEWAY, "each in its own home"
    assert {stage["ran_on"]["router"] for stage in printed["stages"]} == {"pools"}
    assert {s["name"]: s["ran_on"]["pool"] for s in printed["stages"] if not s["cached"]}.items() <= {
        s["name"]: s["pool"] for s in toy_run.printed["stages"]
    }.items()
    assert refs_of(stack.home / "runs" / printed["run_id"]) == refs_of(toy_run.record)
    for what, same in (("release", "version"), ("device", "slot")):
        assert set(printed[what]) == set(toy_run.printed[what])
        assert printed[what][same] == toy_run.printed[what][same]
    assert tree_of(stack.tracking_uri, printed["mlflow_run_id"]) == tree_of(
        f"sqlite:///{toy_run.home}/mlflow/mlflow.db", toy_run.printed["mlflow_run_id"]
    )


def test_tables_and_files_lie_where_they_were_wanted(stack: Stack) -> None:
    """After the run above: in the bucket and in the databases, and not in the home."""
    files = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="team/mlflow/")["Contents"]
    assert {Path(one["Key"]).name for one in files} >= {"report.html", "synthetic.png", "MLmodel"}
    homes = [stack.home, *(stack.home / "of").iterdir()]
    assert not [home for home in homes if (home / "store").exists()]
    assert not [found for home in homes for found in (home / "mlflow").glob("artifacts/**/*.png")]
    database = stack.environment["EDGEWRIGHT_DATABASE"]
    if not database:
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql")
    for name, table in (("prefect", "flow_run"), ("mlflow", "runs")):
        with psycopg.connect(f"{database}/edgewright_{name}") as connection:
            counted = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert counted is not None
        assert counted[0] > len(STAGES)
    assert not [path for path in stack.home.rglob("*.db") if path.name in ("prefect.db", "mlflow.db")]


def test_the_doctor_finds_everything_well(stack: Stack) -> None:
    """A word of each pool's worker came back through the store."""
    findings = json.loads(edgewright("doctor", "--json", home=stack.home, **stack.environment).stdout)
    assert [one["name"] for one in findings if not one["well"]] == []
    probed = {one["name"]: one["said"] for one in findings if "the word was back" in one["said"]}
    assert set(probed) == {f"pool {pool}" for pool in POOLS}


def test_the_doctor_tells_of_an_mlflow_that_does_not_know_its_name(stack: Stack, tmp_path: Path) -> None:
    """As behind a proxy of another name: MLflow's server answers 403 to everything, for the Host header's sake."""
    port, behind = free_port(), urlsplit(stack.mlflow_pages).port
    proxy = Program(
        "tests/servers/proxy.py", str(port), str(behind), "127.0.0.2",
        log=tmp_path / "proxy.log", ready=lambda said: b"ready" in said,
    )  # fmt: skip
    try:
        named = {**stack.environment, "MLFLOW_TRACKING_URI": f"http://127.0.0.2:{port}"}
        told = edgewright("doctor", "--pool", "control", "--json", home=stack.home, check=False, **named)
    finally:
        proxy.kill()
    wrong = [one for one in json.loads(told.stdout) if not one["well"]]
    assert (told.returncode, [one["name"] for one in wrong]) == (1, ["MLflow"])
    assert "--allowed-hosts" in wrong[0]["cure"]


def test_what_a_worker_refuses_is_refused_here(stack: Stack, toy_settings: list[str]) -> None:
    """The child's own words, and the exit status of its kind."""
    changed = ("--set", "train_detector.init=/nowhere/weights.pt", "--until", "train_detector")
    refused = stack.run(*toy_settings, *changed, check=False)
    assert refused.returncode == 2, refused.stderr[-2000:]
    assert "/nowhere/weights.pt" in refused.stderr


def test_a_killed_stage_is_said_and_the_same_command_goes_on(stack: Stack, toy_settings: list[str]) -> None:
    words = [*toy_settings, "--set", "quantize.calibration_images=15", "--until", "quantize"]
    run = stack.disturbed(*words, stage="quantize", disturb=lambda child: kill(*process_of(child)))
    assert run.returncode == 1
    assert "quantize ended without a result" in run.stderr
    again = json.loads(stack.run(*words).stdout)
    assert again["stages"][-1]["name"] == "quantize"


def test_a_killed_worker_is_begun_again_and_its_stage_goes_on(
    stack: Stack, toy_run: Any, toy_settings: list[str]
) -> None:
    """The stage's own process lives, and tells Prefect itself what became of it."""
    before = stack.worker("cpu")
    run = stack.disturbed(*toy_settings, *AGAIN, stage="quantize", disturb=lambda child: kill(before))
    assert run.returncode == 0, run.stderr[-3000:]
    stack.require_whole(json.loads(run.stdout), toy_run, stage="quantize")
    assert "the worker of pool cpu ended (exit status -9) and is begun again" in stack.log
    assert stack.worker("cpu").pid != before.pid


def test_a_restarted_server_costs_nothing(stack: Stack, toy_run: Any, toy_settings: list[str]) -> None:
    """Prefect's is killed in the middle of a stage: begun again on its port, it finds its workers where they were."""
    workers = {pool: stack.worker(pool) for pool in POOLS}
    run = stack.disturbed(*toy_settings, *AGAIN, stage="quantize", disturb=lambda child: kill(stack.server()))
    assert run.returncode == 0, run.stderr[-3000:]
    stack.require_whole(json.loads(run.stdout), toy_run, stage="quantize")
    assert "the Prefect server ended (exit status -9) and is begun again" in stack.log
    assert {pool: stack.worker(pool) for pool in POOLS} == workers


def suspended(stack: Stack, toy_settings: list[str]) -> tuple[str, dict[str, Any]]:
    """A flow run whose gate asks, and its record; no process of it lives."""
    recipe = resolve("demo", overrides=[*toy_settings[1::2], "gate_data.on_refuse=ask"])
    flow_run = stack.begin("lifecycle/demo", recipe=recipe.model_dump(mode="json"))
    wait_for(lambda: stack.state_of(flow_run) in ("Suspended", *ENDS))
    assert stack.state_of(flow_run) == "Suspended"
    wait_for(lambda: not process_of({"id": flow_run}), seconds=60)
    return flow_run, stack.record_of(flow_run)


def test_a_gate_that_asks_suspends_its_run_and_an_answer_resumes_it(stack: Stack, toy_settings: list[str]) -> None:
    """Nobody waits on a worker; the answer at a command line has the very run go on to its end, and stands in it. One
    that has all stages go on is given in a form: test_in_a_browser_from_the_form_to_the_registry."""
    flow_run, waiting = suspended(stack, toy_settings)
    assert waiting["status"] == "waiting"
    wait_for(lambda: [one for one in stack.told if one["event"] == "prefect.flow-run.Suspended"], seconds=60)

    answer = ("decide", waiting["run_id"], "end", "--why", "they look odd", "--person", "the test")
    assert "goes on where it waited" in edgewright(*answer, home=stack.home).stdout
    wait_for(lambda: stack.state_of(flow_run) in ENDS)
    ended = stack.record_of(flow_run)
    assert (ended["run_id"], ended["status"]) == (waiting["run_id"], "ended"), ended["error"]
    require_decided(ended, "end")


def require_decided(record: dict[str, Any], choice: str) -> None:
    gate = next(gate for gate in record["gates"] if gate["name"] == "gate_data")
    assert (gate["decision"], gate["decided_by"], gate["why"]) == (choice, "the test", "they look odd")


def test_reviewed_labels_start_a_run_and_its_failure_is_told(stack: Stack) -> None:
    """The data set of this event is in no store: the run that it starts says so, and the webhook hears of it."""
    command = (
        "from tasks.engine.events import dataset_ready; dataset_ready(project='toy', digest='abcdef123456');"
        "from prefect.events.worker import EventsWorker; EventsWorker.drain_all(timeout=10)"
    )
    subprocess.run([sys.executable, "-c", command], env={**os.environ, "PREFECT_API_URL": stack.api}, check=True)
    failed = wait_for(lambda: [one for one in stack.told if "no such data set in the store" in str(one["details"])])
    assert failed[0]["event"] == "prefect.flow-run.Failed"
    assert "dataset:abcdef123456" in failed[0]["details"]["validated_state"]["message"]


def test_a_recipe_of_ones_own_is_started_by_its_schedule(stack: Stack, toy_settings: list[str]) -> None:
    words = ["deploy", "demo", *toy_settings, "--name", "mine", "--cron", "* * * * *", "--timezone", "Europe/Berlin"]
    assert "lifecycle/mine" in edgewright(*words, home=stack.home).stdout
    assert "* * * * * Europe/Berlin" in edgewright("deploy", "--list", home=stack.home).stdout

    def started() -> list[dict[str, Any]]:
        runs = stack.flow_runs(named="lifecycle")
        return [run for run in runs if run["created_by"] and run["auto_scheduled"] and run["state_type"] == "COMPLETED"]

    try:
        wait_for(started)
    finally:
        edgewright("deploy", "--delete", "mine", home=stack.home)
    assert "mine" not in edgewright("deploy", "--list", home=stack.home).stdout


def test_a_rollout_is_stepped_by_a_schedule_while_it_runs(stack: Stack, tmp_path: Path) -> None:
    """The flow is begun by hand here: five minutes are long."""
    repository, keys, now = stack.home / "releases/belt", stack.home / "keys/belt", datetime.now(UTC)
    for release in (1, 2):
        (tmp_path / str(release)).mkdir()
        bundle = write_bundle(tmp_path / str(release), release=release, gain=1 - release / 20)
        publish_release(bundle, repository=repository, keys=keys, channel="stable", now=now, roll_out=release == 1)
    said = DeviceReport("line-1", "run", "a", 1, "f" * 64, offered=1, channel="stable", tier="full")
    (repository / "reports").mkdir()
    (repository / "reports/line-1.json").write_text(json.dumps(said.to_json()))

    def fleet(*words: str) -> str:
        return edgewright("fleet", *words, "--project", "belt", home=stack.home).stdout

    def stepped() -> list[dict[str, Any]]:
        flow_run = stack.begin("step-rollouts/every-five-minutes")
        wait_for(lambda: stack.state_of(flow_run) in ENDS)
        assert stack.state_of(flow_run) == "Completed"
        schedules: list[dict[str, Any]] = stack.deployment("step-rollouts", "every-five-minutes")["schedules"]
        return schedules

    assert "stepped every five minutes by http" in fleet("rollout", "2", "--stages", "1", "--dwell-minutes", "0")
    assert [schedule["active"] for schedule in stepped()] == [True]
    assert "1 of 1 have not answered" in fleet("status")
    fleet("rollback")
    assert [schedule["active"] for schedule in stepped()] == [False]


@pytest.mark.browser
def test_in_a_browser_from_the_form_to_the_registry(
    stack: Stack, page: Page, toy_settings: list[str], tmp_path: Path
) -> None:
    """A run begun in Prefect's form, its gate decided there, and what both interfaces show of it.

    EDGEWRIGHT_SCREENSHOTS names a folder for the pictures.
    """
    album = Album(page, Path(os.environ.get("EDGEWRIGHT_SCREENSHOTS") or tmp_path))
    asks = ("--set", "gate_data.on_refuse=ask")
    edgewright("deploy", "demo", *toy_settings, *asks, "--name", "pages", home=stack.home)
    flow_run = begin_in_the_form(stack, page, album, name="pages")
    page.goto(f"{stack.prefect_pages}/runs/flow-run/{flow_run}")
    wait_for(lambda: stack.state_of(flow_run) in ("Suspended", *ENDS))
    assert stack.state_of(flow_run) == "Suspended"
    page.get_by_text("enforce_data").first.wait_for(state="attached")
    album.take("a-run-that-waits")
    see_artifact(stack, page, key="gate-report", text="held-out photographs")
    album.take("gate-report")

    page.goto(f"{stack.prefect_pages}/runs/flow-run/{flow_run}")
    decide_in_the_form(page, album)
    wait_for(lambda: stack.state_of(flow_run) in ENDS, seconds=900)  # a detector of photographs alone is trained
    assert stack.state_of(flow_run) == "Completed"
    require_decided(stack.record_of(flow_run), "real_only")
    page.reload()
    page.get_by_text("flash").first.wait_for(state="attached")
    album.take("a-run-that-is-done")
    for key, text in {"dataset-card": "90 labeled", "image-grid": "synthetic pictures", "model-card": "mAP50"}.items():
        see_artifact(stack, page, key=key, text=text)
        album.take(key)
    see_in_mlflow(stack, page, album, stack.record_of(flow_run))


def test_down_leaves_nothing(stack: Stack) -> None:
    """Last: it ends the home of this module's tests."""
    mine = [process for process in psutil.process_iter() if home_of(process) == str(stack.home)]
    assert len(mine) >= 2 + len(POOLS)
    assert edgewright("down", home=stack.home).stdout == "ended\n"
    assert not [process for process in mine if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert edgewright("status", home=stack.home, check=False).returncode == 1
