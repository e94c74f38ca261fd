"""The three faces of a stage: two toy stages on a real store, a real MLflow file and a real Prefect server."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewright.artifacts import ArtifactRef, LocalStore
from edgewright.errors import ArtifactMissing, EdgewrightError, StoreUnavailable
from edgewright.recipe.data import IngestConfig
from edgewright.recipe.synth import GenerateConfig
from edgewright.settings import Settings, read_settings
from tasks.engine import session as session_module
from tasks.engine.journal import Journal
from tasks.engine.planner import plan_of
from tasks.engine.session import Session, StageLink, session_open
from tasks.engine.stage import stage
from tasks.engine.tracking import Tracker
from tasks.engine.work import Work
from tasks.serve.prefect_server import PrefectServer, ServerRecord, is_server_of, live_server, prefect_server, through


@stage(pools=("cpu",), identify={"source": lambda value, session: value})
def read_words(work: Work, config: IngestConfig, source: str) -> ArtifactRef:
    """Toy."""
    work.on_progress(1, 1, "reading")
    with work.session.store.workspace() as out:
        (out / "words.txt").write_text(source)
        return work.publish(out, kind="words", metrics={"length(words)": float(len(source))})


@stage(pools=("gpu", "fpga"))
def shout(work: Work, config: GenerateConfig, words: ArtifactRef) -> ArtifactRef:
    """Toy."""
    if config.images == 7:
        raise EdgewrightError("seven is refused")
    with work.session.store.workspace() as out:
        (out / "words.txt").write_text(work.open(words).path("words.txt").read_text().upper())
        return work.publish(out, kind="words")


@stage(pools=("cpu",))
def echo(work: Work, config: GenerateConfig, words: ArtifactRef, louder: ArtifactRef | None = None) -> ArtifactRef:
    """Toy, with an input that may be left out."""
    with work.session.store.workspace() as out:
        (out / "words.txt").write_text("".join(work.open(each).ref.sha256 for each in (words, louder) if each))
        return work.publish(out, kind="words")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def settings(home: Path) -> Settings:
    return read_settings({"EDGEWRIGHT_HOME": str(home)})


@pytest.fixture(scope="module")
def tracker(settings: Settings) -> Tracker:
    return Tracker(settings.mlflow_tracking_uri, artifacts=settings.home / "mlflow" / "artifacts")


@pytest.fixture
def session(settings: Settings, tracker: Tracker, tmp_path: Path) -> Session:
    journal = Journal.begin(settings.runs, project="toy", source="s", recipe={}, plan="p")
    parent = tracker.start_parent("toy", run_id=journal.run_id)
    return Session(
        settings=settings,
        store=LocalStore(tmp_path / "store"),
        tracker=tracker,
        journal=journal,
        link=StageLink(project="toy", run_id=journal.run_id, mlflow_parent=parent),
        trusted_source=True,
    )


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[PrefectServer]:
    from prefect.settings import PREFECT_HOME, temporary_settings

    with prefect_server(settings) as running:
        running.wait()
        with temporary_settings({PREFECT_HOME: settings.home / "prefect"}), through(running):
            yield running


def toy_flow(images: int = 1) -> Any:
    from prefect import flow

    @flow(name="toy", persist_result=False)
    def toy(source: str) -> None:
        shout(GenerateConfig(images=images), read_words(IngestConfig(), source))

    return toy


def children_of(session: Session) -> list[Any]:
    experiment = session.tracker.experiment_of(session.link.mlflow_parent)
    condition = f"tags.`mlflow.parentRunId` = '{session.link.mlflow_parent}'"
    return list(session.tracker.client.search_runs([experiment], condition))


def mlflow_children(session: Session) -> dict[str, str]:
    """Name → status."""
    return {child.info.run_name: child.info.status for child in children_of(session)}


def key_of(config: IngestConfig, session: Session) -> str:
    return read_words.key(config, {"source": "a"}, session=session)


def test_a_task_is_tagged_for_every_pool() -> None:
    assert shout.task.tags == {"pool:gpu", "pool:fpga"}
    assert shout.pool == "gpu"


def test_for_a_tier_equal_work_has_an_equal_key_and_another_title(session: Session, server: PrefectServer) -> None:
    from prefect import flow

    @flow(name="tiers", persist_result=False)
    def toy() -> None:
        words = read_words(IngestConfig(), "tiered")
        shout(GenerateConfig(), words)
        shout.for_tier("basic")(GenerateConfig(), words)
        shout.for_tier("optimized")(GenerateConfig(images=2), words)

    assert shout.for_tier("full") is shout
    with session_open(session):
        toy()
    rows = session.journal.public["stages"]
    assert [(row["name"], row["cached"]) for row in rows] == [
        ("read_words", False),
        ("shout", False),
        ("shout@basic", True),
        ("shout@optimized", False),
    ]
    refs = session.journal.state["refs"]
    assert refs["shout@basic"] == refs["shout"] != refs["shout@optimized"]
    assert set(mlflow_children(session)) == {"read_words", "shout", "shout@optimized"}
    tagged = {child.data.tags.get("edgewright.tier") for child in children_of(session)}
    assert tagged == {None, "optimized"}
    with session_open(replace(session, excluded=frozenset({"shout"}))):
        toy()
    assert [row["state"] for row in plan_of(toy.fn, session)] == ["cached"] * 4


def test_a_stage_that_is_begun_for_a_tier_is_told_so_by_its_link(
    session: Session, server: PrefectServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker begins it, which knows its home by the environment; what may be left out is."""
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(settings.home))
    words = read_words.execute(IngestConfig(), {"source": "linked"}, session=session, key="1" * 64)
    link = session.link.model_copy(update={"tier": "basic", "seed": 3})
    made = echo.flow(GenerateConfig(), words, link=link)
    assert session.store.open(ArtifactRef.from_json(made)).manifest.content.inputs == {"words": words.sha256}
    assert mlflow_children(session)["echo@basic"] == "FINISHED"


def test_an_unknown_pool_is_refused() -> None:
    with pytest.raises(EdgewrightError, match="quantum"):
        stage(pools=("quantum",))


def test_a_flow_has_a_typed_form() -> None:
    form = shout.flow.parameters
    assert list(form.properties) == ["config", "words", "link"]
    assert form.required == ["config", "words"]


def test_a_second_run_takes_everything_from_the_store(session: Session, server: PrefectServer) -> None:
    with session_open(session):
        for _ in range(2):
            toy_flow()("hello")
    rows = session.journal.public["stages"]
    assert [(row["name"], row["pool"], row["cached"]) for row in rows] == [
        ("read_words", "cpu", True),
        ("shout", "gpu", True),
    ]
    assert rows[0]["ran_on"]["router"] == "inline"
    assert mlflow_children(session) == {"read_words": "FINISHED", "shout": "FINISHED"}, "it has done them itself"
    ref = ArtifactRef.from_json(session.journal.state["refs"]["shout"])
    assert session.store.open(ref).path("words.txt").read_text() == "HELLO"


def test_prefect_shows_tags_edges_and_cached_states(session: Session, server: PrefectServer) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with session_open(session):
        toy_flow()("edges")
        state = toy_flow()("edges", return_state=True)
    only = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        for _ in range(100):  # task runs reach the server as events, a moment later
            runs = {run.name: run for run in client.read_task_runs(flow_run_filter=only) if run.state.is_final()}
            if len(runs) == 2:
                break
            time.sleep(0.1)
    assert runs["shout"].state.name == "Cached"
    assert set(runs["shout"].tags) == {"pool:fpga", "pool:gpu"}
    assert runs["shout"].task_inputs["words"][0].id == runs["read_words"].id


def test_stages_are_heard_on_prefects_pages(session: Session, server: PrefectServer) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.logging.handlers import APILogWorker

    with session_open(session):
        toy_flow()("heard")
        again = toy_flow()("heard", return_state=True)
        failed = toy_flow(images=7)("heard", return_state=True)
    APILogWorker.drain_all(timeout=10)
    flow_runs = [state.state_details.flow_run_id for state in (again, failed)]
    with get_client(sync_client=True) as client:
        logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=flow_runs)), limit=200)
    said = {(log.level, log.message.partition(", file:")[0].partition(", made")[0]) for log in logs}
    assert (logging.INFO, "shout: taken from the store") in said
    assert (logging.INFO, "shout: begins (gpu)") in said
    assert (logging.ERROR, "shout: seven is refused") in said


def test_an_error_keeps_its_type_through_prefect(session: Session, server: PrefectServer) -> None:
    with session_open(session), pytest.raises(EdgewrightError, match="seven is refused"):
        toy_flow(images=7)("hello")
    assert mlflow_children(session) == {"read_words": "FINISHED", "shout": "FAILED"}
    assert next(c.data.metrics for c in children_of(session) if c.data.metrics) == {"length_words_": 5.0}


def test_another_run_shows_what_it_took_from_the_store(
    session: Session, server: PrefectServer, tracker: Tracker
) -> None:
    with session_open(session):
        toy_flow()("taken")
    parent = tracker.start_parent("toy", run_id="again")
    other = replace(session, link=session.link.model_copy(update={"mlflow_parent": parent}))
    with session_open(other):
        toy_flow(images=2)("taken")
    assert mlflow_children(other) == {"read_words (cached)": "FINISHED", "shout": "FINISHED"}
    shouted = next(child for child in children_of(other) if child.info.run_name == "shout")
    assert (shouted.data.params["shout.images"], shouted.data.params["seed"]) == ("2", "0")
    assert shouted.data.tags["mlflow.note.content"] == "Toy."
    read = next(child for child in children_of(other) if child.info.run_name != "shout")
    assert (read.data.params["source"], read.data.metrics) == ("taken", {"length_words_": 5.0})


def test_a_stage_done_again_joins_its_mlflow_run(session: Session) -> None:
    inputs = {"source": "again"}
    key = read_words.key(IngestConfig(), inputs, session=session)
    for _ in range(2):
        read_words.execute(IngestConfig(), inputs, session=session, key=key)
    assert mlflow_children(session) == {"read_words": "FINISHED"}


def test_stages_after_until_are_skipped(session: Session, server: PrefectServer) -> None:
    with session_open(replace(session, excluded=frozenset({"shout"}))):
        toy_flow()("until")
    assert [row["name"] for row in session.journal.public["stages"]] == ["read_words"]


def test_from_needs_the_stages_before_it_and_does_the_rest_anew(session: Session, server: PrefectServer) -> None:
    later = replace(session, required=frozenset({"read_words"}), refresh=frozenset({"shout"}))
    with session_open(later), pytest.raises(ArtifactMissing, match="read_words"):
        toy_flow()("from")
    with session_open(session):
        toy_flow()("from")
    with session_open(later):
        toy_flow()("from")
    assert [row["cached"] for row in session.journal.public["stages"]] == [True, False]


def test_a_plan_runs_nothing(session: Session) -> None:
    rows = plan_of(toy_flow().fn, session, "plan")
    assert [(row["name"], row["state"]) for row in rows] == [("read_words", "to run"), ("shout", "to run")]
    assert list(session.store.digests()) == []


def test_a_plan_knows_what_the_store_knows(session: Session, server: PrefectServer) -> None:
    with session_open(session):
        toy_flow()("known")
    rows = plan_of(toy_flow(images=2).fn, session, "known")
    assert [(row["name"], row["state"]) for row in rows] == [("read_words", "cached"), ("shout", "to run")]
    later = plan_of(toy_flow().fn, replace(session, excluded=frozenset({"shout"})), "known")
    assert [row["state"] for row in later] == ["cached", "skipped"]


def test_every_part_of_the_work_changes_the_key(session: Session) -> None:
    other_seed = replace(session, link=StageLink(project="toy", seed=1))
    keys = {
        key_of(IngestConfig(), session),
        key_of(IngestConfig(min_images=11), session),
        key_of(IngestConfig(), other_seed),
        read_words.key(IngestConfig(), {"source": "b"}, session=session),
    }
    assert len(keys) == 4
    assert key_of(IngestConfig(), session) == key_of(IngestConfig(), session)


def test_a_stage_is_not_begun_on_a_full_disk(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MIN_FREE_BYTES", 1 << 60)
    with pytest.raises(StoreUnavailable, match="edgewright gc"):
        read_words.execute(IngestConfig(), {"source": "x"}, session=session, key="0" * 64)


@pytest.mark.slow
def test_the_server_dies_with_a_killed_run(tmp_path: Path) -> None:
    code = (
        "import os, signal; from edgewright.settings import read_settings\n"
        "from tasks.serve.prefect_server import PrefectServer\n"
        "server = PrefectServer(read_settings()); server.wait(); print(server.api_url, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "EDGEWRIGHT_HOME": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert killed.stdout.startswith(b"http://127.0.0.1:")
    record = ServerRecord(**json.loads((tmp_path / "prefect" / "server.json").read_bytes()))
    deadline = time.monotonic() + 20
    while is_server_of(record, tmp_path.resolve()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_server_of(record, tmp_path.resolve())
    assert live_server(tmp_path.resolve()) is None
