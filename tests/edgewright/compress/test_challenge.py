"""Two models on the same test photographs: cell detectors, whose boxes are a little too large or just right."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.artifacts import Artifact, LocalStore
from edgewright.compress.challenge import challenge
from edgewright.compress.files import INT8_FILE, SPEC_FILE
from edgewright.compress.measure import dataset_samples, judged_rows
from edgewright.data.dataset import Dataset
from edgewright.detect.evaluate import evaluate
from edgewright.detect.matching import Matched
from edgewright.errors import ArtifactCorrupt
from edgewright.gates.champion import Champion, Comparison
from edgewright.runtime.session import EVALUATION_SCORE_THRESHOLD, ModelSpec, load_network, predictor
from tests.cells import publish_cell_model, publish_cells

RIGHT_PX, LARGE_PX = 28.0, 32.0


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def photographs(store: LocalStore) -> Dataset:
    return publish_cells(store, n=8)


def matched(model: Artifact, dataset: Dataset) -> Matched:
    spec = ModelSpec.from_json(model.json(SPEC_FILE))
    predict = predictor(load_network(model.path(INT8_FILE)), spec, score_threshold=EVALUATION_SCORE_THRESHOLD)
    found = evaluate(predict, dataset_samples(dataset, judged_rows(dataset)), classes=spec.classes, collect=True)
    assert found.matched is not None
    return found.matched


def compare(challenger: Artifact, champion: Artifact, dataset: Dataset) -> Comparison:
    whom = Champion(champion.ref)
    return challenge(matched(challenger, dataset), whom, champion, dataset, seed=0, threads=1)


def test_a_model_against_its_equal_differs_by_nothing(store: LocalStore, photographs: Dataset) -> None:
    """Surer of everything, and right just as often."""
    one, other = publish_cell_model(store), publish_cell_model(store, gain=0.9)
    found = compare(one, other, photographs)
    assert found.paired is not None
    assert (found.champion, found.problem, found.paired.n_images) == (other.ref.sha256[:12], "", 8)
    assert (found.paired.difference, found.paired.low, found.paired.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("ours", "theirs", "sign"), [(RIGHT_PX, LARGE_PX, 1), (LARGE_PX, RIGHT_PX, -1)])
def test_the_better_boxes_win(store: LocalStore, photographs: Dataset, ours: float, theirs: float, sign: int) -> None:
    found = compare(publish_cell_model(store, box_px=ours), publish_cell_model(store, box_px=theirs), photographs)
    assert found.paired is not None
    assert sign * (found.paired.difference or 0) == pytest.approx(0.4)  # IoU (28 / 32)² = 0.77: 6 of 10 thresholds
    assert sign * (found.paired.low or 0) > 0


@pytest.mark.parametrize("classes", [("green", "red"), ("red", "blue"), ("red", "green", "blue")])
def test_a_champion_of_other_classes_is_named_and_not_compared(
    store: LocalStore, photographs: Dataset, classes: tuple[str, ...]
) -> None:
    found = compare(publish_cell_model(store), publish_cell_model(store, classes=classes), photographs)
    theirs = ", ".join(classes)
    assert found.paired is None
    assert found.problem == f"it knows other classes ({theirs}) than the data set (red, green)"


def test_a_champion_that_no_longer_runs_is_not_compared(store: LocalStore, photographs: Dataset) -> None:
    model = publish_cell_model(store)
    with store.workspace() as out:
        (out / INT8_FILE).write_bytes(b"no network")
        (out / SPEC_FILE).write_bytes(model.path(SPEC_FILE).read_bytes())
        broken = store.open(store.publish(out, model.manifest.content, model.manifest.record))
    found = compare(model, broken, photographs)
    assert (found.paired, found.problem.startswith("this version cannot run it: ")) == (None, True)


def test_a_champion_whose_bytes_changed_ends_the_stage(store: LocalStore, photographs: Dataset) -> None:
    """It was whole when it was looked up; a verdict on it would be remembered."""
    model, champion = publish_cell_model(store), publish_cell_model(store, gain=0.5)
    path = champion.path(INT8_FILE)
    path.chmod(0o644)
    path.write_bytes(b"x")
    with pytest.raises(ArtifactCorrupt, match="bytes differ"):
        compare(model, champion, photographs)
