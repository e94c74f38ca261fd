"""Photographs of the simulated camera as files: an ordinary labeled folder, and an unlabeled feed for a device.

Decides the layout (YOLO: `images/`, `labels/`, `data.yaml`) and that a feed never shows a frame that was photographed.

    write_source(Path("photographs"), n=260, seed=0)     # images, labels, data.yaml
    write_feed(Path("feed"), n=24, seed=0)               # frames, and their truth beside them in truth.json
"""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image as PillowImage

from edgewright.errors import StoreUnavailable
from edgewright.progress import OnProgress, silent
from edgewright.runtime.boxes import Boxes, Image
from edgewright.simulate.camera import CLASSES, SimulatedCamera

FEED_START = 1_000_000
"""The first frame of a feed. Photographs count from 0, so a feed is the same line at a later time."""
_JPEG_QUALITY = 93
_REPORT_EVERY = 10


def write_source(folder: Path, *, n: int, seed: int, on_progress: OnProgress = silent) -> None:
    """`n` labeled photographs in YOLO layout; equal arguments write equal files.

    Raises:
        StoreUnavailable: the folder cannot be written.
    """
    camera = SimulatedCamera(seed)
    _make(folder / "images")
    _make(folder / "labels")
    for index in range(n):
        photograph = camera.photograph(index)
        name = f"part-{index:05d}"
        _save(photograph.image, folder / "images" / f"{name}.jpg")
        _write(folder / "labels" / f"{name}.txt", _yolo_lines(photograph.boxes, camera.wh))
        if (index + 1) % _REPORT_EVERY == 0 or index + 1 == n:
            on_progress(index + 1, n, "photographs by the simulated camera")
    _write(folder / "data.yaml", f"names: [{', '.join(CLASSES)}]\n")


def write_feed(folder: Path, *, n: int, seed: int, drift: float = 0.0) -> None:
    """`n` unlabeled frames `00000.jpg …` of the same line later on; `truth.json` holds what is on them, for scoring.

    Raises:
        StoreUnavailable: the folder cannot be written.
    """
    camera = SimulatedCamera(seed, drift=drift)
    _make(folder)
    truth = {}
    for index in range(n):
        photograph = camera.photograph(FEED_START + index)
        name = f"{index:05d}.jpg"
        _save(photograph.image, folder / name)
        truth[name] = {"xyxy": photograph.boxes.xyxy.tolist(), "class_id": photograph.boxes.class_id.tolist()}
    _write(folder / "truth.json", json.dumps({"classes": CLASSES, "frames": truth}, indent=1) + "\n")


def _yolo_lines(boxes: Boxes, wh: tuple[int, int]) -> str:
    """`class cx cy w h`, each relative to the picture, to a hundredth of a pixel."""
    lines = []
    for class_id, (x1, y1, x2, y2) in zip(boxes.class_id.tolist(), boxes.xyxy.tolist(), strict=True):
        numbers = ((x1 + x2) / 2 / wh[0], (y1 + y2) / 2 / wh[1], (x2 - x1) / wh[0], (y2 - y1) / wh[1])
        lines.append(" ".join([str(class_id), *(f"{number:.6f}" for number in numbers)]))
    return "".join(f"{line}\n" for line in lines)


def _save(image: Image, path: Path) -> None:
    try:
        PillowImage.fromarray(image).save(path, quality=_JPEG_QUALITY, subsampling=0)
    except OSError as error:
        raise _not_written(path, error) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _not_written(path, error) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(folder, error) from error


def _not_written(path: Path, error: OSError) -> StoreUnavailable:
    return StoreUnavailable("a simulated photograph cannot be written", got=error.strerror, where=path)
