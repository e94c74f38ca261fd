"""How weights are moved, and the method that most networks need: one network, one optimizer, one loss.

Decides the update: AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101; without decay it is Adam), a learning rate by
step, gradients clipped to a norm where asked. Decides no loss and no data.

    class Segmenter(OneNetwork[Batch]):
        def draw(self, step): ...                      # the batch of a step
        def loss(self, forward, batch): return loss_of(forward(batch.images), batch)

    train(Segmenter(UNet(...), Descent(learning_rate=3e-3, weight_decay=1e-2, clip_norm=1)), steps=300)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgewright.learning.averaging import Average
from edgewright.learning.checkpoint import Stateful
from edgewright.learning.layout import fuse_updates
from edgewright.learning.loop import BatchT, Method
from edgewright.learning.precision import Precision
from edgewright.learning.ranks import ALONE, Ranks
from edgewright.learning.rates import Rate, steady

Forward = Callable[..., Any]


@dataclass(frozen=True)
class Descent:
    """An optimizer's setting.

    Attributes:
        rate: the learning rate's factor by step.
        clip_norm: the norm that the gradient of all parameters is clipped to; None leaves it.
    """

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    rate: Rate = steady
    clip_norm: float | None = None


@dataclass(frozen=True)
class Group:
    """Parameters that move at a rate of their own.

    Attributes:
        rate: factor by step on the setting's learning rate; None: the setting's own.
        decays: whether the setting's weight decay holds for them.
    """

    parameters: tuple[nn.Parameter, ...]
    rate: Rate | None = None
    decays: bool = True


def all_of(network: nn.Module) -> list[Group]:
    """Every parameter, moved alike."""
    return [Group(tuple(network.parameters()))]


class Optimizer:
    """AdamW on one network's parameters. Its state is the moments alone: the setting is the recipe's."""

    def __init__(
        self, groups: Sequence[Group], setting: Descent, scaler: torch.amp.GradScaler, *, ranks: Ranks = ALONE
    ) -> None:
        self._setting, self._ranks = setting, ranks
        self._scaler = scaler
        self._rates = [group.rate or setting.rate for group in groups]
        self._parameters = [parameter for group in groups for parameter in group.parameters]
        self._adam = torch.optim.AdamW(
            [
                {"params": group.parameters, "weight_decay": setting.weight_decay if group.decays else 0.0}
                for group in groups
            ],
            lr=setting.learning_rate,
            betas=setting.betas,
        )
        fuse_updates(self._adam)

    def descend(self, loss: Tensor, *, step: int) -> None:
        """One update. The loss scale is updated by its owner, once a step: several optimizers may share it."""
        for group, rate in zip(self._adam.param_groups, self._rates, strict=True):
            group["lr"] = self._setting.learning_rate * rate(step)
        self._adam.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._ranks.average_gradients(self._parameters)
        if self._setting.clip_norm is not None:
            self._scaler.unscale_(self._adam)
            nn.utils.clip_grad_norm_(self._parameters, self._setting.clip_norm)
        self._scaler.step(self._adam)

    def state_dict(self) -> dict[str, Any]:
        return {"moments": self._adam.state_dict()["state"]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._adam.load_state_dict({**self._adam.state_dict(), "state": state["moments"]})


class OneNetwork(Method[BatchT]):
    """A method of one loss; `draw` and `loss` are what is left to say.

    Args:
        network: on its device.
        precision: as the machine is set, where none is given.
        ema_decay: of the average that comes out; None: the network itself does.
        streams: by name, what `draw` draws from, where that is not seed and step alone.
        groups: its parameters, where they do not all move alike.
        ranks: which of the processes this is that learn the same network together.
    """

    def __init__(
        self,
        network: nn.Module,
        setting: Descent,
        *,
        precision: Precision | None = None,
        ema_decay: float | None = None,
        streams: Mapping[str, Stateful] | None = None,
        groups: Sequence[Group] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        device = next(network.parameters()).device
        self._precision = precision or Precision.as_set(device)
        self._scaler = self._precision.scaler()
        self._learner = network
        self._ranks = ranks
        self._optimizer = Optimizer(groups or all_of(network), setting, self._scaler, ranks=ranks)
        self._average = None if ema_decay is None else Average(network, decay=ema_decay)
        self._streams = streams or {}
        self.network = self._average.network if self._average else network

    @abstractmethod
    def loss(self, forward: Forward, batch: BatchT) -> Tensor:
        """The scalar to make small. `forward` calls the network, in the training's precision or in float32."""

    def advance(self, batch: BatchT, step: int) -> dict[str, Tensor]:
        """One step: `loss`."""
        with self._precision.matmuls():
            loss = self.loss(self._precision.cast(self._learner), batch)
            self._optimizer.descend(loss, step=step)
        self._scaler.update()
        if self._average:
            self._average.follow(self._learner, step=step)
        return {"loss": self._ranks.mean(loss.detach())}

    def judge(self, step: int) -> float:
        """In float32, on the batch that the next step would have seen."""
        with torch.no_grad():
            return float(self.loss(self.network, self.draw(step)))

    def parts(self) -> Mapping[str, Stateful]:
        parts: dict[str, Stateful] = {
            "network": self._learner,
            "optimizer": self._optimizer,
            "scaler": self._scaler,
            **self._streams,
        }
        return parts | ({"average": self._average.network} if self._average else {})
