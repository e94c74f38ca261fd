"""Frames of the changed line as data: those that every arm is measured on, those with all labels, those without any.

Decides that what is measured on is never learned from: test frames and fully labeled ones are other scenes than any
device sees. Frames that nobody labeled join the photographs as unlabeled ones, hard by their device's word. Refuses
nothing.

    changed_frames(camera, config, writer=DatasetWriter(out, classes=CLASSES))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.phash import perceptual_hash
from edgewright.data.rows import LabelSource, LabelState, Row, Split, labels_of
from edgewright.data.scores import HARD_SCORE
from edgewright.device.keeping import rows_of_boxes
from edgewright.device.spool import encoded
from edgewright.fleet.frames import FleetFrame
from edgewright.rehearsal.plan import RehearsalConfig
from edgewright.rehearsal.watched import SeenFrame
from edgewright.review.of_fleet import row_id
from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.pictures import decode_picture
from edgewright.runtime.session import ModelSpec
from edgewright.simulate.camera import SimulatedCamera

_TEST, _FULL = 6_000_000, 7_000_000


def changed_frames(camera: SimulatedCamera, config: RehearsalConfig, *, writer: DatasetWriter) -> int:
    """`test` rows to measure on and `train` rows with every label; how many there are."""
    for first, n, split in (
        (_TEST, config.test_frames, Split.TEST),
        (_FULL, config.full_frames, Split.TRAIN),
    ):
        for index in range(first, first + n):
            photograph = camera.photograph(index)
            payload = _webp(photograph.image)
            labels = labels_of(photograph.boxes, source=LabelSource.HUMAN)
            row = _row(f"changed/{index}.webp", payload, split=split)
            writer.add(replace(row, labels=labels, state=LabelState.HUMAN), payload)
    return len(writer.finish())


def with_all(photographs: Dataset, changed: Dataset, *, writer: DatasetWriter) -> None:
    """Photographs, and the changed frames that may be learned from, with their labels."""
    _link_all(photographs, writer)
    for row in changed.select(split=Split.TRAIN):
        writer.link(row, changed)
    writer.finish()


def with_unlabeled(photographs: Dataset, frames: Sequence[FleetFrame], *, writer: DatasetWriter) -> None:
    """Photographs, and frames as no person has seen them."""
    _link_all(photographs, writer)
    for frame in frames:
        payload = frame.picture.read_bytes()
        row = _row(row_id(frame), payload, split=Split.TRAIN)
        writer.add(replace(row, scores={HARD_SCORE: float(frame.facts["hard"])}), payload)
    writer.finish()


def drawn_by_chance(
    seen: Mapping[str, Sequence[SeenFrame]],
    *,
    n: int,
    camera: SimulatedCamera,
    spec: ModelSpec,
    folder: Path,
    seed: int,
) -> list[FleetFrame]:
    """`n` of the frames that devices saw, as they would have told of them; pictures lie in the new `folder`.

    Args:
        seen: by device.
    """
    every = [(device, frame) for device, frames in sorted(seen.items()) for frame in frames]
    chosen = np.random.default_rng([seed, 11]).choice(len(every), size=min(n, len(every)), replace=False)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for at in sorted(chosen.tolist()):
        device, frame = every[at]
        payload = _webp(camera.photograph(int(frame.name)).image)
        digest = sha256(payload).hexdigest()
        path = folder / f"{digest}.webp"
        path.write_bytes(payload)
        facts: dict[str, Any] = {
            "width": camera.wh[0],
            "height": camera.wh[1],
            "at": frame.at,
            "frame": frame.name,
            "release": frame.release,
            "manifest": "",
            "classes": list(spec.classes),
            "threshold": spec.score_threshold,
            "why": {"chance": 1.0},
            "hard": 1.0,
            "detections": rows_of_boxes(frame.boxes),
            "doubted": rows_of_boxes(frame.doubted),
            "hidden": 0,
        }
        found.append(FleetFrame("", device, digest, path, facts))
    return found


def truth_of(frame: FleetFrame, camera: SimulatedCamera) -> Boxes:
    return camera.photograph(int(frame.facts["frame"])).boxes


def _link_all(photographs: Dataset, writer: DatasetWriter) -> None:
    for row in photographs.rows:
        writer.carry(row, photographs)


def _row(name: str, payload: bytes, *, split: Split) -> Row:
    rgb = decode_picture(payload, where=name).rgb
    digest = sha256(payload).hexdigest()
    return Row(
        name, digest, perceptual_hash(rgb), width=rgb.width, height=rgb.height, split=split, group=f"rehearsal/{name}"
    )


def _webp(image: Image) -> bytes:
    return encoded(PillowImage.fromarray(image))
