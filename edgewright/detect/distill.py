"""What a smaller network should go on saying: a teacher's scores and boxes, place by place (Hinton et al. 2015, arXiv
1503.02531, for a detector).

Decides that every place counts by the score that the teacher gives it, for most places hold nothing: scores by quality
focal loss (Li et al. 2020, arXiv 2006.04388, eq. 3, beta 2), what the head says of boxes by their distance.

    loss = loss + weight * distance(says(raw), says(teacher_raw))
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_BETA = 2.0


@dataclass(frozen=True)
class Said:
    """Attributes: logits: (N, A, C); boxes: (N, A, K), whatever the head says of them, before it is decoded."""

    logits: Tensor
    boxes: Tensor


def distance(said: Said, taught: Said) -> Tensor:
    """=> scalar float32; 0 where they are equal up to the entropy of the scores."""
    logits, wanted = said.logits.float(), taught.logits.float().sigmoid().detach()
    weight = wanted.amax(dim=-1)
    total = weight.sum().clamp(min=1)
    focus = (wanted - logits.sigmoid()).abs() ** _BETA
    by_score = (F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * focus).sum()
    apart = F.smooth_l1_loss(said.boxes.float(), taught.boxes.float().detach(), reduction="none").mean(dim=-1)
    return (by_score + (apart * weight).sum()) / total


def taught_by(teacher: torch.nn.Module) -> torch.nn.Module:
    """The teacher as it answers while its pupil learns: with its own statistics, without gradients."""
    teacher = teacher.train().requires_grad_(False)
    for part in teacher.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    return teacher
