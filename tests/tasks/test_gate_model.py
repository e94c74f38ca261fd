"""The stage: an untrained detector against a champion that sees everything, and what the stage leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from edgewright.artifacts import ArtifactRef, Content, LocalStore, Record
from edgewright.compress.quantize import quantize
from edgewright.data.dataset import Dataset
from edgewright.detect.graph_file import write_graph
from edgewright.detect.network import GRAPH_FILE, SPEC_FILE, WEIGHTS_FILE
from edgewright.detect.train import FACTS_FILE
from edgewright.gates.champion import CHAMPION_FILE, Champion, Comparison
from edgewright.gates.model_gate import MEASURED_FILE
from edgewright.gates.verdict import VERDICT_FILE, Check, Outcome, Verdict
from edgewright.recipe.compress import QuantizeConfig
from edgewright.recipe.gates import GateModelConfig
from tasks.engine.session import Session
from tasks.gate_model import gate_model
from tests.cells import SPEC, publish_cell_model, publish_cells

OpenSession = Callable[[LocalStore], Session]
CONFIG = GateModelConfig(latency_runs=10)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def photographs(store: LocalStore) -> Dataset:
    return publish_cells(store, n=6, splits=("train", "test"))


@pytest.fixture(scope="module")
def detector(store: LocalStore) -> ArtifactRef:
    """As its random numbers made it."""
    import torch
    from safetensors.torch import save_file

    from edgewright.detect.efficientdet.graph import graph_named
    from edgewright.detect.efficientdet.network import EfficientDet

    torch.manual_seed(0)
    graph = graph_named("efficientdet-slim", n_classes=len(SPEC.classes))
    with store.workspace() as out:
        save_file(EfficientDet(graph).state_dict(), out / WEIGHTS_FILE)
        write_graph(graph.to_json(), out / GRAPH_FILE)
        (out / SPEC_FILE).write_text(json.dumps(SPEC.to_json()))
        (out / FACTS_FILE).write_text("{}")
        return store.publish(out, Content(kind="detector", stage="train_detector"), Record())


@pytest.fixture(scope="module")
def model(store: LocalStore, detector: ArtifactRef, photographs: Dataset) -> ArtifactRef:
    with store.workspace() as out:
        quantize(store.open(detector), photographs, QuantizeConfig(calibration_images=4), out=out, seed=0, threads=1)
        return store.publish(out, Content(kind="int8_model", stage="quantize"), Record())


@pytest.fixture
def judge(
    store: LocalStore,
    open_session: OpenSession,
    model: ArtifactRef,
    detector: ArtifactRef,
    photographs: Dataset,
) -> Callable[..., tuple[ArtifactRef, Session]]:
    def run(champion: Champion, config: GateModelConfig = CONFIG) -> tuple[ArtifactRef, Session]:
        session = open_session(store)
        inputs = {"model": model, "detector": detector, "dataset": photographs.ref, "champion": champion}
        key = gate_model.key(config, inputs, session=session)
        return gate_model.execute(config, inputs, session=session, key=key), session

    return run


def champion_check_of(store: LocalStore, ref: ArtifactRef) -> Check:
    return Verdict.from_json(store.open(ref).json(VERDICT_FILE)).checks[-1]


def test_a_worse_challenger_is_refused_with_numbers(
    store: LocalStore, judge: Callable[..., tuple[ArtifactRef, Session]]
) -> None:
    champion = Champion(publish_cell_model(store).ref)
    ref, session = judge(champion)
    artifact, check = store.open(ref), champion_check_of(store, ref)
    assert (check.outcome, check.n, check.set_at) == (Outcome.REFUSE, 6, "gate_model.max_regression")
    assert check.sentence.startswith("worse than the champion by more than 0.02 (gate_model.max_regression)")
    assert check.high is not None and check.high < 0
    comparison = Comparison.from_json(artifact.json(CHAMPION_FILE))
    assert comparison.paired is not None
    assert comparison.paired.second == pytest.approx(1.0)
    assert artifact.manifest.content.inputs["champion"] == champion.digest
    int8 = artifact.json(MEASURED_FILE)["int8"]
    assert set(int8["by_size"]) == {"small", "medium", "large"}
    assert int8["operating"]["score_threshold"] == int8["calibration"]["from_score"] == 0.25
    client = session.tracker.client
    [child] = client.search_runs(
        [session.tracker.experiment_of(session.link.mlflow_parent)],
        f"tags.`mlflow.parentRunId` = '{session.link.mlflow_parent}'",
    )
    named = {"champion_gain", "champion_low", "int8_recall", "int8_map50_small", "float_map50_95", "parity"}
    assert named - {"parity"} <= set(child.data.metrics)
    assert not [name for name in child.data.metrics if "(" in name]
    assert child.data.params["champion"] == champion.digest


@pytest.mark.parametrize(
    ("champion", "ignored", "outcome", "said"),
    [
        (Champion(), False, Outcome.PASS, "there is no champion yet"),
        (
            Champion(unreadable="version 2 names no artifact"),
            False,
            Outcome.NOT_EVALUABLE,
            "version 2 names no artifact",
        ),
        (
            Champion(unreadable="version 2 names no artifact"),
            True,
            Outcome.NOT_EVALUABLE,
            "gate_model.champion is ignore",
        ),
    ],
)
def test_a_champion_that_is_not_there_is_spoken_of(
    store: LocalStore,
    judge: Callable[..., tuple[ArtifactRef, Session]],
    champion: Champion,
    ignored: bool,
    outcome: Outcome,
    said: str,
) -> None:
    config = CONFIG.model_copy(update={"champion": "ignore"}) if ignored else CONFIG
    check = champion_check_of(store, judge(champion, config)[0])
    assert check.outcome is outcome
    assert said in check.sentence
    assert check.decides is (outcome is Outcome.NOT_EVALUABLE and not ignored)
