"""One training of the segmenter on chosen examples.

Decides its optimizer, what `init` means, and what a plan is: data, config, seed and chosen photographs. An encoder that
knows something moves at a rate of its own, and not at all while the rest is noise. A training that was cut short, or
was done already, continues from its checkpoint; one of another plan is not read, and is overwritten. Refuses weights
that cannot be had, and those of which none fits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.errors import InputError
from edgewright.label.network.batches import Examples, LabeledBatch, random_batch
from edgewright.label.network.graph import BLOCKS, network_named
from edgewright.label.network.loss import loss_of, weigh_classes
from edgewright.learning.checkpoint import Checkpoint
from edgewright.learning.descent import Descent, Forward, Group, OneNetwork
from edgewright.learning.device import best_device, seeded
from edgewright.learning.efficientnet import from_published
from edgewright.learning.loop import Losses, train
from edgewright.learning.provenance import Provenance
from edgewright.learning.rates import Rate, warm_cosine
from edgewright.learning.starts import file_start, package_start, take
from edgewright.recipe.label import TrainLabelerConfig

_HISTORY_EVERY = 10
_WARM_UP_SHARE = 0.05
_WEIGHT_DECAY = 1e-2
_CLIP_NORM = 1.0
_ENCODER_RATE, _FROZEN_SHARE = 0.25, 0.05
"""Of an encoder that begins with weights: share of the learning rate, and of the steps in which it does not move."""

OnLoss = Callable[[int, float], None]
"""(steps done, loss)."""


@dataclass(frozen=True)
class Fit:
    """A finished training.

    Attributes:
        history: (step, loss).
        continued_from: the step a checkpoint was taken up at; 0 for a fresh start.
    """

    net: nn.Module
    history: tuple[tuple[int, float], ...]
    continued_from: int
    provenance: Provenance


class Segmenter(OneNetwork[LabeledBatch]):
    """How the labeler's network learns; everything random follows from seed and step."""

    name = "labeler"
    next_step = "lower train_labeler.learning_rate"

    def __init__(self, examples: Examples, config: TrainLabelerConfig, *, n_classes: int, seed: int) -> None:
        self._examples, self._batch, self._seed = examples, config.batch, seed
        self._device = best_device()
        with seeded(seed):
            net, self.provenance = begin(config, n_classes=n_classes)
        self.net = net.to(self._device)
        self._weights = weigh_classes(examples, n_classes).to(self._device)
        rate = partial(warm_cosine, steps=config.steps, share=_WARM_UP_SHARE)
        super().__init__(
            self.net,
            Descent(config.learning_rate, weight_decay=_WEIGHT_DECAY, rate=rate, clip_norm=_CLIP_NORM),
            groups=_groups_of(net, rate, frozen_steps=_FROZEN_SHARE * config.steps) if self.provenance.taken else (),
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
    return Fit(method.net.eval(), _history(trained.losses), trained.continued_from, method.provenance)


def begin(config: TrainLabelerConfig, *, n_classes: int) -> tuple[nn.Module, Provenance]:
    """The network as training finds it, and where its weights came from. Raises InputError, MissingExtra."""
    net = network_named(config.network, n_classes=n_classes, width=config.width)
    encoded = config.network == "efficientnet"
    if config.init == "none" or (config.init == "auto" and not encoded):
        return net, Provenance()
    if config.init not in ("auto", "package"):
        start = file_start(Path(config.init))
        return net, take(net, start.tensors, start, where=config.init)
    if not encoded:
        raise InputError(
            f"no pretrained weights are packaged for train_labeler.network={config.network}",
            expected="train_labeler.network=efficientnet, or a file of weights",
            got="train_labeler.init=package",
            next_step="train_labeler.network=efficientnet, or train_labeler.init=none",
        )
    start = package_start()
    published = from_published(start.tensors, blocks=BLOCKS)
    return net, take(net, {f"backbone.{name}": value for name, value in published.items()}, start, where="the package")


def _groups_of(net: nn.Module, rate: Rate, *, frozen_steps: float) -> list[Group]:
    """The encoder where there is one, and the rest."""
    encoder = {id(parameter) for name, parameter in net.named_parameters() if name.startswith("backbone.")}
    inside, outside = ([p for p in net.parameters() if (id(p) in encoder) is there] for there in (True, False))
    held_back = partial(_held_back, rate=rate, frozen_steps=frozen_steps)
    return [Group(tuple(outside)), *([Group(tuple(inside), rate=held_back)] if inside else [])]


def _held_back(step: int, *, rate: Rate, frozen_steps: float) -> float:
    return 0.0 if step < frozen_steps else _ENCODER_RATE * rate(step)


def _history(losses: Sequence[Losses]) -> tuple[tuple[int, float], ...]:
    """Every tenth step's loss, and the last's."""
    chosen = [step for step in range(len(losses)) if step % _HISTORY_EVERY == 0 or step == len(losses) - 1]
    return tuple((step, losses[step]["loss"]) for step in chosen)
