"""The literal figures FID and recall, as their papers define them: whole pictures, Inception's features, no ratio.

Decides which pictures, at which resize. All usable synthetic pictures against all held-out photographs (`val`), up to
`max_fid_images` a side; `train` has no part in it, for it would praise a copier. Each picture is taken whole, its
aspect given up, and resized to 299 × 299 px by Pillow's antialiased bicubic filter (clean-fid: Parmar et al. 2022,
arXiv 2104.11222), rounded to 8 bits; torch-fidelity's own resize then has nothing left to do. Holds one batch of
pictures and all feature vectors, never a matrix of distances. Refuses fewer than RECALL_NEIGHBORS + 1 pictures a side,
and a network that tells no picture from another: with untrained weights everything has FID 0 and recall 1.

    found = measure_fid_recall((synthetic, rows), (real, held_out), extractor, rng=rng, on_progress=silent)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.errors import InputError
from edgewright.gates.evidence import Measurement, measured
from edgewright.gates.measure.metrics import Features, frechet_distance
from edgewright.gates.measure.resample import halves, shift_interval
from edgewright.gates.measure.tiles import Tiles
from edgewright.gates.spaces.blocks import blockwise_neighbor_scores
from edgewright.gates.spaces.features import FeatureExtractor
from edgewright.progress import OnProgress
from edgewright.runtime.boxes import Image

FID_RECALL_RESIZE = "Pillow bicubic, antialiased, to 299 x 299, RGB uint8"
RECALL_NEIGHBORS = 3
"""k of the improved recall in its paper (Kynkäänniemi et al. 2019, arXiv 1904.06991)."""
_SIDE_PX = 299
_BATCH = 32
_DRAWS = 8
_MIN_TRACE = 0.01

Pictures = tuple[Dataset, Sequence[Row]]
"""Rows, and the data set that holds their images."""


@dataclass(frozen=True)
class Literal:
    """`fid` and `recall`, and how many features a picture has: with fewer pictures the covariance is singular."""

    measurements: tuple[Measurement, Measurement]
    width: int


def measure_fid_recall(
    synthetic: Pictures,
    held_out: Pictures,
    extractor: FeatureExtractor,
    *,
    rng: np.random.Generator,
    on_progress: OnProgress,
) -> Literal:
    """`fid` and `recall` with 90 % intervals; n is the smaller side.

    FID's interval is the spread over half-samples; recall's is the binomial's normal approximation. There is no
    baseline: the rule is about the numbers as they stand.
    """
    total, done = len(synthetic[1]) + len(held_out[1]), 0
    sides = []
    for dataset, rows in (synthetic, held_out):
        parts = []
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            parts.append(extractor(_resized([dataset.image(row) for row in batch])))
            done += len(batch)
            on_progress(done, total, "pictures for FID")
        sides.append(np.concatenate(parts))
    fake, real = sides
    _require_spread(real)
    return Literal((_fid(fake, real, rng=rng), _recall(fake, real)), fake.shape[1])


def drawn_rows(rows: Sequence[Row], *, limit: int, rng: np.random.Generator) -> list[Row]:
    """At most `limit` of them, in random order."""
    ordered = sorted(rows, key=lambda row: row.id)
    return [ordered[index] for index in rng.permutation(len(ordered))[:limit]]


def _require_spread(real: Features) -> None:
    """Raises InputError where the features hardly vary over the photographs: FID has their units, squared."""
    trace = float(real.var(axis=0).sum())
    if not trace > _MIN_TRACE:
        raise InputError(
            "Inception's features are the same for every held-out photograph",
            expected=f"variances that add up to > {_MIN_TRACE:g}",
            got=f"{trace:.2g}",
            next_step="check that gate_data.features_weights are the trained ones, and that val holds several scenes",
        )


def _resized(images: Sequence[Image]) -> Tiles:
    wh = (_SIDE_PX, _SIDE_PX)
    return np.stack(
        [np.asarray(PillowImage.fromarray(image).resize(wh, PillowImage.Resampling.BICUBIC)) for image in images]
    )


def _fid(fake: Features, real: Features, *, rng: np.random.Generator) -> Measurement:
    value = frechet_distance(fake, real)
    picks = zip(halves(len(fake), rounds=_DRAWS, rng=rng), halves(len(real), rounds=_DRAWS, rng=rng), strict=True)
    spread = np.array([frechet_distance(fake[mine], real[theirs]) for mine, theirs in picks])
    interval = shift_interval(value, spread)
    return measured("fid", value, interval=interval, n=min(len(fake), len(real)), baseline=float("nan"))


def _recall(fake: Features, real: Features) -> Measurement:
    value = blockwise_neighbor_scores(real, fake, k=RECALL_NEIGHBORS).recall
    half = 1.645 * float(np.sqrt(value * (1 - value) / len(real)))
    interval = (max(0.0, value - half), min(1.0, value + half))
    return measured("recall", value, interval=interval, n=min(len(fake), len(real)), baseline=float("nan"))
