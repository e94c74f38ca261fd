"""Which predictions answer for which object, on priors and boxes made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgewright.detect.efficientdet.loss import Truth, assign, detection_loss, generalized_iou, iou
from edgewright.detect.efficientdet.network import Raw


def grid(side: int = 4, stride: float = 8) -> Tensor:
    """(side², 4) priors of two strides' side."""
    at = (torch.arange(side) + 0.5) * stride
    y, x = torch.meshgrid(at, at, indexing="ij")
    size = torch.full((side * side,), 2 * stride)
    return torch.stack([x.reshape(-1), y.reshape(-1), size, size], dim=-1)


def corners(priors: Tensor) -> Tensor:
    return torch.cat([priors[:, :2] - priors[:, 2:] / 2, priors[:, :2] + priors[:, 2:] / 2], dim=-1)


def truth(*objects: tuple[int, float, float, float, float]) -> Truth:
    boxes = torch.tensor([[one[1:] for one in objects] or [(0, 0, 0, 0)]], dtype=torch.float32)
    return Truth(boxes, torch.tensor([[one[0] for one in objects] or [-1]]))


def wanted(*objects: tuple[int, float, float, float, float], n_classes: int = 2) -> Tensor:
    """(A, C) scores, where every prediction is its prior and every score 0.1."""
    priors = grid()
    scores = torch.full((1, len(priors), n_classes), 0.1)
    return assign(scores, corners(priors)[None], priors, truth(*objects)).scores[0]


def test_the_best_aligned_reaches_the_best_overlap() -> None:
    scores = wanted((1, 4, 4, 20, 20))  # the prior at (12, 12) exactly
    assert scores[5, 1] == pytest.approx(1, abs=1e-3)
    assert scores.sum(-1).argmax() == 5
    assert scores[:, 0].sum() == 0, "of its own class alone"
    inside = {5}  # centers strictly inside 4..20: 12 alone on either axis
    assert {int(i) for i in scores.sum(-1).nonzero()} == inside


def test_an_object_in_which_no_center_lies_is_answered_for_by_the_nearest() -> None:
    scores = wanted((0, 13, 13, 15, 15))
    assert {int(i) for i in scores.sum(-1).nonzero()} == {5}
    assert 0 < scores[5, 0] < 0.02, "as well as it overlaps"


def test_one_that_answers_for_two_keeps_the_one_it_overlaps_most() -> None:
    scores = wanted((0, 4, 4, 20, 20), (1, 4, 4, 20, 30))
    assert scores[5, 0] > 0.9 and scores[5, 1] == 0
    assert scores[9, 1] > 0, "the other object has predictions of its own"


def test_a_prediction_that_scores_better_answers_first() -> None:
    priors = grid()
    scores = torch.full((1, 16, 1), 0.01)
    scores[0, 6] = 0.99
    boxes = torch.tensor([[4.0, 4.0, 28.0, 28.0]]).expand(16, -1)[None]  # all overlap it alike
    found = assign(scores, boxes, priors, truth((0, 4, 4, 28, 28))).scores[0, :, 0]
    assert found.argmax() == 6 and found[6] == pytest.approx(1, abs=1e-3)
    assert found[5] == pytest.approx(0.01 / 0.99, rel=0.01)


def test_nothing_there_costs_nothing_but_scores() -> None:
    raw = Raw(torch.full((1, 16, 2), -9.0, requires_grad=True), torch.zeros(1, 16, 4), grid())
    loss = detection_loss(raw, truth())
    assert 0 <= loss.item() < 1e-6
    loss.backward()  # type: ignore[no-untyped-call]


def test_scores_that_are_wanted_cost_less() -> None:
    unsure = torch.full((1, 16, 2), -3.0)
    sure = unsure.clone()
    sure[0, 5, 1] = 3.0
    losses = [
        detection_loss(Raw(logits, torch.zeros(1, 16, 4), grid()), truth((1, 4, 4, 20, 20))).item()
        for logits in (unsure, sure)
    ]
    assert losses[0] > losses[1]


def test_a_box_is_pulled_to_its_object() -> None:
    """Of a prior that lies on the object, shifted right by 0.3 of its width and 1.5 times as high."""
    deltas = torch.zeros(1, 16, 4)
    deltas[0, 5] = torch.tensor([0.3, 0.0, 0.0, 0.4])
    deltas.requires_grad_()
    raw = Raw(torch.zeros(1, 16, 2), deltas, grid())
    detection_loss(raw, truth((1, 4, 4, 20, 20))).backward()  # type: ignore[no-untyped-call]
    assert deltas.grad is not None
    assert deltas.grad[0, 5, 0] > 0 and deltas.grad[0, 5, 3] > 0
    assert deltas.grad[0].abs().sum() == deltas.grad[0, 5].abs().sum(), "of nobody else's"


def test_every_objects_box_counts_alike() -> None:
    """A large one that many answer for and overlap well, and a small one that a single prediction answers for badly."""
    deltas = torch.zeros(1, 64, 4, requires_grad=True)
    raw = Raw(torch.zeros(1, 64, 2), deltas, grid(side=8))
    detection_loss(raw, truth((0, 0, 0, 40, 40), (1, 49, 49, 55, 55))).backward()  # type: ignore[no-untyped-call]
    assert deltas.grad is not None
    pull = deltas.grad[0].abs().sum(-1).reshape(8, 8)
    assert (pull[:5, :5] > 0).sum() > 5 and pull[6, 6] > 0
    assert 0.3 < pull[6, 6] / pull[:5, :5].sum() < 3


@pytest.mark.parametrize(
    ("a", "b", "overlap", "generalized"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1, 1),
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3, 1 / 3),
        ((0, 0, 1, 1), (3, 0, 4, 1), 0, -0.5),  # hull 4, union 2
        ((0, 0, 0, 0), (0, 0, 2, 2), 0, 0),
    ],
)
def test_overlaps(a: tuple[float, ...], b: tuple[float, ...], overlap: float, generalized: float) -> None:
    one, other = torch.tensor([a], dtype=torch.float32), torch.tensor([b], dtype=torch.float32)
    assert float(iou(one, other)) == pytest.approx(overlap, abs=1e-5)
    assert float(generalized_iou(one, other)) == pytest.approx(generalized, abs=1e-5)
