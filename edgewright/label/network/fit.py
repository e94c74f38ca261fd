"""One training of the segmenter on chosen examples.

Decides its optimizer and what a plan is: data, config, seed and chosen photographs. A training that was cut short, or
was done already, continues from its checkpoint; one of another plan is not read, and is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.label.network.batches import Examples, LabeledBatch, random_batch
from edgewright.label.network.graph import SegmentationNet
from edgewright.label.network.loss import loss_of, weigh_classes
from edgewright.learning.checkpoint import Checkpoint
from edgewright.learning.descent import Descent, Forward, OneNetwork
from edgewright.learning.device import best_device, seeded
from edgewright.learning.loop import Losses, train
from edgewright.learning.rates import warm_cosine
from edgewright.recipe.label import TrainLabelerConfig

_HISTORY_EVERY = 10
_WARM_UP_SHARE = 0.05
_WEIGHT_DECAY = 1e-2
_CLIP_NORM = 1.0

OnLoss = Callable[[int, float], None]
"""(steps done, loss)."""


@dataclass(frozen=True)
class Fit:
    """A finished training.

    Attributes:
        history: (step, loss).
        continued_from: the step a checkpoint was taken up at; 0 for a fresh start.
    """

    net: SegmentationNet
    history: tuple[tuple[int, float], ...]
    continued_from: int


class Segmenter(OneNetwork[LabeledBatch]):
    """How the labeler's network learns; everything random follows from seed and step."""

    name = "labeler"
    next_step = "lower train_labeler.learning_rate"

    def __init__(self, examples: Examples, config: TrainLabelerConfig, *, n_classes: int, seed: int) -> None:
        self._examples, self._batch, self._seed = examples, config.batch, seed
        self._device = best_device()
        with seeded(seed):
            self.net = SegmentationNet(n_classes=n_classes, width=config.width).to(self._device)
        self._weights = weigh_classes(examples, n_classes).to(self._device)
        rate = partial(warm_cosine, steps=config.steps, share=_WARM_UP_SHARE)
        super().__init__(
            self.net,
            Descent(config.learning_rate, weight_decay=_WEIGHT_DECAY, rate=rate, clip_norm=_CLIP_NORM),
        )

    def draw(self, step: int) -> LabeledBatch:
        batch = random_batch(self._examples, size=self._batch, seed=self._seed, step=step)
        return LabeledBatch(
            *(part.to(self._device) for part in (batch.images, batch.class_map, batch.core, batch.counts))
        )

    def loss(self, forward: Forward, batch: LabeledBatch) -> Tensor:
        return loss_of(forward(batch.images), batch, self._weights)


def fit_segmenter(
    examples: Examples,
    config: TrainLabelerConfig,
    *,
    n_classes: int,
    origin: Sequence[object],
    checkpoint: Path,
    seed: int,
    on_loss: OnLoss,
) -> Fit:
    """Train one.

    Args:
        origin: what the examples are: the data set's digest and the ids of the photographs.

    Raises:
        StageFailed: a loss is not finite, at any step or after the last; names the step.
    """
    method = Segmenter(examples, config, n_classes=n_classes, seed=seed)
    plan = sha256_bytes(canonical_json([list(origin), config.model_dump(), seed]))
    trained = train(
        method,
        steps=config.steps,
        keep=Checkpoint(checkpoint, plan, config.checkpoint_every),
        on_step=lambda done, losses: on_loss(done, losses["loss"]),
    )
    return Fit(method.net.eval(), _history(trained.losses), trained.continued_from)


def _history(losses: Sequence[Losses]) -> tuple[tuple[int, float], ...]:
    """Every tenth step's loss, and the last's."""
    chosen = [step for step in range(len(losses)) if step % _HISTORY_EVERY == 0 or step == len(losses) - 1]
    return tuple((step, losses[step]["loss"]) for step in chosen)
