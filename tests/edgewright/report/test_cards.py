"""What each kind of artifact shows, by the toy run's own."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from edgewright.artifacts import Artifact, ArtifactRef, LocalStore
from edgewright.report.cards import card_of, embedded


@pytest.fixture(scope="module")
def made(toy_run: Any) -> dict[str, Artifact]:
    """Stage → what the toy run's made."""
    refs = json.loads((Path(toy_run.record) / "run.json").read_bytes())["refs"]
    store = LocalStore(toy_run.store)
    return {name: store.open(store.ref(ref["sha256"], ArtifactRef.from_json(ref).kind)) for name, ref in refs.items()}


@pytest.mark.parametrize(
    ("stage", "key", "said"),
    [
        ("generate", "image-grid", r"\d+ of \d+ synthetic pictures"),
        ("gate_data", "gate-report", r"\| (✓|✕ refused|\? not evaluable) \| .* \|"),
        ("gate_model", "model-card", r"\| model\.onnx \| [\d.]+ [kM]B \| [\d.]+ \|"),
        ("release", "release", r"\| version \| 1 \|"),
    ],
)
def test_its_card(made: dict[str, Artifact], stage: str, key: str, said: str) -> None:
    card = card_of(made[stage])
    assert card is not None
    assert card.key == key
    assert re.search(said, card.markdown)


@pytest.mark.parametrize("stage", ["ingest", "train_generator", "train_detector", "flash"])
def test_others_show_nothing(made: dict[str, Artifact], stage: str) -> None:
    assert card_of(made[stage]) is None


def test_every_table_row_has_as_many_cells_as_its_head(made: dict[str, Artifact]) -> None:
    for stage in ("gate_data", "gate_model", "release"):
        card = card_of(made[stage])
        assert card is not None
        for table in re.findall(r"(?:^\|.*\|\n?)+", card.markdown, re.M):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().splitlines()}) == 1


def test_a_picture_travels_in_the_text() -> None:
    text = embedded(np.full((20, 30, 3), 200, np.uint8), about="gray")
    payload = re.fullmatch(r"!\[gray\]\(data:image/jpeg;base64,(.*)\)", text)
    assert payload is not None
    assert PillowImage.open(io.BytesIO(base64.b64decode(payload[1]))).size == (30, 20)
