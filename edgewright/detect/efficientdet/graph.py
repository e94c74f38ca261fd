"""The sizes of EfficientDet-lite: which graph is trained, as plain numbers. Decides nothing about weights.

`lite0` to `lite4` are the published sizes (Tan, Pang & Le 2020, arXiv 1911.09070, in the "lite" form of google/automl:
ReLU6, no squeeze-and-excitation, pyramids that add without weights); `slim` ends the backbone after block 11, which
leaves an INT8 file under 2 MB, looks at three levels instead of five and places one box where the others place nine.

>>> graph_named("efficientdet-slim", n_classes=3).levels
(3, 4, 5)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgewright.errors import InputError

FAMILY = "efficientdet"
N_STAGES = 7
MAX_CLASSES = 1000


@dataclass(frozen=True)
class LiteGraph:
    """Law: `LiteGraph.from_json(g.to_json()) == g`.

    Attributes:
        width, depth: multipliers of EfficientNet-lite's channels and repeats (Tan & Le 2019, arXiv 1905.11946, §3.3).
        blocks: of the backbone's blocks that are kept, counted from the stem; 0: all.
        channels: of every pyramid level.
        cells: BiFPN cells, one after the other.
        layers: convolutions of each head before its last.
        kernel_px: side of the heads' depthwise kernels.
        priors: boxes at every place of a level: 9 (three scales, three shapes), or 1.
        prior_strides: side of the smallest prior, in strides of its level.
        levels: l has stride 2^l px.
    """

    n_classes: int
    width: float
    depth: float
    blocks: int
    channels: int
    cells: int
    layers: int
    kernel_px: int
    priors: int
    prior_strides: float
    levels: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {"family": FAMILY, **asdict(self), "levels": list(self.levels)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LiteGraph:
        """Raises InputError for anything but a graph of this family, of a size that can be built."""
        try:
            numbers = {
                name: (float if name in ("width", "depth", "prior_strides") else int)(value[name])
                for name in cls.__dataclass_fields__
                if name != "levels"
            }
            graph = cls(**numbers, levels=tuple(int(level) for level in value["levels"]))  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("not an EfficientDet graph", got=error) from error
        graph._require_sensible()
        return graph

    def _require_sensible(self) -> None:
        limits = {
            "n_classes": (1, MAX_CLASSES),
            "width": (0.1, 4),
            "depth": (0.1, 4),
            "blocks": (0, 60),
            "channels": (8, 512),
            "cells": (1, 10),
            "layers": (0, 8),
            "kernel_px": (1, 7),
            "prior_strides": (0.5, 16),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(
                    "not an EfficientDet graph", expected=f"{name} in {low} to {high}", got=getattr(self, name)
                )
        if self.priors not in (1, 9) or self.kernel_px % 2 == 0 or self.levels not in ((3, 4, 5), (3, 4, 5, 6, 7)):
            raise InputError(
                "not an EfficientDet graph", expected="1 or 9 priors, an odd kernel, levels 3 to 5 or 7", got=self
            )


_LITE = LiteGraph(
    90, width=1.0, depth=1.0, blocks=0, channels=64, cells=3, layers=3, kernel_px=3, priors=9, prior_strides=3.0,
    levels=(3, 4, 5, 6, 7),
)  # fmt: skip
GRAPHS = {
    # google/automl, efficientdet/hparams_config.py and efficientnet_lite_builder.py
    "efficientdet-lite0": _LITE,
    "efficientdet-lite1": replace(_LITE, depth=1.1, channels=88, cells=4),
    "efficientdet-lite2": replace(_LITE, width=1.1, depth=1.2, channels=112, cells=5),
    "efficientdet-lite3": replace(_LITE, width=1.2, depth=1.4, channels=160, cells=6, layers=4),
    "efficientdet-lite4": replace(_LITE, width=1.4, depth=1.8, channels=224, cells=7, layers=4, prior_strides=4.0),
    "efficientdet-slim": replace(
        _LITE, blocks=12, channels=64, cells=1, layers=1, kernel_px=5, priors=1, prior_strides=4.0, levels=(3, 4, 5)
    ),
}


def graph_named(name: str, *, n_classes: int) -> LiteGraph:
    """Raises InputError for a name that is not in the table."""
    if name not in GRAPHS:
        raise InputError("unknown EfficientDet graph", expected=", ".join(GRAPHS), got=name)
    graph = replace(GRAPHS[name], n_classes=n_classes)
    graph._require_sensible()
    return graph
