"""The self-test: does this bundle find on this machine what it found in the factory?

Decides whether a bundle may run here: every golden detection found within tolerance, nothing found that was not
expected, finite numbers (a second output's, too), the median time of a picture within the budget. Refuses to run a
bundle whose files it has not been given checked (`Bundle.load`). The agent calls it in a child process with limits: a
model that crashes, hangs or eats memory takes only that child with it.

>>> run_selftest(bundle).passed
True
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.bundle import Bundle, Tolerance
from edgewright.runtime.preprocess import read_image
from edgewright.runtime.session import Predictor, load_network, predictor

_TIMED_CALLS = 12
_MAX_REASONS = 8


@dataclass(frozen=True)
class SelfTest:
    """Law: `SelfTest.from_json(s.to_json()) == s`.

    Attributes:
        reasons: why it did not pass, in sentences; empty where it passed.
        images: golden pictures.
        expected, found: detections on them, in the factory and here.
        median_ms: one picture, letterbox to boxes.
        budget_ms: what that may be.
    """

    passed: bool
    reasons: tuple[str, ...]
    images: int
    expected: int
    found: int
    median_ms: float
    budget_ms: float

    @classmethod
    def failed(cls, reason: str) -> SelfTest:
        """Nothing could be measured, for this reason."""
        return cls(False, (reason,), images=0, expected=0, found=0, median_ms=0.0, budget_ms=0.0)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "reasons": list(self.reasons)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SelfTest:
        return cls(**{**value, "reasons": tuple(value["reasons"])})


def run_selftest(bundle: Bundle, *, threads: int = 1, clock: Callable[[], float] = time.perf_counter) -> SelfTest:
    """Run the golden pictures, decoded whole, through the way that the feed will take. `clock` counts seconds."""
    manifest = bundle.manifest
    try:
        network = load_network(bundle.model, threads=threads)
        predict = predictor(network, manifest.spec)
        images = [read_image(bundle.root / golden.file) for golden in manifest.golden]
        found, unsaid = [], []
        for golden, image in zip(manifest.golden, images, strict=True):
            found.append(predict(image))
            if network.feature_size and network.feature is None:
                unsaid.append(f"{golden.file}: the feature is not finite")
    except InputError as error:
        return SelfTest.failed(str(error))
    reasons = [
        f"{golden.file}: {reason}"
        for golden, boxes in zip(manifest.golden, found, strict=True)
        for reason in differences(
            golden.boxes(bundle.choice.file),
            boxes,
            tolerance=manifest.tolerance,
            threshold=manifest.spec.score_threshold,
        )
    ]
    reasons += unsaid
    median_ms = _median_ms(predict, images, clock=clock)
    if median_ms > manifest.latency_budget_ms:
        reasons.append(f"a picture takes {median_ms:.1f} ms, the budget is {manifest.latency_budget_ms:.1f} ms")
    return SelfTest(
        passed=not reasons,
        reasons=tuple(reasons[:_MAX_REASONS]),
        images=len(images),
        expected=sum(len(golden.boxes(bundle.choice.file)) for golden in manifest.golden),
        found=sum(map(len, found)),
        median_ms=round(median_ms, 3),
        budget_ms=manifest.latency_budget_ms,
    )


def differences(expected: Boxes, found: Boxes, *, tolerance: Tolerance, threshold: float) -> list[str]:
    """Sentences on clear detections of either side without a partner on the other.

    Law: `differences(a, a) == []`. A detection is clear where its score is `max_score_gap` above the threshold: one
    nearer to it may fall on the other side of the threshold on another processor.
    """
    pairs = (
        (expected.iou(found) >= tolerance.min_iou)
        & (expected.class_id[:, None] == found.class_id[None, :])
        & (np.abs(expected.score[:, None] - found.score[None, :]) <= tolerance.max_score_gap)
    )
    missed = (expected.score >= threshold + tolerance.max_score_gap) & ~pairs.any(axis=1)
    surplus = (found.score >= threshold + tolerance.max_score_gap) & ~pairs.any(axis=0)
    sentences = [f"{missed.sum()} of {len(expected)} expected detections not found"] if missed.any() else []
    return sentences + ([f"{surplus.sum()} of {len(found)} detections not expected"] if surplus.any() else [])


def _median_ms(predict: Predictor, images: Sequence[Image], *, clock: Callable[[], float]) -> float:
    times_ms = []
    for call in range(_TIMED_CALLS):
        start = clock()
        predict(images[call % len(images)])
        times_ms.append((clock() - start) * 1000)
    return median(times_ms)
