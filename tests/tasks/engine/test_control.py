"""Steps that only decide: their plain function works where no task is, as a flow that must suspend calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.artifacts import ArtifactRef, Content, LocalStore, Record
from edgewright.errors import GateEnded
from edgewright.gates.verdict import VERDICT_FILE, Outcome, Verdict
from tasks.engine.control import control
from tasks.engine.enforce import enforce_data
from tasks.engine.planner import Planner
from tasks.engine.session import Session, session_open

OpenSession = Callable[[LocalStore], Session]


def publish_verdict(store: LocalStore, decision: str) -> ArtifactRef:
    verdict = Verdict("gate_data", Outcome.REFUSE, (), "Copies.", decision)
    with store.workspace() as out:
        (out / VERDICT_FILE).write_text(json.dumps(verdict.to_json()))
        return store.publish(out, Content(kind="dataset_training", stage="gate_data"), Record())


def test_a_verdict_is_enforced_outside_a_task(open_session: OpenSession, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    session = open_session(store)
    ref = publish_verdict(store, "real_only")
    with session_open(session):
        assert enforce_data.fn(ref) == ref
        assert session.journal.public["gates"][0]["verdict"] == "refuse"
        with pytest.raises(GateEnded, match="Copies"):
            enforce_data.fn(publish_verdict(store, "end"))


def test_a_plan_decides_nothing(open_session: OpenSession, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    session, ref = open_session(store), publish_verdict(store, "end")
    with session_open(replace(session, caller=Planner())):
        assert enforce_data(ref) == ref
    assert session.journal.public["gates"] == []


def test_a_step_stands_in_the_graph_as_control() -> None:
    @control
    def decide(given: ArtifactRef) -> ArtifactRef:
        return given

    assert (decide.task.name, decide.task.tags) == ("decide", {"pool:control"})
