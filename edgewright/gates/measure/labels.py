"""What a synthetic set claims: its layouts against real ones, and its labels against what the labeler saw.

Decides which rows count. Layouts: as claimed, of the pictures that training would see, against those of all real T
and H. Labels: the scores that the labeler left on every picture it judged; a picture that it left out counts for
`left_out_share` alone. A set that no labeler judged gives measurements without a value, which are never a pass.
Reads no pixel.

    measurements = [*measure_labeled_layouts(synthetic, real, rounds=100, rng=rng), *measure_labels(rows, …)]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edgewright.data.rows import LabelSource, LabelState, Row, Split
from edgewright.gates.evidence import ClassCount, Measurement, measured
from edgewright.gates.measure.resample import halves, shift_interval
from edgewright.synth.layout.distance import LayoutBox, LayoutDistance, layout_of, measure_layouts

LAYOUT_STATISTICS = (
    "class_frequency",
    "objects",
    "log_size",
    "log_aspect",
    "position_x",
    "position_y",
    "overlap",
)
_TAKEN_OUT = (LabelSource.DROPPED, LabelSource.REVIEW)
"""Sources of labels that `label.annotate` made ignored regions of."""
_SPREAD_ROUNDS = 12
_ROUNDS_EACH = 6
_Floats = npt.NDArray[np.float64]


def measure_labeled_layouts(
    synthetic: Sequence[Row], real: Sequence[Row], *, rounds: int, rng: np.random.Generator
) -> list[Measurement]:
    """`layout_<statistic>_ratio`: its distance to real layouts over the 95 % quantile of real against real.

    Raises InputError for fewer than four real pictures.
    """
    made = [layout_of(_as_claimed(row)) for row in synthetic]
    known = [layout_of(row) for row in real if row.state != LabelState.UNLABELED]
    whole = measure_layouts(made, known, rounds=rounds, rng=rng)
    spread = []
    for chosen in halves(len(made), rounds=_SPREAD_ROUNDS, rng=rng):
        some: list[list[LayoutBox]] = [made[index] for index in chosen]
        spread.append([_ratio(found) for found in measure_layouts(some, known, rounds=_ROUNDS_EACH, rng=rng)])
    columns = np.array(spread).T
    return [
        measured(
            f"layout_{found.name}_ratio",
            _ratio(found),
            interval=shift_interval(_ratio(found), column),
            n=found.n,
            baseline=found.baseline_q95,
        )
        for found, column in zip(whole, columns, strict=True)
    ]


def count_classes(synthetic: Sequence[Row], real: Sequence[Row], *, classes: Sequence[str]) -> tuple[ClassCount, ...]:
    """Objects that training would see, class by class: all usable synthetic ones, and the labeled real ones of `train`
    and `val`. Objects that the labeler took out do not count."""
    held_out = [row for row in real if row.split == Split.VAL]
    train = [row for row in real if row.split == Split.TRAIN]
    columns = [_objects_by_class(rows, n_classes=len(classes)) for rows in (train, held_out, synthetic)]
    return tuple(ClassCount(name, *(column[index] for column in columns)) for index, name in enumerate(classes))


def measure_labels(rows: Sequence[Row], *, rounds: int, rng: np.random.Generator) -> list[Measurement]:
    """`label_agreement label_error_share left_out_share` from the scores of all synthetic rows, the left-out ones too.

    Agreement is the median over the kept pictures of the mean overlap with the labeler's boxes; errors are missed and
    phantom objects among all that either side knows, in the kept pictures.
    """
    judged = [row for row in rows if "agreement" in row.scores]
    kept = [row for row in judged if not row.quarantine]
    left_out = np.array([bool(row.quarantine) for row in judged], dtype=np.float64)
    agreement = np.array([row.scores["agreement"] for row in kept])
    errors = np.array([[row.scores["missed"] + row.scores["phantom"], _known(row)] for row in kept]).reshape(-1, 2)
    return [
        _of("label_agreement", lambda some: float(np.median(agreement[some])), len(kept), rounds=rounds, rng=rng),
        _of("label_error_share", lambda some: _share(errors[some]), len(kept), rounds=rounds, rng=rng),
        _of("left_out_share", lambda some: float(left_out[some].mean()), len(judged), rounds=rounds, rng=rng),
    ]


def _objects_by_class(rows: Sequence[Row], *, n_classes: int) -> list[int]:
    ids = [label.class_id for row in rows for label in row.labels if not label.ignore]
    found: list[int] = np.bincount(np.array(ids, dtype=np.int64), minlength=n_classes).tolist()
    return found


def _as_claimed(row: Row) -> Row:
    """With the objects that the labeler took out of training: the layout is what was generated."""
    labels = [replace(label, ignore=False) if label.source in _TAKEN_OUT else label for label in row.labels]
    return replace(row, labels=tuple(labels))


def _ratio(found: LayoutDistance) -> float:
    """0 where both are 0, e.g. the class frequencies of a single class."""
    if found.baseline_q95 > 0:
        return found.value / found.baseline_q95
    return 0.0 if found.value == 0 else float("nan")


def _of(
    name: str,
    statistic: Callable[[npt.NDArray[np.int64]], float],
    n: int,
    *,
    rounds: int,
    rng: np.random.Generator,
) -> Measurement:
    if n < 2:
        return Measurement(name, None, n=n)
    value = statistic(np.arange(n))
    spread = np.array([statistic(some) for some in halves(n, rounds=rounds, rng=rng)])
    low, high = shift_interval(value, spread)
    return measured(name, value, interval=(max(0.0, low), min(1.0, high)), n=n, baseline=float("nan"))


def _known(row: Row) -> float:
    """Objects that were judged, and phantoms; where an older labeler did not write how many it judged, all labels."""
    return row.scores.get("judged", float(len(row.labels))) + row.scores["phantom"]


def _share(errors: _Floats) -> float:
    return float(errors[:, 0].sum() / max(1.0, errors[:, 1].sum()))
