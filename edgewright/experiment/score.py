"""A finished detector on photographs it has not seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Row, Split
from edgewright.detect.evaluate import Evaluation, Sample, evaluate
from edgewright.detect.network import load_float_network
from edgewright.errors import InputError
from edgewright.gates.utility import Scores
from edgewright.progress import OnProgress, silent
from edgewright.runtime.session import predictor


def score_detector(
    get_path: Callable[[str], Path],
    dataset: Dataset,
    *,
    split: Split,
    score_threshold: float,
    threads: int,
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Average precision on the labeled real rows of a split. Raises InputError where there are none.

    Args:
        get_path: gives the local path of one of the detector's files.
    """
    rows = dataset.select(split=split, origin=Origin.REAL, labeled=True)
    if not rows:
        raise InputError(f"no labeled photograph in {split}", expected="at least 1", where=dataset.ref.uri)
    return score_on(get_path, dataset, rows, score_threshold=score_threshold, threads=threads, on_progress=on_progress)


def score_on(
    get_path: Callable[[str], Path],
    dataset: Dataset,
    rows: Sequence[Row],
    *,
    score_threshold: float,
    threads: int,
    on_progress: OnProgress = silent,
    collect: bool = False,
) -> Evaluation:
    """The same on given rows, at least one; with the detections where they are to be collected."""
    network, spec = load_float_network(get_path, threads=threads)
    dataset.check_classes(spec.classes)
    return evaluate(
        predictor(network, spec, score_threshold=score_threshold),
        (Sample(dataset.image(row), row.boxes, row.ignored) for row in rows),
        classes=dataset.classes,
        reports_from=spec.score_threshold,
        n_samples=len(rows),
        on_progress=on_progress,
        collect=collect,
    )


def scores_of(found: Evaluation) -> Scores:
    """The numbers that pairs of runs are compared by. What was not measured or is not finite has none: never 0."""
    return Scores(
        _finite(found.map50),
        _finite(found.map50_95),
        {name: value for name, value in found.ap50_95.items() if math.isfinite(value)},
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
