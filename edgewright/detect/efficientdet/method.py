"""How EfficientDet-lite learns, on the learning loop: rates, averages, and which epoch is kept.

Decides that a backbone that knows something moves at a rate of its own, and not at all for the first steps, while the
heads are noise; that what is judged and published is the running average of the weights; that the epoch which is best
on val is kept, and training ends where none was better for a while. An epoch's judgment is part of its last step, so
that a training that was cut there goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edgewright.detect.distill import Said, distance
from edgewright.detect.efficientdet.batches import Augmentation, Batch, Batches
from edgewright.detect.efficientdet.loss import detection_loss
from edgewright.detect.efficientdet.network import EfficientDet, Raw
from edgewright.learning.checkpoint import Stateful
from edgewright.learning.descent import Descent, Forward, Group, OneNetwork
from edgewright.learning.precision import Precision
from edgewright.learning.ranks import ALONE, Ranks
from edgewright.learning.rates import Rate, warm_cosine

WARM_UP_SHARE = 0.05
WEIGHT_DECAY, CLIP_NORM = 0.02, 10.0
MAX_EMA_DECAY = 0.9998


@dataclass(frozen=True)
class Schedule:
    """Attributes:
    epoch_steps: optimizer steps of an epoch.
    plain_from: epoch (from 0) since which pictures stand alone, without mosaic.
    patience: epochs without a better one before training ends.
    backbone_rate: factor on the learning rate; frozen_share: of all steps, in which the backbone does not move.
    """

    epochs: int
    epoch_steps: int
    learning_rate: float
    plain_from: int
    patience: int
    backbone_rate: float
    frozen_share: float

    @property
    def steps(self) -> int:
        return self.epochs * self.epoch_steps


@dataclass(frozen=True)
class Judged:
    """What an epoch's weights found on val; None where nobody looked."""

    map50: float | None
    map50_95: float | None


Judge = Callable[[nn.Module], Judged]
OnEpoch = Callable[[int, Mapping[str, float]], None]
"""(epochs done, what stands in the history of the last)."""


class Kept:
    """The weights of the best epoch so far, or of the last where nothing is chosen; and what every epoch came to."""

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.weights: dict[str, Tensor] = {}
        self.best = 0
        """Epoch, counted from 1; 0 before the first."""

    def note(self, network: nn.Module, judged: Judged, losses: Mapping[str, float]) -> None:
        found = {"val/map50": judged.map50, "val/map50_95": judged.map50_95}
        row = {"epoch": float(len(self.history) + 1), **losses}
        self.history.append(row | {name: value for name, value in found.items() if value is not None})
        score = judged.map50_95
        if score is None or self.best == 0 or score > self.history[self.best - 1].get("val/map50_95", -math.inf):
            self.best = len(self.history)
            self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "weights": self.weights, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.history, self.weights, self.best = list(state["history"]), dict(state["weights"]), int(state["best"])


@dataclass(frozen=True)
class Teacher:
    """What the network should go on saying, and how much that counts beside the truth."""

    network: nn.Module
    weight: float


class LiteMethod(OneNetwork[Batch]):
    """One training.

    Args:
        module: on its device.
        judge: looks at the average of the weights after every epoch; None: the last epoch is kept.
    """

    name = "detector"
    next_step = "lower train_detector.learning_rate, or use precision=fp32"

    def __init__(
        self,
        module: EfficientDet,
        batches: Callable[[int], Batches],
        schedule: Schedule,
        *,
        augmentation: Augmentation,
        precision: Precision,
        judge: Judge | None,
        on_epoch: OnEpoch,
        teacher: Teacher | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._batches, self._schedule, self._augmentation = batches, schedule, augmentation
        self._judge, self._on_epoch, self._teacher = judge, on_epoch, teacher
        self._device = next(module.parameters()).device
        self.kept = Kept()
        super().__init__(
            module,
            Descent(schedule.learning_rate, weight_decay=WEIGHT_DECAY, rate=_rate(schedule), clip_norm=CLIP_NORM),
            precision=precision,
            ema_decay=ema_decay(schedule.steps),
            groups=groups_of(module, schedule),
            ranks=ranks,
        )

    def draw(self, step: int) -> Batch:
        epoch = step // self._schedule.epoch_steps
        setting = self._augmentation
        if epoch >= self._schedule.plain_from:
            setting = replace(setting, mosaic=0.0)
        return self._batches(epoch).draw(step, setting).to(self._device)

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        raw: Raw = forward(batch.images)
        loss = detection_loss(raw, batch.truth)
        if self._teacher is None:
            return loss
        with torch.no_grad():
            taught: Raw = self._teacher.network(batch.images)
        return loss + self._teacher.weight * distance(Said(raw.logits, raw.deltas), Said(taught.logits, taught.deltas))

    def advance(self, batch: Batch, step: int) -> dict[str, Tensor]:
        found = super().advance(batch, step)
        if (step + 1) % self._schedule.epoch_steps == 0:
            self._end_epoch(float(found["loss"]))
        return found

    def is_done(self, _: int) -> bool:
        """No epoch has been better than the best for as many as patience allows."""
        return len(self.kept.history) - self.kept.best >= self._schedule.patience

    def parts(self) -> Mapping[str, Stateful]:
        return {**super().parts(), "kept": self.kept}

    def _end_epoch(self, loss: float) -> None:
        judged = Judged(None, None)
        if self._judge and math.isfinite(loss):
            self.network.eval()
            judged = self._judge(self.network)
            self.network.train()
        self.kept.note(self.network, judged, {"train/loss": loss})
        self._on_epoch(len(self.kept.history), self.kept.history[-1])


def ema_decay(steps: int) -> float:
    """An average over the last twentieth of the steps."""
    return min(MAX_EMA_DECAY, 1 - min(0.1, 20 / steps))


def groups_of(module: EfficientDet, schedule: Schedule) -> list[Group]:
    """Backbone and the rest; in each, what is multiplied decays and what is added or normalizes does not."""
    backbone = {id(parameter) for parameter in module.backbone.parameters()}
    rate = partial(_held_back, rate=_rate(schedule), steps=schedule.steps, schedule=schedule)
    groups = []
    for inside, own in ((True, rate), (False, None)):
        for decays in (True, False):
            chosen = tuple(p for p in module.parameters() if (id(p) in backbone) is inside and (p.ndim > 1) is decays)
            groups.append(Group(chosen, rate=own, decays=decays))
    return groups


def _rate(schedule: Schedule) -> Rate:
    return partial(warm_cosine, steps=schedule.steps, share=WARM_UP_SHARE)


def _held_back(step: int, *, rate: Rate, steps: int, schedule: Schedule) -> float:
    return 0.0 if step < schedule.frozen_share * steps else schedule.backbone_rate * rate(step)
