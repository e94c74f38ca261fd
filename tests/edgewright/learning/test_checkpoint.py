"""What a checkpoint holds comes back as it was; what is no whole checkpoint of the same work is none."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from edgewright.learning.checkpoint import Checkpoint
from edgewright.learning.streams import NumpyStream, TorchStream

STATE = {"parts": {"net": {"weight": torch.arange(6.0).reshape(2, 3)}, "moments": {0: {"step": torch.tensor(3.0)}}}}

tensors = st.builds(
    lambda values, dtype: torch.tensor(values).to(dtype),
    st.lists(st.integers(0, 100), max_size=4),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]),
)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
states = st.recursive(
    plain | tensors,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and left.shape == right.shape and bool((left == right).all())
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


@given(state=st.dictionaries(st.text(max_size=4), states, max_size=4))
def test_it_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Any]) -> None:
    keep = Checkpoint(tmp_path_factory.mktemp("kept") / "it.checkpoint", "work", 1)
    keep.save(state)
    assert same(keep.load(), state)


def test_weights_that_two_layers_share_are_kept(tmp_path: Path) -> None:
    keep, shared = Checkpoint(tmp_path / "it.checkpoint", "work", 1), torch.arange(4.0)
    keep.save({"a": shared, "b": shared[1:]})
    assert same(keep.load(), {"a": shared, "b": shared[1:]})


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if at >= 0 else flip(len(data) + at)(data)


def pickled(_: bytes) -> bytes:
    stream = io.BytesIO()
    torch.save({"work_id": "work", **STATE}, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:100],
        lambda data: data[:-20],
        lambda data: data + b"x",
        flip(5),
        flip(60),
        flip(-3),
        pickled,  # what earlier releases kept
        lambda data: save({"net/weight": torch.zeros(2)}, metadata={"plan": "work", "step": "3", "history": "[]"}),
    ],
)
def test_a_damaged_one_is_none(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    keep = Checkpoint(tmp_path / "it.checkpoint", "work", 1)
    keep.save(STATE)
    assert keep.load() is not None
    keep.path.write_bytes(spoil(keep.path.read_bytes()))
    assert keep.load() is None


def test_that_of_other_work_is_none_and_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "it.checkpoint"
    Checkpoint(path, "one", 1).save(STATE)
    assert Checkpoint(path, "other", 1).load() is None
    Checkpoint(path, "other", 1).save(STATE)
    assert Checkpoint(path, "one", 1).load() is None
    assert Checkpoint(tmp_path / "absent", "one", 1).load() is None


def test_streams_go_on_where_they_were(tmp_path: Path) -> None:
    keep = Checkpoint(tmp_path / "it.checkpoint", "work", 1)
    first, second = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    third, fourth = (np.random.default_rng(seed) for seed in (0, 1))
    torch.rand(3, generator=first), third.random(3)
    keep.save({"torch": TorchStream(first).state_dict(), "numpy": NumpyStream(third).state_dict()})
    state = keep.load()
    assert state is not None
    TorchStream(second).load_state_dict(state["torch"])
    NumpyStream(fourth).load_state_dict(state["numpy"])
    assert (torch.rand(9, generator=first) == torch.rand(9, generator=second)).all()
    assert (third.random(9) == fourth.random(9)).all()
