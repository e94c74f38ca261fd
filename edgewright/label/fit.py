"""One training of the segmenter on chosen examples, step by step.

A training that was cut short, or was done already, continues from its checkpoint and ends with the same bytes as one
that was not; a checkpoint of another plan (data, config, seed, chosen photographs) is not read, and is overwritten.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.compute import best_device, require_learnt
from edgewright.errors import StageFailed
from edgewright.label.batches import Batch, Examples, random_batch
from edgewright.label.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgewright.label.graph import UNet
from edgewright.label.loss import loss_of, weigh_classes
from edgewright.recipe.label import TrainLabelerConfig

_HISTORY_EVERY = 10
_PROGRESS_EVERY_S = 0.5
_WARM_UP_SHARE = 0.05
_WEIGHT_DECAY = 1e-2
_CLIP_NORM = 1.0
_NEXT_STEP = "lower train_labeler.learning_rate"

OnStep = Callable[[int, float], None]
"""(steps done, loss): called at checkpoints, now and then, and at the end."""


@dataclass(frozen=True)
class Fit:
    """A finished training.

    Attributes:
        history: (step, loss).
        continued_from: the step a checkpoint was taken up at; 0 for a fresh start.
    """

    net: UNet
    history: tuple[tuple[int, float], ...]
    continued_from: int


class Trainer:
    """The optimizer's state; everything random follows from seed and step.

    Args:
        origin: what the examples are: the data set's digest and the ids of the photographs.
    """

    def __init__(
        self,
        examples: Examples,
        config: TrainLabelerConfig,
        *,
        n_classes: int,
        origin: Sequence[object],
        checkpoint: Path,
        seed: int,
    ) -> None:
        self.examples, self.config, self.seed, self.checkpoint = examples, config, seed, checkpoint
        self.device = best_device()
        torch.manual_seed(seed)
        self.net = UNet(n_classes=n_classes, width=config.width).to(self.device)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=config.learning_rate, weight_decay=_WEIGHT_DECAY)
        self.weights = weigh_classes(examples, n_classes).to(self.device)
        self.plan = sha256_bytes(canonical_json([list(origin), config.model_dump(), seed]))

    def run(self, on_step: OnStep) -> Fit:
        """Raises StageFailed where a loss is not finite, at any step or after the last; names the step."""
        state = load_checkpoint(self.checkpoint, self.net, self.optimizer, plan=self.plan)
        began, history, reported, total = state.step, list(state.history), 0.0, self.config.steps
        for step in range(began, total):
            loss = self._step(step)
            last, done = step == total - 1, step + 1
            if step % _HISTORY_EVERY == 0 or last:
                history.append((step, loss))
            if last:
                require_learnt(self.net, loss=self._judge(), what="the labeler", next_step=_NEXT_STEP)
            if checkpointed := done % self.config.checkpoint_every == 0 or last:
                state = Checkpoint(self.plan, done, tuple(history))
                save_checkpoint(self.checkpoint, self.net, self.optimizer, state=state)
            if checkpointed or time.monotonic() - reported > _PROGRESS_EVERY_S:
                reported = time.monotonic()
                on_step(done, loss)
        return Fit(self.net.eval(), tuple(history), began)

    def _step(self, step: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * schedule(step, self.config.steps)
        batch = self._draw(step)
        loss = loss_of(self.net(batch.images), batch, self.weights)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), _CLIP_NORM)
        self.optimizer.step()
        return _finite(float(loss.detach()), step=step, total=self.config.steps)

    def _judge(self) -> float:
        """The loss of the network as it is now, on a batch that it has not seen; trains nothing."""
        batch = self._draw(self.config.steps)
        with torch.no_grad():
            return float(loss_of(self.net(batch.images), batch, self.weights))

    def _draw(self, step: int) -> Batch:
        batch = random_batch(self.examples, size=self.config.batch, seed=self.seed, step=step)
        return Batch(*(part.to(self.device) for part in (batch.images, batch.class_map, batch.core, batch.counts)))


def schedule(step: int, total: int) -> float:
    """The learning rate's factor in (0, 1]: linear warm-up, then a half cosine to 0."""
    warm_up = max(1, round(total * _WARM_UP_SHARE))
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))


def _finite(loss: float, *, step: int, total: int) -> float:
    if not math.isfinite(loss):
        raise StageFailed(
            "the labeler's loss is not a finite number",
            got=loss,
            where=f"step {step} of {total}",
            next_step=_NEXT_STEP,
        )
    return loss
