"""What EfficientDet-lite minimizes: which predictions answer for which object, and how far they are from it.

Decides by task alignment (Feng et al. 2021, arXiv 2108.07755): of the predictions whose prior's center lies in an
object, the `TOP` with the largest s^alpha u^beta answer for it (s the score of its class, u the overlap, eq. 3), and
their score should be their overlap, scaled so that the best aligned reaches the best overlap (§3.3). An object in which
no center lies is answered for by the priors nearest to its center. Scores by the
varifocal loss (Zhang et al. 2021, arXiv 2008.13367, eq. 2), boxes by generalized IoU (Rezatofighi et al. 2019,
arXiv 1902.09630): the mean over the objects of the mean over what answers for each, weighted by the wanted score. With
one mean over all answers, as TOOD has it, small objects of a rare class learned no box: few answer for them, and those
want little, since their overlap is small.

    loss = detection_loss(module.raw(images), boxes, class_ids)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from edgewright.detect.efficientdet.network import Raw

TOP = 13
ALPHA, BETA = 1.0, 6.0
VARIFOCAL_ALPHA, VARIFOCAL_GAMMA = 0.75, 2.0
BOX_WEIGHT = 2.0
_EPSILON = 1e-7


@dataclass(frozen=True)
class Truth:
    """Objects of a batch, padded. Attributes: boxes: (N, M, 4) x1 y1 x2 y2 px; class_ids: (N, M), -1 where none is."""

    boxes: Tensor
    class_ids: Tensor

    @property
    def there(self) -> Tensor:
        """(N, M) bool."""
        return self.class_ids >= 0


@dataclass(frozen=True)
class Wanted:
    """What each prediction should say.

    Attributes:
        scores: (N, A, C) in [0, 1].
        boxes: (N, A, 4) px, and owner: (N, A) index of the object; both meaningless where no score is wanted.
    """

    scores: Tensor
    boxes: Tensor
    owner: Tensor


def detection_loss(raw: Raw, truth: Truth) -> Tensor:
    """=> scalar float32."""
    logits, boxes = raw.logits.float(), raw.boxes().float()
    wanted = assign(logits.detach().sigmoid(), boxes.detach(), raw.priors, truth)
    weight = wanted.scores.sum(-1)
    total = weight.sum().clamp(min=1)
    chosen = weight > 0
    missed = 1 - generalized_iou(boxes[chosen], wanted.boxes[chosen])
    by_box = (missed * _share(weight, wanted.owner, truth)[chosen]).sum() / truth.there.sum().clamp(min=1)
    return varifocal(logits, wanted.scores) / total + BOX_WEIGHT * by_box


def _share(weight: Tensor, owner: Tensor, truth: Truth) -> Tensor:
    """(N, A) weights => as shares of all that answers for the same object: they sum to 1 an object."""
    total = weight.new_zeros(truth.class_ids.shape).scatter_add(1, owner, weight)
    return weight / total.gather(1, owner).clamp(min=_EPSILON)


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, priors: Tensor, truth: Truth) -> Wanted:
    """(N, A, C) scores and (N, A, 4) boxes of predictions, (A, 4) priors => what they should have been."""
    overlap = iou(truth.boxes[:, :, None], boxes[:, None])  # (N, M, A)
    class_score = scores.transpose(1, 2).gather(1, truth.class_ids.clamp(min=0)[..., None].expand(-1, -1, len(priors)))
    alignment = class_score.pow(ALPHA) * overlap.pow(BETA)
    allowed = _reachable(truth, priors)
    top = torch.where(allowed, alignment, -1.0).topk(min(TOP, len(priors)), dim=-1).indices
    answers = torch.zeros_like(allowed).scatter_(-1, top, value=True) & allowed
    # One that answers for several objects keeps the one that it overlaps most.
    keeper = torch.where(answers, overlap + _EPSILON, 0.0).argmax(dim=1)  # (N, A)
    answers &= torch.arange(answers.shape[1], device=answers.device)[None, :, None] == keeper[:, None]
    alignment, overlap = alignment * answers, overlap * answers
    best = overlap.amax(-1, keepdim=True) / (alignment.amax(-1, keepdim=True) + _EPSILON)
    score = (alignment * best).amax(dim=1)  # (N, A): at most one object is left
    class_id = truth.class_ids.clamp(min=0).gather(1, keeper)
    wanted = torch.zeros_like(scores).scatter_(-1, class_id[..., None], score[..., None])
    return Wanted(wanted, truth.boxes.gather(1, keeper[..., None].expand(-1, -1, 4)), keeper)


def _reachable(truth: Truth, priors: Tensor) -> Tensor:
    """(N, M, A) bool: priors whose center lies in the object; where none does, the nearest one to its center."""
    x, y = priors[:, 0], priors[:, 1]
    x1, y1, x2, y2 = truth.boxes[..., None].unbind(-2)
    inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)
    distance = (x - (x1 + x2) / 2).square() + (y - (y1 + y2) / 2).square()
    nearest = distance <= distance.amin(-1, keepdim=True)
    return torch.where(inside.any(-1, keepdim=True), inside, nearest) & truth.there[..., None]


def varifocal(logits: Tensor, wanted: Tensor) -> Tensor:
    """=> scalar: q-weighted entropy where a score q is wanted, alpha p^gamma elsewhere."""
    score = logits.detach().sigmoid()
    weight = torch.where(wanted > 0, wanted, VARIFOCAL_ALPHA * score.pow(VARIFOCAL_GAMMA))
    return (F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * weight).sum()


def iou(a: Tensor, b: Tensor) -> Tensor:
    """(…, 4) x1 y1 x2 y2, broadcast => (…)."""
    shared, union = _areas(a, b)
    return shared / (union + _EPSILON)


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """(…, 4) => (…) in [-1, 1]: overlap, less the share of the common hull that neither fills."""
    shared, union = _areas(a, b)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    return shared / (union + _EPSILON) - (hull - union) / (hull + _EPSILON)


def _areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    shared = sides.prod(-1)
    return shared, (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
