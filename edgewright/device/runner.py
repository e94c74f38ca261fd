"""Detect on a feed: a folder, a video, a camera.

    detections.jsonl    a line a frame: name, boxes in px of the upright file, class names, scores; or why not
    summary.json        frames, detections, p50 and p99 of a frame, where its time went
    frames/             of the first pictures those that were read, for whoever draws the boxes on them; of a live feed
                        none

Decides at which size a JPEG is decoded: at the smallest from which the letterbox still averages. Decides nothing about
the model. A frame that cannot be read is a line of its own and does not end the run. Refuses an empty feed.

    run_feed(bundle, Folder(pictures), out, files=Files(), on_frame=print).detections
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgewright.device.feed import Feed, Frame, never
from edgewright.device.files import Files
from edgewright.device.phases import FrameTimes, PhaseTimes, Stopwatch
from edgewright.device.sighting import OnSighting, Seen, Sighting, rows_of
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine, open_network
from edgewright.runtime.session import FileNetwork, Predictor, predictor

DETECTIONS_FILE, FRAMES = "detections.jsonl", "frames"
KEPT_FRAMES = 12


@dataclass(frozen=True)
class FeedReport:
    """Attributes:
    frames: read and detected on.
    unreadable: frames that were not.
    detections: on all frames.
    p50_ms, p99_ms: of a frame, letterbox to its line; reading the file is not counted.
    times: with it, phase by phase; None from an agent that did not say.
    missed: frames of a live feed that came while another was looked at.
    """

    frames: int
    unreadable: int
    detections: int
    p50_ms: float
    p99_ms: float
    times: FrameTimes | None = None
    missed: int = 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "times": self.times.to_json() if self.times else None}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FeedReport:
        """Of an agent older or newer than this one: what only that one knows is left out.

        Raises KeyError, TypeError or ValueError where it is no report.
        """
        times = FrameTimes.from_json(value["times"]) if value.get("times") else None
        known = {name: value[name] for name in ("frames", "unreadable", "detections", "p50_ms", "p99_ms")}
        return cls(**known, times=times, missed=value.get("missed", 0))


def run_feed(
    bundle: Bundle,
    feed: Feed,
    out: Path,
    *,
    files: Files,
    on_frame: Callable[[int], None],
    limit: int | None = None,
    until: Callable[[], bool] = never,
    engine: Engine = Engine(),  # noqa: B008 - a value
    limit_ms: float | None = None,
    device_id: str = "",
    watchers: Sequence[OnSighting] = (),
    floor: float | None = None,
    unwritten: Callable[[str], None] | None = None,
) -> FeedReport:
    """Detect on the feed's frames, or on the first `limit`; `on_frame` is told how many are done.

    Args:
        until: asked between frames; the feed ends here where it says so.
        limit_ms: what a frame may take from the file to its line; the bundle's budget, which was set for a decoded
            picture, unless told.
        watchers: told of each frame, the unreadable ones too; their time is no frame's.
        floor: score from which watchers are told of what is doubted; the threshold itself unless told.
        unwritten: told where nothing can be written, and the feed goes on; None: that ends it with an OSError.

    Raises:
        InputError: no frame in the feed, or none that can be read.
        ArtifactCorrupt: a model that cannot be loaded, or fails on a frame.
    """
    spec, watch, missed = bundle.manifest.spec, Stopwatch(), feed.missed
    with _blaming(bundle):
        network = open_network(bundle.model, engine)
        predictor(network, spec)(np.zeros((8, 8, 3), np.uint8))  # the first call allocates; it is no frame's time
    predict = predictor(network, spec, score_threshold=floor, on_phase=watch.lap)
    detections = looked_at = 0
    with _written(out, files, unwritten) as written:
        for frame in islice(feed.frames(until=until), None if limit is None else max(limit, 0)):
            watch.start()
            line, seen = _look(frame, predict, network, bundle, watch)
            written.line(line)
            if seen:
                watch.lap("post")
                watch.stop()
                detections += len(seen.boxes)
                on_frame(watch.frames)
                if looked_at < KEPT_FRAMES and not feed.live:
                    written.frame(frame)
            looked_at += 1
            message = {"device": device_id, "release": bundle.manifest.release, "at": frame.at, **line}
            for watcher in watchers:
                watcher(Sighting(frame, message, seen))
    if not watch.frames:
        raise InputError("no readable picture in the feed", got=f"{looked_at} unreadable")
    limit_ms = bundle.manifest.latency_budget_ms if limit_ms is None else limit_ms
    predicting = PhaseTimes.of(watch.sums_ms("interconnect", "compute", "post"))
    report = FeedReport(
        frames=watch.frames,
        unreadable=looked_at - watch.frames,
        detections=detections,
        p50_ms=predicting.p50_ms,
        p99_ms=predicting.p99_ms,
        times=watch.times(limit_ms=limit_ms),
        missed=feed.missed - missed,
    )
    written.summary(report)
    return report


class _Written:
    """The files of a run; where the disk does not let them be written, and somebody wants to be told, without them."""

    def __init__(self, out: Path, files: Files, unwritten: Callable[[str], None] | None) -> None:
        self._out, self._files, self._unwritten = out, files, unwritten
        self._stream: IO[bytes] | None = None
        self._failed = False

    def begin(self) -> None:
        def work() -> None:
            self._files.make_dir(self._out / FRAMES)
            self._stream = self._files.open(self._out / DETECTIONS_FILE)

        self._try(work)

    def line(self, value: dict[str, Any]) -> None:
        stream = self._stream
        if stream is not None:
            self._try(lambda: self._files.write(stream, json.dumps(value, sort_keys=True).encode() + b"\n"))

    def frame(self, frame: Frame) -> None:
        self._try(lambda: self._files.write_new(self._out / FRAMES / frame.name, frame.encoded()))

    def end(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._try(lambda: self._files.fsync(stream))
            stream.close()

    def summary(self, report: FeedReport) -> None:
        payload = json.dumps(report.to_json(), indent=1, sort_keys=True).encode()
        self._try(lambda: self._files.replace(self._out / "summary.json", payload))

    def _try(self, work: Callable[[], None]) -> None:
        try:
            if not self._failed:
                work()
        except OSError as error:
            if self._unwritten is None:
                raise
            self._failed = True
            self._unwritten(f"what is detected cannot be written: {error}")


@contextmanager
def _written(out: Path, files: Files, unwritten: Callable[[str], None] | None) -> Iterator[_Written]:
    written = _Written(out, files, unwritten)
    written.begin()
    try:
        yield written
    finally:
        written.end()


@contextmanager
def _blaming(bundle: Bundle) -> Iterator[None]:
    """What is refused here is the model's fault, and no frame's."""
    try:
        yield
    except InputError as error:
        raise ArtifactCorrupt("the model fails", got=error, where=bundle.model) from error


def _look(
    frame: Frame, predict: Predictor, network: FileNetwork, bundle: Bundle, watch: Stopwatch
) -> tuple[dict[str, Any], Seen | None]:
    """A frame's line, and what was seen where it could be read. `network`: the one that `predict` asks."""
    spec = bundle.manifest.spec
    try:
        picture = frame.read(spec.input_px)
        watch.lap("capture")
    except InputError as error:
        return {"frame": frame.name, "error": error.what}, None  # without the path, which is this machine's
    with _blaming(bundle):
        found = predict(picture.pixels)
    sure = found.score >= spec.score_threshold
    boxes = found[sure]
    rows = rows_of(picture.to_file(boxes), spec.classes)
    seen = Seen(picture, boxes, spec.classes, found[~sure], network.feature)
    return {"frame": frame.name, "detections": rows}, seen
