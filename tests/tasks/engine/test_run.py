"""A run's life, with and without a command line around it: what is written down when it ends, and what is continued."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client

from edgewright.errors import ArtifactMissing, HomeBusy, InputError, SourceError, StoreUnavailable
from edgewright.experiment.plan import EfficiencyConfig
from edgewright.recipe import Recipe, resolve
from edgewright.settings import Settings, read_settings
from flows.label_efficiency import label_efficiency
from flows.lifecycle import lifecycle
from tasks.engine.journal import find_journal, journals
from tasks.engine.run import Request, make_request, open_run, pipeline, request_of, require_ready
from tasks.engine.session import current_session, may_read, session_open
from tasks.serve.prefect_server import prefect_server, through
from tests.listeners import closed_port

STAGES = ("a", "b", "c")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path))
    return read_settings()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with prefect_server(read_settings({"EDGEWRIGHT_HOME": str(tmp_path_factory.mktemp("served"))})) as server:
        server.wait()
        with through(server):
            yield


def request(**changes: object) -> Request:
    return make_request(resolve("demo"), source="simulated", stages=STAGES, **changes)


@pytest.mark.parametrize(
    ("asked", "required", "refreshed", "excluded"),
    [
        ({}, "", "", ""),
        ({"from_stage": "b"}, "a", "bc", ""),
        ({"until": "b"}, "", "", "c"),
        ({"from_stage": "b", "until": "b"}, "a", "bc", "c"),
    ],
)
def test_parts_of_a_flow(asked: dict[str, str], required: str, refreshed: str, excluded: str) -> None:
    made = request(**asked)
    assert (made.required, made.refresh, made.excluded) == (
        frozenset(required),
        frozenset(refreshed),
        frozenset(excluded),
    )


@pytest.mark.parametrize("asked", [{"from_stage": "x"}, {"until": "x"}, {"from_stage": "c", "until": "a"}])
def test_parts_that_are_none_are_refused(asked: dict[str, str]) -> None:
    with pytest.raises(InputError):
        request(**asked)


def test_whatever_changes_the_work_changes_the_plan() -> None:
    other = make_request(resolve("demo", overrides=["seed=1"]), source="simulated", stages=STAGES)
    plans = [
        request().plan,
        other.plan,
        request(project="x").plan,
        request(until="b").plan,
        request(flow="other").plan,
        request(flow="other", told={"config": {"n": 1}}).plan,
    ]
    assert len(set(plans)) == len(plans)


def test_a_run_that_fails_says_so_and_is_continued(settings: Settings) -> None:
    with pytest.raises(SourceError), open_run(request(), settings) as session:
        raise SourceError("gone")
    state = session.journal.state
    assert (state["status"], state["error"]["kind"]) == ("failed", "SourceError")
    assert Path(state["report"]).is_file()
    parent = session.tracker.client.get_run(session.link.mlflow_parent)
    assert (parent.info.status, parent.info.run_name) == ("FAILED", f"demo demo {session.journal.run_id}")
    assert parent.data.tags["mlflow.note.content"] == "The run ended early: gone."
    assert parent.data.tags["mlflow.source.name"] == "flows/lifecycle.py"
    address = f"/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}?workflowType=machine_learning"
    assert address in Path(state["report"]).read_text()
    assert request_of(session.journal, stages=STAGES).plan == request().plan
    with open_run(request(), settings) as again:
        assert again.journal.run_id == session.journal.run_id
        assert again.link.mlflow_parent == session.link.mlflow_parent
    assert (again.journal.state["status"], again.journal.state["error"]) == ("finished", None)


def test_where_mlflow_does_not_take_it_the_journal_says_so(tmp_path: Path) -> None:
    """And it has come to no result, so `latest` is another."""
    port = closed_port()
    elsewhere = read_settings({"EDGEWRIGHT_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"})
    with pytest.raises(StoreUnavailable, match="MLflow does not take this run"), open_run(request(), elsewhere):
        pytest.fail("it never began")
    [journal] = journals(elsewhere.runs)
    assert (journal.state["status"], journal.state["error"]["kind"]) == ("failed", "StoreUnavailable")
    assert (journal.state["mlflow_run_id"], journal.state["report"]) == (None, None)
    with pytest.raises(ArtifactMissing):
        find_journal(elsewhere.runs, "latest")
    with open_run(request(), read_settings({"EDGEWRIGHT_HOME": str(tmp_path)})) as again:
        assert again.journal == journal, "the same command continues it"


@pytest.mark.parametrize("source", ["nowhere", "empty"])
def test_a_source_that_is_none_leaves_no_run(source: str, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    asked = make_request(resolve("laptop"), source=str(tmp_path / source), stages=STAGES)
    with pytest.raises(SourceError):
        require_ready(asked, settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


def test_one_run_a_home(settings: Settings) -> None:
    with open_run(request(), settings), pytest.raises(HomeBusy), open_run(request(), settings):
        pass


def make_flow(seen: list[object]) -> Flow[..., None]:
    @pipeline(name="toy")
    def toy(recipe: Recipe, source: str) -> None:
        session = current_session()
        assert session is not None
        seen.append((session.link.project, session.trusted_source, session.journal.state["prefect_flow_run_id"] != ""))
        if recipe.seed:
            raise SourceError("seven is refused")

    return toy


def test_a_flow_that_a_worker_starts_opens_a_run_itself(settings: Settings, served: None) -> None:
    seen: list[object] = []
    make_flow(seen)(resolve("demo"), "simulated")
    assert seen == [("demo", False, True)]
    [journal] = journals(settings.home / "experiments")
    assert journal.state["status"] == "finished"
    assert current_session() is None
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(journal.state["prefect_flow_run_id"])
    assert flow_run.name == f"demo demo {journal.run_id}"
    assert set(flow_run.tags) == {"project:demo", "recipe:demo"}


def test_every_flow_knows_its_types() -> None:
    """Types that `engine/run.py` has never heard of: those of the module that the flow stands in."""
    given = {"recipe": resolve("demo"), "config": {"labels": [12]}, "source": "simulated", "results": "results.jsonl"}
    assert isinstance(label_efficiency.validate_parameters(given)["config"], EfficiencyConfig)
    assert isinstance(lifecycle.validate_parameters({"recipe": {}, "source": "simulated"})["recipe"], Recipe)


def test_its_error_is_its_own_and_stands_in_the_journal(settings: Settings, served: None) -> None:
    with pytest.raises(SourceError, match="seven"):
        make_flow([])(resolve("demo", overrides=["seed=1"]), "simulated")
    assert journals(settings.home / "experiments")[0].state["error"]["kind"] == "SourceError"


def test_it_reads_no_source_that_it_may_not(settings: Settings, tmp_path: Path) -> None:
    with open_run(request(trusted=False), settings) as session:
        assert not may_read(tmp_path, settings, trusted=session.trusted_source)


def test_a_run_around_it_is_used(settings: Settings, served: None) -> None:
    seen: list[object] = []
    with open_run(request(), settings) as session, session_open(session):
        make_flow(seen)(resolve("demo"), "simulated")
    assert seen == [("demo", True, True)]
    assert journals(settings.home / "experiments") == []
