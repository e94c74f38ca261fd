"""Engines: what can be tried here, and that each says the same of the same file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.errors import InputError
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine, engines_here, open_network


def test_the_default_comes_first_and_one_thread_never_spins() -> None:
    found = engines_here(cores=8, openvino=True)
    assert found[0] == Engine() == Engine("onnxruntime", 1, spinning=False)
    assert len(set(found)) == len(found)
    assert {(one.name, one.threads) for one in found} == {
        (name, n) for name in ("onnxruntime", "openvino") for n in (1, 4, 8)
    }
    assert {one.threads for one in found if one.spinning} == {4, 8}
    assert {one.name for one in found if one.spinning} == {"onnxruntime"}


@pytest.mark.parametrize("engine", engines_here(cores=2), ids=str)
def test_every_engine_says_the_same(engine: Engine, make_bundle: Callable[..., Path]) -> None:
    bundle = Bundle.load(make_bundle())
    side = bundle.manifest.spec.input_px
    images = np.random.default_rng(0).random((1, 3, side, side), dtype=np.float32)
    expected = open_network(bundle.model, Engine())(images)
    found = open_network(bundle.model, engine)(images)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("name", sorted({engine.name for engine in engines_here()}))
def test_what_is_no_model_is_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model at all")
    with pytest.raises(InputError):
        open_network(path, Engine(name))


@pytest.mark.parametrize("engine", engines_here(cores=2), ids=str)
def test_an_engine_is_read_as_it_was_written(engine: Engine) -> None:
    assert Engine.from_json(engine.to_json()) == engine


@pytest.mark.parametrize(
    "value",
    [{}, {"name": "tpu", "threads": 1, "spinning": False}, {"name": "openvino", "threads": 0, "spinning": False}],
)
def test_what_is_no_engine(value: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Engine.from_json(value)
