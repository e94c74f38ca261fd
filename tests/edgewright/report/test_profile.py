"""What a dataset holds, counted by columns, against the rows that were written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.artifacts import Content, LocalStore, Record
from edgewright.data.codec import encode_png
from edgewright.data.dataset import DatasetWriter
from edgewright.data.rows import Label, LabelState, Origin, Row, Split
from edgewright.report.profile import profile_of


def row(name: str, **values: Any) -> Row:
    return Row(name, sha256="", width=8, height=8, **values)


def test_images_by_word_and_objects_by_class(tmp_path: Path) -> None:
    store, payload = LocalStore(tmp_path / "store"), encode_png(np.zeros((8, 8, 3), np.uint8))
    nut, bolt = Label(0, 0, (0, 0, 4, 4)), Label(1, 2, (0, 0, 4, 4))
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("nut", "screw", "bolt"))
        writer.add(row("a", labels=(nut, nut, bolt, replace(bolt, ignore=True)), state=LabelState.HUMAN), payload)
        writer.add(row("b", split=Split.TEST), payload)
        writer.add(row("c", origin=Origin.SYNTHETIC, state=LabelState.CONSTRUCTED), payload)
        writer.quarantine(row("d", labels=(nut,), state=LabelState.HUMAN, quarantine="it is torn"))
        writer.finish()
        ref = store.publish(work, Content(kind="dataset_real", stage="ingest"), Record())
    assert profile_of(store, ref) == {
        "num_rows": 3,
        "quarantined": 1,
        "split": {"test": 1, "train": 2},
        "origin": {"real": 2, "synthetic": 1},
        "state": {"constructed": 1, "human": 1, "unlabeled": 1},
        "objects": {"nut": 2, "screw": 0, "bolt": 1},
    }


def test_a_dataset_without_a_label_has_its_classes(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("nut",))
        writer.quarantine(row("a", quarantine="it is torn"))
        writer.finish()
        ref = store.publish(work, Content(kind="dataset_real", stage="ingest"), Record())
    assert profile_of(store, ref) == {
        "num_rows": 0,
        "quarantined": 1,
        "split": {},
        "origin": {},
        "state": {},
        "objects": {"nut": 0},
    }
