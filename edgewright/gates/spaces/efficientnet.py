"""EfficientNet-lite0 features (Tan & Le 2019, arXiv 1905.11946) from the packaged ImageNet weights, extra `pretrained`.

Decides the feature of a tile: mean and deviation, over the tile, of every channel at strides 8, 16 and 32 of the blocks
that the detectors keep. Nothing is downloaded, and nothing of the package is run. ImageNet has no blood cells; the
early strides are texture and color, which any photograph has. Refuses to go on where the package is not installed.

    extractor = open_efficientnet()
    extractor(tiles).shape                                    # (N, 688)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgewright.gates.measure.metrics import Features
from edgewright.gates.measure.tiles import Tiles
from edgewright.gates.spaces.features import require_tiles

if TYPE_CHECKING:
    from edgewright.learning.efficientnet import EfficientNetLite

_BLOCKS = 12
_BATCH = 32


@dataclass(frozen=True)
class EfficientNet:
    """The network in inference mode, and what names it: the SHA-256 of the weights and how they are pooled."""

    network: EfficientNetLite
    digest: str

    def __call__(self, tiles: Tiles) -> Features:
        require_tiles(tiles)
        batches = [self._pooled(tiles[start : start + _BATCH]) for start in range(0, len(tiles), _BATCH)]
        return np.concatenate(batches) if batches else np.empty((0, 2 * sum(self.network.channels)))

    def _pooled(self, tiles: Tiles) -> Features:
        import torch

        # NHWC uint8 [0, 255] => NCHW float32 [0, 1]
        images = torch.from_numpy(np.ascontiguousarray(tiles.transpose(0, 3, 1, 2))).float() / 255
        with torch.inference_mode():
            pooled = [
                part
                for level in self.network(images)
                for part in (level.mean(dim=(2, 3)), level.std(dim=(2, 3), correction=0))
            ]
            return np.asarray(torch.cat(pooled, dim=1).numpy(), dtype=np.float64)


def open_efficientnet() -> EfficientNet:
    """Raises MissingExtra where the package of the weights is not installed, InputError where its file is another."""
    from edgewright.learning.efficientnet import EfficientNetLite, from_published
    from edgewright.learning.starts import package_start

    start = package_start()
    network = EfficientNetLite(width=1.0, depth=1.0, blocks=_BLOCKS)
    network.load_state_dict(from_published(start.tensors, blocks=_BLOCKS))
    return EfficientNet(network.eval(), f"{start.sha256} {_BLOCKS} blocks mean+std")
