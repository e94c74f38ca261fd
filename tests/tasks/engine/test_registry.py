"""A registered detector: what a version holds, and that MLflow loads it as a function from picture to table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.artifacts import LocalStore
from edgewright.errors import InputError
from edgewright.gates.verdict import Outcome, Verdict
from tasks.engine.registry import register_models
from tasks.engine.session import Session
from tests.cells import cell_picture, publish_cell_model

PASSED = Verdict("gate_model", Outcome.PASS, (), "It fits the device.", "release")
REFUSED = Verdict("gate_model", Outcome.REFUSE, (), "It lost too much.", "end")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def session(store: LocalStore, open_session: Callable[[LocalStore], Session]) -> Session:
    return open_session(store)


def test_a_champion_is_loaded_and_finds_what_the_device_finds(
    session: Session, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    versions = register_models(session, publish_cell_model(store, gain=1.0), PASSED)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", session.tracker.uri)
    loaded = mlflow.pyfunc.load_model("models:/edgewright-parts@champion")
    found = loaded.predict(cell_picture(red=0, green=3))
    assert list(found.columns) == ["x1", "y1", "x2", "y2", "score", "class_name"]
    assert list(found["class_name"]) == ["red", "green"]
    assert found[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == [[2, 2, 30, 30], [34, 34, 62, 62]]
    assert len(loaded.predict(np.zeros((50, 90, 3), np.uint8))) == 0, "any size; nothing found is an empty table"
    above = loaded.predict(cell_picture(red=0, green=3), params={"score_threshold": float(found["score"].max()) + 1e-3})
    assert len(above) == 0, "the threshold is the caller's where one is given"
    with pytest.raises(InputError, match="0 to 1"):
        loaded.predict(cell_picture(red=0, green=3), params={"score_threshold": 1.5})
    floating = mlflow.pyfunc.load_model(f"models:/edgewright-parts/{versions['float']}")
    assert floating.predict(cell_picture(red=1, green=2))["score"].min() > found["score"].max()


def test_a_version_says_what_it_is_and_holds_no_pickle(session: Session, store: LocalStore) -> None:
    from mlflow.models import Model

    versions = register_models(session, publish_cell_model(store, gain=0.9), PASSED)
    version = session.tracker.client.get_model_version("edgewright-parts", versions["int8"])
    assert "int8 detector of 2 classes (red, green), 64 px input" in version.description
    assert version.description.endswith("It fits the device.")
    assert "champion" in session.tracker.client.get_registered_model("edgewright-parts").description
    folder = Path(version.source.removeprefix("file://"))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "model_code.py", "artifacts/model.onnx", "artifacts/spec.json", "input_example.json"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle"))]
    signature = Model.load(str(folder)).signature
    assert [one.shape for one in signature.inputs.inputs] == [(-1, -1, 3)]
    assert signature.outputs.input_names()[-1] == "class_name"


def test_an_equal_model_is_not_added_again_and_a_refused_one_is_no_champion(
    session: Session, store: LocalStore
) -> None:
    client = session.tracker.client
    first = register_models(session, publish_cell_model(store, gain=0.8), PASSED)
    assert register_models(session, publish_cell_model(store, gain=0.8), PASSED) == first
    refused = register_models(session, publish_cell_model(store, gain=0.7), REFUSED)
    aliases = client.get_registered_model("edgewright-parts").aliases
    assert (str(aliases["champion"]), str(aliases["challenger"])) == (first["int8"], refused["int8"])
    second = register_models(session, publish_cell_model(store, gain=0.6), PASSED)
    aliases = client.get_registered_model("edgewright-parts").aliases
    assert (str(aliases["champion"]), str(aliases["previous"])) == (second["int8"], first["int8"])
    tags = client.get_model_version("edgewright-parts", second["int8"]).tags
    assert (tags["precision"], tags["float_version"], tags["gate"]) == ("int8", second["float"], "true")
