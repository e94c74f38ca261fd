"""The distance of a network to its teacher."""

from __future__ import annotations

import torch

from edgewright.detect.distill import Said, distance, taught_by


def said(*, seed: int) -> Said:
    torch.manual_seed(seed)
    return Said(torch.randn(2, 5, 3, requires_grad=True), torch.randn(2, 5, 4, requires_grad=True))


def test_it_is_least_where_both_say_the_same() -> None:
    teacher = said(seed=0)
    same = Said(*(one.detach().clone().requires_grad_() for one in (teacher.logits, teacher.boxes)))
    distance(same, teacher).backward()
    for one in (same.logits, same.boxes):
        assert one.grad is not None
        assert one.grad.abs().max() == 0
    assert distance(said(seed=1), teacher) > distance(same, teacher)
    assert teacher.logits.grad is None, "the teacher does not learn"


def test_a_place_that_holds_nothing_for_the_teacher_may_have_any_box() -> None:
    nothing = Said(torch.full((1, 2, 1), -30.0), torch.zeros(1, 2, 4))
    moved = Said(nothing.logits, torch.ones(1, 2, 4))
    assert distance(moved, nothing) < 1e-6
    sure = Said(torch.full((1, 2, 1), 5.0), torch.zeros(1, 2, 4))
    assert distance(Said(sure.logits, moved.boxes), sure) > 0.4


def test_a_teacher_keeps_its_statistics() -> None:
    teacher = taught_by(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2)))
    before = teacher.state_dict()["1.running_mean"].clone()
    assert not teacher(torch.randn(4, 3, 8, 8)).requires_grad
    assert torch.equal(teacher.state_dict()["1.running_mean"], before)
