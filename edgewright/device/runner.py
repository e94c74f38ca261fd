"""Detect on a feed: a folder of pictures in name order.

    detections.jsonl    a line a frame: name, boxes in px of the upright file, class names, scores; or why not
    summary.json        frames, detections, p50 and p99 of a frame, letterbox to boxes
    frames/             the first pictures, unchanged, for whoever draws the boxes on them

Decides nothing about the model. A frame that cannot be read is a line of its own and does not end the run. Refuses an
empty feed.

>>> run_feed(bundle, feed, out, files=Files(), on_frame=print).detections
1
2
3
6
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.device.files import Files
from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine, open_network
from edgewright.runtime.pictures import IMAGE_SUFFIXES, read_picture
from edgewright.runtime.session import predictor

DETECTIONS_FILE, FRAMES = "detections.jsonl", "frames"
KEPT_FRAMES = 12


@dataclass(frozen=True)
class FeedReport:
    """Attributes:
    frames: read and detected on.
    unreadable: frames that were not.
    detections: on all frames.
    p50_ms, p99_ms: of a frame, letterbox to boxes; reading the file is not counted.
    """

    frames: int
    unreadable: int
    detections: int
    p50_ms: float
    p99_ms: float


def run_feed(
    bundle: Bundle,
    feed: Path,
    out: Path,
    *,
    files: Files,
    on_frame: Callable[[int], None],
    limit: int | None = None,
    engine: Engine = Engine(),  # noqa: B008 - a value
) -> FeedReport:
    """Detect on the feed's pictures, or on the first `limit`; `on_frame` is told how many are done.

    Raises:
        InputError: no pictures in the feed, none that can be read, or a model that cannot be loaded.
    """
    frames = list(islice(_frames(feed), limit))
    if not frames:
        raise InputError("no pictures in the feed", expected="/".join(IMAGE_SUFFIXES), where=feed)
    classes = bundle.manifest.spec.classes
    predict = predictor(open_network(bundle.model, engine), bundle.manifest.spec)
    predict(np.zeros((8, 8, 3), np.uint8))  # the first call allocates; it is no frame's time
    files.make_dir(out / FRAMES)
    times_ms: list[float] = []
    detections = 0
    with files.open(out / DETECTIONS_FILE) as stream:
        for number, path in enumerate(frames):
            line: dict[str, Any] = {"frame": path.name}
            try:
                picture = read_picture(path)
            except InputError as error:
                line["error"] = error.what  # without the path, which is this machine's
            else:
                image = picture.pixels
                start = time.perf_counter()
                boxes = predict(image)
                times_ms.append((time.perf_counter() - start) * 1000)
                line["detections"] = _rows(picture.to_file(boxes), classes)
                detections += len(boxes)
                on_frame(len(times_ms))
            files.write(stream, json.dumps(line, sort_keys=True).encode() + b"\n")
            if number < KEPT_FRAMES:
                files.write_new(out / FRAMES / path.name, path.read_bytes())
        files.fsync(stream)
    if not times_ms:
        raise InputError("no readable picture in the feed", got=f"{len(frames)} unreadable", where=feed)
    p50_ms, p99_ms = (round(float(value), 3) for value in np.percentile(times_ms, (50, 99)))
    report = FeedReport(len(times_ms), len(frames) - len(times_ms), detections, p50_ms, p99_ms)
    files.replace(out / "summary.json", json.dumps(asdict(report), indent=1, sort_keys=True).encode())
    return report


def _frames(feed: Path) -> Iterator[Path]:
    try:
        paths = sorted(feed.iterdir())
    except OSError as error:
        raise InputError("the feed cannot be read", got=error.strerror, where=feed) from error
    return (path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def _rows(boxes: Boxes, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = zip(boxes.xyxy.tolist(), boxes.class_id.tolist(), boxes.score.tolist(), strict=True)
    return [
        {"xyxy": [round(x, 2) for x in xyxy], "class_id": kind, "class": classes[kind], "score": round(score, 4)}
        for xyxy, kind, score in rows
    ]
