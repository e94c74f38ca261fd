"""Which feature extractors a run declared, opened: `random`, `ssl`, `efficientnet_lite`,
`inception` or `dinov2`.

Decides nothing but that one kind is used, from the recipe, before anything was measured. Refuses a kind whose weights
are not there: nothing is ever downloaded.

    extractors = open_extractors(config, train_tiles, seed=0, on_progress=silent)
"""

from __future__ import annotations

from edgewright.gates.measure.tiles import Tiles
from edgewright.gates.spaces.features import FeatureExtractor, random_extractor
from edgewright.progress import OnProgress
from edgewright.recipe.gates import GateDataConfig


def open_extractors(
    config: GateDataConfig, train: Tiles, *, seed: int, on_progress: OnProgress
) -> list[FeatureExtractor]:
    """`random` and `ssl` give `config.feature_seeds` of them, the others one.

    Args:
        train: (N, S, S, 3) tiles of real training pictures, all that `ssl` learns from.

    Raises:
        InputError: no weights where the kind needs them, or weights of another network.
        MissingExtra: `inception` without torch-fidelity, `efficientnet_lite` without the package of its weights.
    """
    if config.features == "random":
        return [random_extractor(seed=number) for number in range(config.feature_seeds)]
    if config.features == "ssl":
        from edgewright.gates.spaces.self_supervised import train_extractor

        found: list[FeatureExtractor] = []
        for number in range(config.feature_seeds):
            found.append(train_extractor(train, steps=config.ssl_steps, seed=[seed, 7, number]))
            on_progress(number + 1, config.feature_seeds, "ssl networks trained")
        return found
    if config.features == "efficientnet_lite":
        from edgewright.gates.spaces.efficientnet import open_efficientnet

        return [open_efficientnet()]
    if config.features == "inception":
        from edgewright.gates.spaces.inception import open_inception

        return [open_inception(config.features_weights)]
    from edgewright.gates.spaces.dinov2 import open_dinov2

    return [open_dinov2(config.features_weights)]
