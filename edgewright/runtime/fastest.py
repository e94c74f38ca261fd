"""The engine that answers a bundle's golden pictures fastest on this machine, and still rightly.

Decides by the median of turns: every engine answers each picture in its turn, so that whatever else the machine does
falls on all. An engine whose detections are not the factory's within the bundle's tolerance is out, however fast. The
default stays where nothing is faster by more than LEAST_GAIN. Refuses nothing: an engine that fails is a row with its
reason.

    found = fastest(bundle)
    found.engine, found.rows
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from edgewright.errors import InputError
from edgewright.runtime.boxes import Image
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine, engines_here, open_network
from edgewright.runtime.preprocess import read_image
from edgewright.runtime.selftest import differences
from edgewright.runtime.session import Predictor, predictor

LEAST_GAIN = 0.05
"""Of the default's time. Two engines within it change places from run to run."""
_TURNS = 15


@dataclass(frozen=True)
class Row:
    """Attributes: median_ms: letterbox to boxes; None where it was not timed. problem: why it cannot be taken."""

    engine: Engine
    median_ms: float | None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Fastest:
    """Attributes: rows: of every engine that was tried, the default first."""

    engine: Engine
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Fastest:
        rows = tuple(Row(Engine.from_json(row["engine"]), row["median_ms"], row["problem"]) for row in value["rows"])
        return cls(Engine.from_json(value["engine"]), rows)


def fastest(
    bundle: Bundle, engines: Sequence[Engine] | None = None, *, clock: Callable[[], float] = time.perf_counter
) -> Fastest:
    """Args: engines: what is tried; those of this machine unless told. clock: counts seconds."""
    tried = list(engines or engines_here())
    images = [read_image(bundle.root / golden.file) for golden in bundle.manifest.golden]
    opened = {engine: _opened(bundle, engine, images) for engine in tried}
    right = {engine: predict for engine, predict in opened.items() if not isinstance(predict, str)}
    times: dict[Engine, list[float]] = {engine: [] for engine in right}
    for turn in range(_TURNS):
        for engine, predict in right.items():
            began = clock()
            predict(images[turn % len(images)])
            times[engine].append(1000 * (clock() - began))
    medians = {engine: round(median(found), 3) for engine, found in times.items()}
    rows = tuple(
        Row(engine, medians.get(engine), predict if isinstance(predict, str) else "")
        for engine, predict in opened.items()
    )
    return Fastest(_taken(tried[0], medians), rows)


def _taken(default: Engine, medians: dict[Engine, float]) -> Engine:
    best = min(medians, key=lambda one: medians[one], default=default)
    kept = default in medians and medians[best] > (1 - LEAST_GAIN) * medians[default]
    return default if kept else best


def _opened(bundle: Bundle, engine: Engine, images: Sequence[Image]) -> Predictor | str:
    """The way from picture to boxes, or why this engine cannot be taken."""
    manifest = bundle.manifest
    try:
        predict = predictor(open_network(bundle.model, engine), manifest.spec)
        found = [predict(image) for image in images]
    except InputError as error:
        return str(error)
    for golden, boxes in zip(manifest.golden, found, strict=True):
        expected = golden.boxes(bundle.choice.file)
        apart = differences(expected, boxes, tolerance=manifest.tolerance, threshold=manifest.spec.score_threshold)
        if apart:
            return f"{golden.file}: {apart[0]}"
    return predict
