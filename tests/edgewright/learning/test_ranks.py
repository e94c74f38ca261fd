"""Two real processes that learn one network, and what becomes of them when one of them fails."""

from __future__ import annotations

import importlib
import multiprocessing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from edgewright.errors import InputError, StageFailed
from edgewright.learning.loop import train
from edgewright.learning.ranks import ALONE, beside
from tests import ranked

FIELD = "train_detector.devices"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module under a name by which a process that begins anew finds it: another package may be called `tests`."""
    monkeypatch.syspath_prepend(Path(ranked.__file__).parent)
    return importlib.import_module("ranked")


@pytest.mark.trains
def test_two_ranks_learn_what_one_would(work: Any, tmp_path: Path) -> None:
    with beside(2, work.learn, tmp_path, folder=tmp_path, field=FIELD) as ranks:
        work.learn(ranks, tmp_path)
        for other in multiprocessing.active_children():
            other.join()
    (mine, losses), (other, others_losses) = (torch.load(tmp_path / f"rank-{rank}.pt") for rank in (0, 1))
    assert losses == others_losses
    for name, value in mine.items():
        assert torch.equal(value, other[name]), name
    alone = train(work.Sums(ALONE), steps=work.STEPS)
    for name, value in alone.network.state_dict().items():
        torch.testing.assert_close(mine[name], value)
    assert [row["loss"] for row in losses] == pytest.approx([row["loss"] for row in alone.losses])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("ranks-")]


@pytest.mark.parametrize(
    ("status", "raised", "said"),
    [(3, StageFailed, "another process of this training ended"), (0, torch.OutOfMemoryError, "another rank")],
    ids=["ended", "memory"],
)
def test_a_rank_that_fails_is_named(work: Any, tmp_path: Path, status: int, raised: type[Exception], said: str) -> None:
    with (
        pytest.raises(raised, match=said),
        beside(2, work.end, status, folder=tmp_path, field=FIELD) as ranks,
    ):
        train(work.Sums(ranks), steps=work.STEPS)
    assert multiprocessing.active_children() == []


def test_nobody_is_left_where_rank_0_fails(work: Any, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    with pytest.raises(Stopped), beside(2, work.learn, tmp_path, folder=tmp_path, field=FIELD):
        raise Stopped
    assert multiprocessing.active_children() == []
    assert not torch.distributed.is_initialized()


def test_work_that_another_process_cannot_read_ends_at_once(tmp_path: Path) -> None:
    """A function that is not a module's own does not come across."""
    with (
        pytest.raises((StageFailed, AttributeError, TypeError)),
        beside(2, partial(lambda *_: None), tmp_path, folder=tmp_path, field=FIELD),
    ):
        pass
    assert multiprocessing.active_children() == []


def test_more_ranks_than_accelerators_are_refused(work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(InputError, match=r"fewer accelerators \(expected at most 1, got 2, in train_detector.devices"),
        beside(2, work.learn, tmp_path, folder=tmp_path, field=FIELD),
    ):
        pass
