"""Inception features as FID means them: torch-fidelity's InceptionV3 with the weights of 2015-12-05 and its own resize.

Decides nothing: the network, the TensorFlow-compatible resize to 299 px and the 2,048 features before the classifier
are torch-fidelity's (extra `fidelity`). Refuses weights that do not fit the network, and files with anything but
tensors in them: torch-fidelity would unpickle whatever stands there, so the file is read safely first and handed on as
a fresh one.

    extractor = open_inception("weights-inception-2015-12-05-6726825d.pth")
    extractor(tiles).shape                                    # (N, 2048)
"""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.errors import InputError, MissingExtra
from edgewright.gates.measure.metrics import Features
from edgewright.gates.measure.tiles import Tiles
from edgewright.gates.spaces.features import require_tiles
from edgewright.gates.spaces.weights import read_weights

WIDTH = 2048
_BATCH = 32
_SOURCE = "https://github.com/toshas/torch-fidelity/releases, weights-inception-2015-12-05-6726825d.pth"


@dataclass(frozen=True)
class Inception:
    """torch-fidelity's module, and the SHA-256 of the weights' file."""

    network: Any
    digest: str

    def __call__(self, tiles: Tiles) -> Features:
        import torch

        require_tiles(tiles)
        batches = []
        with torch.inference_mode():
            for start in range(0, len(tiles), _BATCH):
                nchw = np.ascontiguousarray(tiles[start : start + _BATCH].transpose(0, 3, 1, 2))
                batches.append(self.network(torch.from_numpy(nchw))[0].double().numpy())
        return np.concatenate(batches) if batches else np.empty((0, WIDTH))


def open_inception(path: str) -> Inception:
    """Raises MissingExtra without torch-fidelity, InputError for a file that is missing, unsafe or does not fit."""
    if importlib.util.find_spec("torch_fidelity") is None:
        raise MissingExtra(
            "gate_data.features is inception, which needs torch-fidelity",
            next_step="pip install 'edgewright[fidelity]'",
        )
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    found = read_weights(path, kind="inception", source=_SOURCE)
    clean = io.BytesIO()
    torch.save(dict(found.tensors), clean)
    clean.seek(0)
    try:
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=clean)
    except RuntimeError as error:
        raise InputError(
            "the weights do not fit torch-fidelity's InceptionV3",
            got=str(error)[:200],
            where=path,
            next_step=f"use {_SOURCE}",
        ) from error
    return Inception(network, found.sha256)
