"""Detect on a feed: a folder of pictures in name order.

    detections.jsonl    a line a frame: name, boxes in px of the upright file, class names, scores; or why not
    summary.json        frames, detections, p50 and p99 of a frame, where its time went
    frames/             of the first pictures those that were read, unchanged, for whoever draws the boxes on them

Decides at which size a JPEG is decoded: at the smallest from which the letterbox still averages. Decides nothing about
the model. A frame that cannot be read, or takes more than FRAME_BYTES of memory, is a line of its own and does not end
the run. Refuses an empty feed.

>>> run_feed(bundle, feed, out, files=Files(), on_frame=print).detections
1
2
3
6
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.device.files import Files
from edgewright.device.phases import FrameTimes, PhaseTimes, Stopwatch
from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine, open_network
from edgewright.runtime.pictures import IMAGE_SUFFIXES, decode_picture, read_encoded
from edgewright.runtime.session import predictor

DETECTIONS_FILE, FRAMES = "detections.jsonl", "frames"
KEPT_FRAMES = 12
FRAME_BYTES = 160_000_000
"""What reading one frame may take of a device's memory, roughly: 40 megapixels of a PNG, of a plain JPEG any."""


@dataclass(frozen=True)
class FeedReport:
    """Attributes:
    frames: read and detected on.
    unreadable: frames that were not.
    detections: on all frames.
    p50_ms, p99_ms: of a frame, letterbox to its line; reading the file is not counted.
    times: with it, phase by phase; None from an agent that did not say.
    """

    frames: int
    unreadable: int
    detections: int
    p50_ms: float
    p99_ms: float
    times: FrameTimes | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "times": self.times.to_json() if self.times else None}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FeedReport:
        """Of an agent older or newer than this one: what only that one knows is left out.

        Raises KeyError, TypeError or ValueError where it is no report.
        """
        times = FrameTimes.from_json(value["times"]) if value.get("times") else None
        known = {name: value[name] for name in ("frames", "unreadable", "detections", "p50_ms", "p99_ms")}
        return cls(**known, times=times)


def run_feed(
    bundle: Bundle,
    feed: Path,
    out: Path,
    *,
    files: Files,
    on_frame: Callable[[int], None],
    limit: int | None = None,
    engine: Engine = Engine(),  # noqa: B008 - a value
    limit_ms: float | None = None,
) -> FeedReport:
    """Detect on the feed's pictures, or on the first `limit`; `on_frame` is told how many are done.

    Args:
        limit_ms: what a frame may take from the file to its line; the bundle's budget, which was set for a decoded
            picture, unless told.

    Raises:
        InputError: no pictures in the feed, none that can be read, or a model that cannot be loaded.
    """
    frames = frames_of(feed, limit=limit)
    spec, watch = bundle.manifest.spec, Stopwatch()
    network = open_network(bundle.model, engine)
    predictor(network, spec)(np.zeros((8, 8, 3), np.uint8))  # the first call allocates; it is no frame's time
    predict = predictor(network, spec, on_phase=watch.lap)
    files.make_dir(out / FRAMES)
    detections = 0
    with files.open(out / DETECTIONS_FILE) as stream:
        for number, path in enumerate(frames):
            line: dict[str, Any] = {"frame": path.name}
            watch.start()
            try:
                payload = read_encoded(path, max_bytes=FRAME_BYTES)
                picture = decode_picture(payload, fit_px=spec.input_px, max_memory_bytes=FRAME_BYTES)
                watch.lap("capture")
            except InputError as error:
                line["error"] = error.what  # without the path, which is this machine's
                files.write(stream, _line(line))
            else:
                boxes = predict(picture.pixels)
                line["detections"] = _rows(picture.to_file(boxes), spec.classes)
                files.write(stream, _line(line))
                watch.lap("post")
                watch.stop()
                detections += len(boxes)
                on_frame(watch.frames)
                if number < KEPT_FRAMES:
                    files.write_new(out / FRAMES / path.name, payload)
        files.fsync(stream)
    if not watch.frames:
        raise InputError("no readable picture in the feed", got=f"{len(frames)} unreadable", where=feed)
    limit_ms = bundle.manifest.latency_budget_ms if limit_ms is None else limit_ms
    report = _report(watch, detections, unreadable=len(frames) - watch.frames, limit_ms=limit_ms)
    files.replace(out / "summary.json", json.dumps(report.to_json(), indent=1, sort_keys=True).encode())
    return report


def frames_of(feed: Path, *, limit: int | None = None) -> list[Path]:
    """The feed's pictures in name order, or the first `limit`. Raises InputError where there are none."""
    frames = list(islice(_frames(feed), None if limit is None else max(limit, 0)))
    if not frames:
        raise InputError("no pictures in the feed", expected="/".join(IMAGE_SUFFIXES), where=feed)
    return frames


def _report(watch: Stopwatch, detections: int, *, unreadable: int, limit_ms: float) -> FeedReport:
    predicting = PhaseTimes.of(watch.sums_ms("interconnect", "compute", "post"))
    return FeedReport(
        watch.frames, unreadable, detections, predicting.p50_ms, predicting.p99_ms, watch.times(limit_ms=limit_ms)
    )


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"


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
