"""Whom a model is compared with, over the life of a project's registry: real MLflow, real store, no training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.artifacts import Artifact, ArtifactRef, Content, LocalStore, Record
from edgewright.compress.files import INT8_FILE
from edgewright.errors import GateEnded, StageFailed, StoreUnavailable
from edgewright.gates.champion import Champion
from edgewright.gates.verdict import VERDICT_FILE, Outcome, Verdict
from edgewright.recipe.gates import GateModelConfig
from tasks.engine.champion import champion_beside, find_champion
from tasks.engine.enforce import enforce_model
from tasks.engine.planner import Planner
from tasks.engine.registry import Registry
from tasks.engine.session import Session, session_open
from tasks.engine.tracking import Tracker
from tasks.gate_model import gate_model
from tests.cells import publish_cell_model
from tests.listeners import closed_port

PASS, REFUSE = Outcome.PASS, Outcome.REFUSE


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def session(store: LocalStore, open_session: Callable[[LocalStore], Session], tmp_path: Path) -> Session:
    """Of a project of its own: the registry is shared by the module's tests."""
    opened = open_session(store)
    return replace(opened, link=opened.link.model_copy(update={"project": tmp_path.name}))


def find(session: Session, model: Artifact, tier: str = "full") -> Champion:
    with session_open(session):
        return find_champion.fn(model.ref, tier)


def judge(session: Session, model: Artifact, outcome: Outcome, *, beside: Champion | None = None) -> ArtifactRef:
    """What `gate_model` leaves behind."""
    compared = find(session, model) if beside is None else beside
    verdict = Verdict("gate_model", outcome, (), "Judged.", "release" if outcome is PASS else "end")
    with session.store.workspace() as out:
        (out / VERDICT_FILE).write_text(json.dumps(verdict.to_json()))
        inputs = {"model": model.ref.sha256, "champion": compared.digest}
        return session.store.publish(out, Content(kind="model_verdict", stage="gate_model", inputs=inputs), Record())


def enforce(session: Session, model: Artifact, outcome: Outcome, tier: str = "full") -> None:
    verdict = judge(session, model, outcome, beside=find(session, model, tier))
    with session_open(session):
        enforce_model.fn(verdict, model.ref, tier)


def key(session: Session, model: Artifact) -> str:
    inputs = {"model": model.ref, "detector": model.ref, "dataset": model.ref, "champion": find(session, model)}
    return gate_model.key(GateModelConfig(), inputs, session=session)


def aliases(session: Session) -> dict[str, str]:
    """Alias => the artifact that it names."""
    registry = Registry(session.tracker, session.link.project)
    return {alias: registry.tags_of(version)["artifact"] for alias, version in registry.aliases.items()}


def test_the_first_model_has_nobody_to_beat(session: Session, store: LocalStore) -> None:
    assert find(session, publish_cell_model(store)) == Champion()


def test_an_unchanged_run_has_an_unchanged_key(session: Session, store: LocalStore) -> None:
    """From its second run on: then it is the champion itself, and what it was compared with then is `previous`."""
    first, second = publish_cell_model(store), publish_cell_model(store, gain=0.9)
    keys = [key(session, first)]
    enforce(session, first, PASS)
    assert key(session, first) == keys[0], "nobody but itself"
    keys.append(key(session, second))
    assert find(session, second) == Champion(first.ref)
    enforce(session, second, PASS)
    assert key(session, second) == keys[1], "previous is the former champion"
    enforce(session, second, PASS)
    assert key(session, second) == keys[1], "and stays so"
    assert find(session, first) == Champion(second.ref), "an older recipe has to beat the champion of now"


def test_a_refused_model_has_an_unchanged_key_too(session: Session, store: LocalStore) -> None:
    first, worse = publish_cell_model(store), publish_cell_model(store, gain=0.9)
    enforce(session, first, PASS)
    before = key(session, worse)
    with pytest.raises(GateEnded):
        enforce(session, worse, REFUSE)
    assert key(session, worse) == before


def test_the_same_file_made_again_is_not_compared_with_itself(session: Session, store: LocalStore) -> None:
    """Changed code publishes another artifact of equal bytes."""
    first = publish_cell_model(store)
    enforce(session, first, PASS)
    with store.workspace() as out:
        for name in first.files:
            (out / name).write_bytes(first.path(name).read_bytes())
        content = replace(first.manifest.content, seed=7)
        again = store.open(store.publish(out, content, Record()))
    assert again.ref != first.ref
    assert find(session, again) == Champion()


def test_aliases_move_by_the_gate_alone(session: Session, store: LocalStore) -> None:
    first, worse, better = (publish_cell_model(store, gain=gain) for gain in (1.0, 0.9, 0.8))
    enforce(session, first, PASS)
    assert aliases(session) == {"champion": first.ref.sha256, "challenger": first.ref.sha256}
    with pytest.raises(GateEnded, match="Judged"):
        enforce(session, worse, REFUSE)
    assert aliases(session) == {"champion": first.ref.sha256, "challenger": worse.ref.sha256}
    enforce(session, better, PASS)
    moved = {"champion": better.ref.sha256, "challenger": better.ref.sha256, "previous": first.ref.sha256}
    assert aliases(session) == moved
    enforce(session, better, PASS)
    assert aliases(session) == moved, "an unchanged run moves nothing"


def test_each_tier_has_its_own_champion(session: Session, store: LocalStore) -> None:
    """A small detector is not compared with a large one; a refusal in one tier moves nothing of another."""
    full, basic, better, worse = (publish_cell_model(store, gain=gain) for gain in (1.0, 0.7, 0.8, 0.6))
    enforce(session, full, PASS)
    assert find(session, basic, "basic") == Champion()
    enforce(session, basic, PASS, "basic")
    assert find(session, better, "basic") == Champion(basic.ref)
    assert find(session, better, "optimized") == Champion()
    enforce(session, better, PASS, "basic")
    with pytest.raises(GateEnded, match=r"Judged.*gate_model@basic"):
        enforce(session, worse, REFUSE, "basic")
    assert aliases(session) == {
        "champion": full.ref.sha256,
        "challenger": full.ref.sha256,
        "champion-basic": better.ref.sha256,
        "previous-basic": basic.ref.sha256,
        "challenger-basic": worse.ref.sha256,
    }
    assert [gate["name"] for gate in session.journal.state["gates"]] == ["gate_model", "gate_model@basic"]


def test_one_file_for_two_tiers_is_one_version_and_the_champion_of_both(session: Session, store: LocalStore) -> None:
    model = publish_cell_model(store)
    enforce(session, model, PASS)
    enforce(session, model, PASS, "optimized")
    registry = Registry(session.tracker, session.link.project)
    assert registry.aliases["champion"] == registry.aliases["champion-optimized"]
    assert find(session, model, "optimized") == Champion(), "it is not compared with itself"


def test_a_pass_against_another_champion_moves_nothing(session: Session, store: LocalStore) -> None:
    """Two runs on one registry: the other one was faster."""
    first, second, third = (publish_cell_model(store, gain=gain) for gain in (1.0, 0.9, 0.8))
    enforce(session, first, PASS)
    judged = judge(session, third, PASS)
    enforce(session, second, PASS)
    with session_open(session), pytest.raises(StageFailed, match="the champion changed while this model was judged"):
        enforce_model.fn(judged, third.ref, "full")
    assert aliases(session)["champion"] == second.ref.sha256


@pytest.mark.parametrize(
    ("name", "payload", "said"),
    [(INT8_FILE, b"x", "bytes differ from the manifest"), ("manifest.json", None, "no such artifact")],
)
def test_a_champion_whose_files_are_gone_or_corrupt_is_handed_on_as_such(
    session: Session, store: LocalStore, name: str, payload: bytes | None, said: str
) -> None:
    first, second = publish_cell_model(store), publish_cell_model(store, gain=0.9)
    enforce(session, first, PASS)
    whole = key(session, second)
    path = store.root / "artifacts" / first.ref.sha256 / name
    kept = path.read_bytes()
    path.chmod(0o644)
    path.unlink() if payload is None else path.write_bytes(payload)
    assert find(session, second) == Champion(first.ref, said)
    assert key(session, second) != whole, "the verdict on it is not the answer for one that is whole"
    path.write_bytes(kept)
    assert key(session, second) == whole


def test_a_version_of_other_hands_is_no_champion_in_silence(session: Session, store: LocalStore) -> None:
    first, second = publish_cell_model(store), publish_cell_model(store, gain=0.9)
    enforce(session, first, PASS)
    registry = Registry(session.tracker, session.link.project)
    session.tracker.client.delete_model_version_tag(registry.name, registry.aliases["champion"], "artifact")
    assert "names no artifact" in find(session, second).unreadable


def test_a_registry_that_does_not_answer_is_not_an_empty_one(
    session: Session, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    gone = replace(session, tracker=Tracker(f"http://127.0.0.1:{closed_port()}", tmp_path))
    model = publish_cell_model(store)
    with pytest.raises(StoreUnavailable, match="which model is the champion"):
        champion_beside(gone, model.ref, "full")
    with session_open(replace(gone, caller=Planner())):
        assert find_champion(model.ref, "full") is None, "a plan says that it does not know"


def test_a_plan_reads_the_registry_and_makes_none(session: Session, store: LocalStore, tmp_path: Path) -> None:
    first, second = publish_cell_model(store), publish_cell_model(store, gain=0.9)
    enforce(session, first, PASS)
    with session_open(replace(session, caller=Planner())):
        assert find_champion(second.ref, "full") == Champion(first.ref)
    fresh = replace(session, tracker=Tracker(f"sqlite:///{tmp_path}/new/mlflow.db", tmp_path), caller=Planner())
    with session_open(fresh):
        assert find_champion(second.ref, "full") == Champion()
    assert not (tmp_path / "new").exists()
