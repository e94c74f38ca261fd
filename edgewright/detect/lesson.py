"""What every family of detectors is given to learn from, and what it gives back: the one interface between them.

Decides nothing. A family is a function `fit(lesson) -> Fitted` that reports every epoch, goes on where it was killed,
and keeps whatever it needs for that in the scratch folder.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.learning.provenance import Provenance
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.runtime.session import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

SCORE_THRESHOLD, IOU_THRESHOLD = 0.25, 0.6
"""Of the float specification; the INT8 model carries those of the recipe's `quantize` section."""


CUT = "cut"
"""In a graph file: the weights are narrower than the graph says, and their shapes count."""


@dataclass(frozen=True)
class EpochReport:
    """One epoch, counted from 1. `losses` by their names in its family; the mAPs are the one evaluator's, on `val`, and
    None where `keep: last` leaves val unseen."""

    epoch: int
    epochs: int
    losses: dict[str, float]
    map50: float | None
    map50_95: float | None
    seconds: float


@dataclass(frozen=True)
class Begin:
    """A network to go on from, where the lesson does not begin with what `config.init` names.

    Attributes:
        module: as it learns, batch norms and all; it is copied.
        provenance: where it began, a long time ago.
        identity: names all of this.
        masks: parameter name => what of it may be other than zero.
        teacher: what it should go on saying, and how much that counts beside what people labeled.
        cut: whether it has fewer channels than its graph says.
    """

    module: nn.Module
    provenance: Provenance
    identity: str
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    teacher: nn.Module | None = None
    teacher_weight: float = 1.0
    cut: bool = False

    def copied(self) -> nn.Module:
        """A module to learn with: its zeros stay zeros."""
        from edgewright.sparse.masks import hold

        module = copy.deepcopy(self.module)
        hold(module, self.masks)
        return module


@dataclass(frozen=True)
class Lesson:
    """What there is to learn.

    Attributes:
        train, val: labeled rows; `val` is empty where nothing is chosen by it.
        made: for each train row whether no person labeled it.
        shown: indices into `train` that make one epoch.
        work_id: names all of this: what another lesson left in `scratch` is not continued.
        begins: what it goes on from, in place of what `config.init` names.
    """

    dataset: Dataset
    train: Sequence[Row]
    val: Sequence[Row]
    made: Sequence[bool]
    shown: Sequence[int]
    config: TrainDetectorConfig
    spec: ModelSpec
    scratch: Path
    work_id: str
    seed: int
    threads: int
    on_epoch: Callable[[EpochReport], None]
    begins: Begin | None = None


@dataclass(frozen=True)
class Fitted:
    """A trained detector, before it is written.

    Attributes:
        graph: what builds the same network again, in YAML's types.
        weights: of the epoch that is kept, by name.
        layout: how its output is read (see `runtime.decode`).
        history: a row an epoch; `best_epoch` counts from 1.
        batch: pictures a step, fewer than asked for where memory was short.
        libraries: distributions that it depends on.
    """

    graph: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    layout: str
    history: Sequence[Mapping[str, float]]
    best_epoch: int
    parameters: int
    batch: int
    provenance: Provenance = field(default_factory=Provenance)
    libraries: tuple[str, ...] = ("torch",)
