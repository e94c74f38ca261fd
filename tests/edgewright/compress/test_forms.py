"""A file in every form in which some processor computes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgewright.compress.files import INT8_FILE, SAFE_FILE
from edgewright.compress.forms import MUST_HOLD, Form, forms_of
from edgewright.compress.safe import make_safe
from edgewright.runtime.instruction_sets import choose_model, this_processor
from tests.convolutions import conv_models

WHITE = np.ones((1, 2, 8, 8), np.float32)
HERE = choose_model(this_processor(), (INT8_FILE, SAFE_FILE)).file


@pytest.fixture
def files(tmp_path: Path) -> Path:
    floats, int8 = conv_models(np.full((1, 2, 1, 1), 0.5, np.float32))
    (tmp_path / INT8_FILE).write_bytes(int8.SerializeToString())
    (tmp_path / SAFE_FILE).write_bytes(make_safe(int8, floats, [WHITE], max_loss=1.0).model.SerializeToString())
    return tmp_path


def test_weights_of_eight_bits(files: Path) -> None:
    forms = forms_of(files / INT8_FILE, threads=1)
    assert forms.saturating == 1
    assert (Form.RUN in forms.networks) is (HERE == INT8_FILE)
    answers = {form: float(network(WHITE).max()) for form, network in forms.networks.items()}
    assert answers[Form.WRITTEN] == pytest.approx(1.0, abs=0.02)
    assert answers[Form.SATURATED] == pytest.approx(0.5, abs=0.02)
    assert float(forms.shipped(WHITE).max()) == pytest.approx(1.0, abs=0.02)


def test_the_safe_file_runs_everywhere_and_is_one(files: Path) -> None:
    forms = forms_of(files / SAFE_FILE, threads=1)
    assert (forms.saturating, forms.shipped_as) == (0, Form.RUN)
    assert set(forms.networks) == {Form.RUN, Form.WRITTEN}
    assert [float(network(WHITE).max()) for network in forms.networks.values()] == pytest.approx([1, 1], abs=0.02)


def test_only_the_file_for_every_processor_must_hold_with_saturation(files: Path) -> None:
    assert [name for name, forms in MUST_HOLD.items() if Form.SATURATED in forms] == [SAFE_FILE]
    assert {path.name for path in files.iterdir()} == set(MUST_HOLD)


def test_the_file_is_not_changed(files: Path) -> None:
    before = (files / INT8_FILE).read_bytes()
    forms_of(files / INT8_FILE, threads=1)
    assert (files / INT8_FILE).read_bytes() == before
    assert onnx.load_model(files / INT8_FILE).graph.output[0].name == "y"
