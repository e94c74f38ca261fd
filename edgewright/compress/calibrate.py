"""Which of the user's own images the INT8 ranges are measured on. Decides the choice and feeds it one at a time.

Real `train` images alone: synthetic ones have other statistics, and val and test must stay unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row
from edgewright.errors import InputError
from edgewright.progress import OnProgress, silent
from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.preprocess import letterbox

_LEAST = 2


def choose_calibration_rows(rows: Sequence[Row], *, count: int, seed: int, n_classes: int) -> list[Row]:
    """Up to `count` rows, classes served in turn, the rarest first, so that no class stays unseen.

    Pure; the answer does not depend on the order of `rows`.
    """
    ordered = sorted(rows, key=lambda row: row.id)
    shuffled = [ordered[index] for index in np.random.default_rng(seed).permutation(len(ordered))]
    queues: list[list[Row]] = [[row for row in shuffled if _shows(row, class_id)] for class_id in range(n_classes)]
    queues = [*sorted(queues, key=len), shuffled]
    chosen: dict[str, Row] = {}
    while len(chosen) < min(count, len(ordered)):
        for queue in queues:
            while queue and queue[0].id in chosen:
                queue.pop(0)
            if queue and len(chosen) < count:
                chosen[queue[0].id] = queue[0]
    return sorted(chosen.values(), key=lambda row: row.id)


class CalibrationImages(CalibrationDataReader):  # type: ignore[misc]
    """ONNX Runtime's reader: one letterboxed image at a time, none kept."""

    def __init__(
        self,
        dataset: Dataset,
        rows: Sequence[Row],
        *,
        input_name: str,
        input_px: int,
        on_progress: OnProgress = silent,
    ) -> None:
        if len(rows) < _LEAST:
            raise InputError(
                f"{'one photograph' if rows else 'no photograph'} to calibrate on",
                expected=f"at least {_LEAST} real train images: one alone says nothing of the range of others",
                got=len(rows),
                where=dataset.ref.uri,
                next_step="label more photographs, or raise ingest.train_share",
            )
        self._dataset, self._rows, self._name, self._size = dataset, list(rows), input_name, input_px
        self._on_progress = on_progress
        self._range = (0, len(self._rows))
        self._tensors = self._iterate()

    def __len__(self) -> int:
        return len(self._rows)

    def get_next(self) -> dict[str, Any] | None:
        tensor = next(self._tensors, None)
        return None if tensor is None else {self._name: tensor}

    def set_range(self, start_index: int, end_index: int) -> None:
        """ONNX Runtime asks for a stretch at a time where it calibrates in strides."""
        self._range = (start_index, end_index)
        self._tensors = self._iterate()

    def _iterate(self) -> Iterator[FloatArray]:
        for index in range(*self._range):
            self._on_progress(index, len(self._rows), "calibrating")
            yield letterbox(self._dataset.image(self._rows[index]), size_px=self._size)[0]


def _shows(row: Row, class_id: int) -> bool:
    return any(label.class_id == class_id and not label.ignore for label in row.labels)
