"""A file that holds as it is written and collapses with saturation is told from one that holds, and refused."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from edgewright.artifacts import Artifact, Content, Record, Store
from edgewright.compress.files import FACTS_FILE, INT8_FILE, SAFE_FILE
from edgewright.compress.forms import Form, forms_of
from edgewright.compress.measure import dataset_samples
from edgewright.compress.measure_files import FileMeasurement, measure_file
from edgewright.compress.safe import make_safe
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Label, Row
from edgewright.detect.evaluate import Evaluation, evaluate
from edgewright.gates.file_checks import FileEvidence, file_checks
from edgewright.gates.verdict import Outcome, combine
from edgewright.recipe.gates import GateModelConfig
from edgewright.runtime.preprocess import letterbox
from edgewright.runtime.session import EVALUATION_SCORE_THRESHOLD, Network, predictor
from tests.convolutions import CELL_PX, SPEC, yellow_detector, yellow_picture
from tests.scenes import publish_dataset


@pytest.fixture(scope="module")
def cells(store: Store) -> Dataset:
    pairs = []
    for number, (bright, pale) in enumerate([(3, 0), (2, 1), (1, 0), (3, 2)]):
        y, x = (CELL_PX * place + 2 for place in divmod(bright, 2))
        label = Label(0, 0, (x, y, x + 28, y + 28))
        row = Row(f"{number}.png", "", width=64, height=64, split="test", origin="real", labels=(label,), state="human")
        pairs.append((row, encode_png(yellow_picture(bright, pale))))
    return publish_dataset(store, pairs, classes=SPEC.classes)


@pytest.fixture(scope="module")
def model(store: Store) -> Artifact:
    floats, int8 = yellow_detector()
    seen = [letterbox(yellow_picture(bright=3, pale=0), size_px=SPEC.input_px)[0]]
    layers = [{"name": "conv", "error": 0.01}]
    with store.workspace() as out:
        (out / INT8_FILE).write_bytes(int8.SerializeToString())
        (out / SAFE_FILE).write_bytes(make_safe(int8, floats, seen, max_loss=1.0).model.SerializeToString())
        (out / FACTS_FILE).write_text(json.dumps({"layers": {INT8_FILE: layers, SAFE_FILE: layers}}))
        return store.open(store.publish(out, Content(kind="int8_model", stage="quantize"), Record()))


def measured(model: Artifact, cells: Dataset, file: str, *, of: str | None = None) -> FileMeasurement:
    """`of`: the file whose networks are judged in its place."""
    rows = cells.select(split="test")

    def judge(what: str, network: Network, shown: Sequence[Row]) -> Evaluation:
        predict = predictor(network, SPEC, score_threshold=EVALUATION_SCORE_THRESHOLD)
        return evaluate(predict, dataset_samples(cells, shown), classes=SPEC.classes)

    return measure_file(model, file, forms_of(model.path(of or file), threads=1), rows, judge=judge, known={})


def outcome(name: str, file: FileMeasurement) -> Outcome:
    evidence = FileEvidence.from_json(file.to_json())
    return combine(list(file_checks({name: evidence}, GateModelConfig(), float_map50_95=1.0)))


def test_weights_of_eight_bits_collapse_with_saturation_and_are_not_asked_to_hold(
    model: Artifact, cells: Dataset
) -> None:
    file = measured(model, cells, INT8_FILE)
    assert file.forms[Form.WRITTEN].map50 == 1.0
    assert (file.forms[Form.SATURATED].map50 or 0) < 0.6
    assert (file.saturating, file.forms[Form.SATURATED].decides) == (1, False)
    assert outcome(INT8_FILE, file) is Outcome.PASS


def test_the_safe_file_holds_in_every_form(model: Artifact, cells: Dataset) -> None:
    file = measured(model, cells, SAFE_FILE)
    assert {form: (found.map50, found.decides) for form, found in file.forms.items()} == {
        Form.RUN: (1.0, True),
        Form.WRITTEN: (1.0, True),
        Form.SATURATED: (1.0, True),
    }
    assert outcome(SAFE_FILE, file) is Outcome.PASS


def test_a_safe_file_that_only_holds_without_saturation_is_refused(model: Artifact, cells: Dataset) -> None:
    file = measured(model, cells, SAFE_FILE, of=INT8_FILE)
    assert file.forms[Form.WRITTEN].map50 == 1.0
    assert outcome(SAFE_FILE, file) is Outcome.REFUSE


def test_round_trip(model: Artifact, cells: Dataset) -> None:
    file = measured(model, cells, SAFE_FILE)
    assert FileMeasurement.from_json(json.loads(json.dumps(file.to_json(), allow_nan=False))) == file
