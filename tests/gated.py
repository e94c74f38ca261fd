"""Pictures of discs as the gates are shown them: real ones, fresh ones, and data sets of either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edgewright.artifacts import Store
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.gates.selftest.controls import Scene
from edgewright.runtime.boxes import Image
from tests.scenes import discs, publish_dataset

Publish = Callable[..., Dataset]
AGREED = {"agreement": 0.8, "judged": 4.0, "missed": 0.0, "phantom": 0.0}
"""What a labeler writes on a picture whose labels it finds right."""


def scene(rng: np.random.Generator, *, source: str = "human") -> Scene:
    return Scene(*discs(rng, contrast=(20, 70), source=source))


def scenes(n: int, *, seed: int, source: str = "human") -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [scene(rng, source=source) for _ in range(n)]


def changed(members: Sequence[Scene], change: Callable[[Image], Image]) -> list[Scene]:
    return [replace(member, image=change(member.image)) for member in members]


def publisher(store: Store) -> Publish:
    """What writes scenes by split as a data set of an origin, with what a labeler said of the synthetic ones."""

    def publish(
        parts: dict[str, Sequence[Scene]],
        *,
        origin: str,
        classes: tuple[str, ...] = ("disc",),
        scores: dict[str, float] = AGREED,
        left_out: int = 0,
    ) -> Dataset:
        pairs, quarantined = [], []
        for split, members in parts.items():
            for index, member in enumerate(members):
                height, width = member.image.shape[:2]
                row = Row(f"{split}{index:03d}.png", "", width=width, height=height, split=split, origin=origin)
                seen = scores if origin == "synthetic" else {}
                row = replace(row, labels=member.labels, state="human", scores=seen)
                if index < left_out:
                    quarantined.append(replace(row, sha256="0", quarantine="labeler disagrees"))
                else:
                    pairs.append((row, encode_png(member.image)))
        kind = f"dataset_{origin}"
        return publish_dataset(store, pairs, classes=classes, quarantined=quarantined, kind=kind, stage="test")

    return publish


TRAIN = scenes(60, seed=0)
FRESH = scenes(60, seed=3, source="constructed")
