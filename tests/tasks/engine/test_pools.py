"""Dispatching: what is sent, to which pool, and what a child's end means. The whole of it: tests/slow/test_stack.py."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Completed, Crashed, Failed

from edgewright import errors
from edgewright.artifacts import ArtifactRef
from edgewright.gates.champion import Champion
from edgewright.recipe.data import IngestConfig
from edgewright.recipe.route import RouteConfig
from flows.lifecycle import STAGES
from tasks.engine.pools import failure, may_have_made, never_began, plain, pools_for
from tasks.engine.session import StageLink

REF = ArtifactRef(f"file:///store/artifacts/{'a' * 64}", "a" * 64, "application/vnd.edgewright.words")
BY_NAME: dict[str, Any] = {stage.name: stage for stage in STAGES}


@pytest.mark.parametrize(
    ("stage", "fallback", "expected"),
    [
        ("train_detector", "none", ["gpu"]),
        ("train_detector", "cpu", ["gpu", "cpu"]),
        ("train_detector", "fpga", ["gpu"]),
        ("label", "fpga", ["gpu", "fpga"]),
        ("ingest", "cpu", ["cpu"]),
    ],
)
def test_a_stage_falls_back_to_a_pool_of_its_own_alone(stage: str, fallback: Any, expected: list[str]) -> None:
    assert pools_for(BY_NAME[stage], RouteConfig(fallback=fallback)) == expected


@pytest.mark.parametrize("value", [REF, Champion(), Champion(REF), IngestConfig(), StageLink(seed=3), "photographs"])
def test_what_is_sent_is_json_and_comes_back(value: Any) -> None:
    """As Prefect reads it: by the type that the deployment's flow declares."""
    from pydantic import TypeAdapter

    sent = json.loads(json.dumps(plain(value)))
    assert TypeAdapter(type(value)).validate_python(sent) == value


def test_a_form_that_names_no_champion_is_read() -> None:
    """As it stands in the form of a deployment of `gate_model`."""
    from pydantic import TypeAdapter

    assert TypeAdapter(Champion).validate_python({}) == Champion()


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        (
            Failed(message="Flow run encountered an exception: InputError: no images (got 0). Next: look"),
            errors.InputError,
            "no images (got 0). Next: look",
        ),
        (
            Failed(message="Flow run encountered an exception: RuntimeError: CUDA error"),
            errors.StageFailed,
            "RuntimeError: CUDA error. Next: the traceback is in the flow run's log",
        ),
        (
            Crashed(message="Flow run process exited with status -9"),
            errors.StageFailed,
            "label ended without a result (got Crashed: Flow run process exited with status -9, in pool gpu, ",
        ),
        (Cancelled(), errors.StageFailed, "label was cancelled (got Cancelled, in pool gpu, flow run calm-otter)"),
        (Completed(), errors.StageFailed, "label ended without a result (got Completed, in pool gpu, "),
    ],
    ids=["ours", "a stranger's", "killed", "cancelled", "no result"],
)
def test_how_a_child_ended_is_raised(state: State[Any], kind: type[Exception], said: str) -> None:
    error = failure(state, "label", "gpu", name="calm-otter")
    assert type(error) is kind
    assert str(error).startswith(said)


@pytest.mark.parametrize(
    ("state", "ran_s", "expected"),
    [
        (Crashed(), 0, True),  # its worker died before its process was there
        (Crashed(), None, True),
        (Crashed(), 3, False),
        (Failed(), 0, False),  # Prefect could not even load it: it would not the next time
        (Completed(), 3, False),
    ],
)
def test_what_died_before_it_began_may_be_dispatched_again(
    state: State[Any], ran_s: int | None, expected: bool
) -> None:
    """Prefect writes the end into a beginning that it has not been told of."""
    end = datetime.now(UTC)
    begin = None if ran_s is None else end - timedelta(seconds=ran_s)
    child = FlowRun(flow_id=uuid4(), state=state, start_time=begin, end_time=end)
    assert never_began(child) == expected


@pytest.mark.parametrize(
    ("state", "expected"), [(Completed(), True), (Crashed(), True), (Failed(), False), (Cancelled(), False)]
)
def test_whose_work_is_looked_for_in_the_store(state: State[Any], expected: bool) -> None:
    """One that crashed may have made everything, and nobody was there to be told."""
    assert may_have_made(state) == expected
