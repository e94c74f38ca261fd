"""Edge, cloud and hybrid side by side, over three lines: latency, bytes, accuracy, price, what goes on without a line.

    edge      the INT8 model on the device, one thread, every frame
    cloud     the float model of the same run behind `fleet/model_server.py`, asked about every frame
    hybrid    edge, and by `device/cloud.py` the float model about doubted frames; a late answer is none

All three in one run, on the real test photographs of a run, which come at --fps. Server and line are processes of their
own; the line is a TCP proxy that delays, paces and stalls (a lost packet is a stall of 200 ms, as TCP's is), or
swallows all ("cut"). Latency is of the answer that is used, from the frame on. Prices are declared, not measured.

    python -m benchmarks.hybrid latest --home .edgewright
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lines.shaped import Shape, run_line
from edgewright.device.answers import answer_of
from edgewright.device.cloud import Cloud, Line, Unanswered
from edgewright.device.escalation import Counts, Escalation
from edgewright.device.feed import Closed, Folder, Frame, jpeg_of, never
from edgewright.device.files import Files
from edgewright.device.frames_policy import EscalationPolicy
from edgewright.device.home import DeviceConfig, init_home
from edgewright.device.identity import AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, Identity, new_key, request_for
from edgewright.device.runner import run_feed
from edgewright.device.sighting import Message, Sighting
from edgewright.errors import EdgewrightError, InputError
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.bundle import Bundle

PROJECT, DEVICE = "benchmark", "camera-1"
EDGE_DOLLARS, CLOUD_DOLLARS = 0.005, 0.02
"""For 1,000 requests, as declared for an edge and for a cloud deployment; a frame that is escalated costs both."""
PATIENCE_S, CUT_FRAMES = 5.0, 3


SHAPES = {"good": Shape(0.01, 2.5e6), "slow": Shape(0.08, 1.25e5, 0.01), "cut": Shape(cut=True)}


def run_server(fleet: Path, home: Path, run: str, port: Any) -> None:
    """A process: the float detector, for the devices of the fleet's own register."""
    from edgewright.detect.network import load_float_network
    from edgewright.fleet.authority import server_files
    from edgewright.fleet.listener import listening
    from edgewright.fleet.model_server import model_server
    from edgewright.fleet.register import admitted, open_register
    from edgewright.runtime.session import predictor
    from edgewright.settings import read_settings
    from tasks.serve.model import detector_of

    detector, _ = detector_of(read_settings({"EDGEWRIGHT_HOME": str(home)}), run)
    network, spec = load_float_network(detector.path, threads=1)
    predict, engine = predictor(network, spec), open_register(f"sqlite:///{fleet / 'register.sqlite'}")
    for _ in range(5):
        predict(np.zeros((spec.input_px, spec.input_px, 3), np.uint8))

    def admit(peer: dict[str, str]) -> None:
        with engine.begin() as connection:
            admitted(connection, **peer)

    opens = server_files(fleet, {"127.0.0.1"}, now=datetime.now(UTC), of="model")
    application = model_server(predict, name="float", classes=spec.classes, admit=admit)
    with listening(application, fleet, key_opened_by=opens, host="127.0.0.1", port=0, of="model") as line:
        port.send(line.port)
        threading.Event().wait()


@contextmanager
def beside(run: Callable[..., None], *given: Any) -> Iterator[int]:
    """The port of a process."""
    context = multiprocessing.get_context("spawn")
    told, telling = context.Pipe(duplex=False)
    arguments = [telling if each is None else each for each in given]
    process = context.Process(target=run, args=arguments, daemon=True)
    process.start()
    try:
        if not told.poll(120):
            raise InputError("a process of the benchmark does not begin", got=run.__name__)
        yield int(told.recv())
    finally:
        process.terminate()
        process.join()


def identity_in(fleet: Path, folder: Path) -> Identity:
    """A device that was let in."""
    from edgewright.fleet.authority import authority_in, key_in, sha256_of
    from edgewright.fleet.register import invite, open_register, redeem

    authority, key, now = authority_in(fleet), new_key(), time.time()
    request, engine = request_for(key), open_register(f"sqlite:///{fleet / 'register.sqlite'}")
    with engine.begin() as connection:
        place = {"project": PROJECT, "channel": "stable", "tier": "full", "server_url": "http://127.0.0.1:9"}
        secret = invite(connection, **place, now=now, device=DEVICE, life_s=60)
        redeem(connection, secret, key_sha256=sha256_of(key_in(request)), device=DEVICE, now=now)
    engine.dispose()
    certificate = authority.vouch_for(request, project=PROJECT, device=DEVICE, now=datetime.now(UTC))
    folder.mkdir(parents=True)
    for name, payload in ((KEY_FILE, key), (CERTIFICATE_FILE, certificate), (AUTHORITY_FILE, authority.pem)):
        (folder / name).write_bytes(payload)
    return Identity(folder)


@dataclass
class Shown:
    """The run's INT8 model, and photographs with their truth, by the name of their file."""

    bundle: Bundle
    pictures: Path
    truth: dict[str, tuple[Boxes, Boxes]]


def shown_of(home: Path, run: str, folder: Path, *, frames: int) -> Shown:
    """Raises InputError where the home has no such run."""
    from edgewright.artifacts import ArtifactRef, open_store
    from edgewright.compress.files import INT8_FILE, SPEC_FILE, file_for_this_machine
    from edgewright.data.dataset import Dataset
    from edgewright.data.rows import Origin, Split, spread
    from edgewright.release.bundle import build_bundle
    from edgewright.runtime.session import ModelSpec
    from edgewright.settings import read_settings
    from tasks.engine.journal import find_journal

    settings = read_settings({"EDGEWRIGHT_HOME": str(home)})
    try:
        refs = find_journal(settings.runs, run, stage="quantize").state["refs"]
        model, ingested = (ArtifactRef.from_json(refs[stage]) for stage in ("quantize", "ingest"))
    except (EdgewrightError, KeyError) as error:
        what = "the home has no such run with an INT8 model"
        raise InputError(what, got=error, where=home, next_step="make demo, then --home .edgewright") from error
    store = open_store(settings.store, scratch=settings.scratch / "s3")
    artifact, photographs = store.open(model), Dataset.open(store, ingested)
    (folder / "pictures").mkdir()
    rows = spread(photographs.select(split=Split.TEST, origin=Origin.REAL, labeled=True), frames)
    truth = {}
    for number, row in enumerate(rows):
        name = f"{number:04d}.png"
        (folder / "pictures" / name).write_bytes(photographs.payload(row))
        truth[name] = (row.boxes, row.ignored)
    file = file_for_this_machine(artifact.files)
    golden = np.asarray(next(Folder(folder / "pictures").frames()).read(1 << 16).rgb)
    build_bundle(
        model=artifact.path(file),
        safe_model=None,
        spec=ModelSpec.from_json(artifact.json(SPEC_FILE)),
        golden=[("first", golden)],
        release=1,
        channel="stable",
        out=folder / "bundle",
        latency_budget_ms=1_000.0,
    )
    print(f"{len(truth)} test photographs; on the device {file} ({'VNNI' if file == INT8_FILE else 'no VNNI'})")
    return Shown(Bundle.load(folder / "bundle"), folder / "pictures", truth)


@dataclass
class Used:
    """Of an arm over a line: the answer that is used of each frame, and how long it took."""

    boxes: dict[str, Boxes] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    left_bytes: int = 0
    asked: int = 0
    counts: Counts | None = None
    frames: int = 0

    def take(self, name: str, boxes: Boxes, seconds: float) -> None:
        self.boxes[name], self.seconds[name] = boxes, seconds


class Paced(Closed):
    """A camera that shows the photographs, each when it is due."""

    live, missed = False, 0

    def __init__(self, folder: Path, *, fps: float) -> None:
        self._folder, self._fps = Folder(folder), fps
        self.began: dict[str, float] = {}

    def check(self) -> None:
        self._folder.check()

    def frames(self, *, until: Callable[[], bool] = never) -> Iterator[Frame]:
        due = time.monotonic()
        for frame in self._folder.frames(until=until):
            frame.encoded()
            time.sleep(max(0.0, due - time.monotonic()))
            due += 1 / self._fps
            self.began[frame.name] = time.monotonic()
            yield frame


def boxes_of(message: Mapping[str, Any]) -> Boxes:
    rows = message["detections"]
    return (
        Boxes.of(
            [row["xyxy"] for row in rows],
            class_id=[row["class_id"] for row in rows],
            score=[row["score"] for row in rows],
        )
        if rows
        else Boxes.empty()
    )


def on_the_device(shown: Shown, out: Path, *, fps: float, rule: Escalation | None, line: Line | None) -> Used:
    """Edge, or hybrid with a rule and a line."""
    used, feed = Used(), Paced(shown.pictures, fps=fps)

    def local(sighting: Sighting) -> None:
        used.take(sighting.frame.name, boxes_of(sighting.message), time.monotonic() - feed.began[sighting.frame.name])

    def answered(message: Message) -> None:
        used.take(message["frame"], boxes_of(message), time.monotonic() - feed.began[message["frame"]])

    cloud = Cloud(rule, line, hide=None, bundle=shown.bundle, tell=answered, say=print) if rule and line else None
    watchers = (local, cloud) if cloud else (local,)
    run_feed(
        shown.bundle,
        feed,
        out,
        files=Files(),
        on_frame=lambda _: None,
        watchers=watchers,
        floor=cloud.floor if cloud else None,
        limit_ms=1_000.0,
    )
    if cloud and rule:
        time.sleep(2 * rule.deadline_s)  # what is under way
        used.counts = cloud.told()
        used.asked = used.counts.asked
        cloud.close()
    used.frames = len(used.boxes)
    return used


def in_the_cloud(shown: Shown, line: Line, *, side_px: int, frames: int | None) -> Used:
    """Every frame is sent, one after another; what is not answered in PATIENCE_S is not answered."""
    used, classes = Used(), shown.bundle.manifest.spec.classes
    for number, frame in enumerate(Folder(shown.pictures).frames()):
        if frames is not None and number >= frames:
            break
        frame.encoded()
        used.frames += 1
        began = time.monotonic()
        picture = frame.read(side_px)
        small = picture.rgb.copy()
        small.thumbnail((side_px, side_px))
        used.asked += 1
        try:
            told = line.ask(jpeg_of(small), within_s=PATIENCE_S)
        except Unanswered:
            continue
        found = answer_of(told, wh=small.size, classes=classes).boxes.transform(scale=picture.rgb.width / small.width)
        used.take(frame.name, picture.to_file(found), time.monotonic() - began)
    line.close()
    return used


def map50_of(shown: Shown, used: Used) -> float:
    """Of what is reported, a frame without an answer as one with nothing on it."""
    from edgewright.detect.evaluate import Sample, evaluate

    names = [name for name in shown.truth if used.frames == len(shown.truth) or name in used.boxes]
    samples = [Sample(np.zeros((1, 1, 3), np.uint8), *shown.truth[name]) for name in names]
    answers = iter([used.boxes.get(name, Boxes.empty()) for name in names])
    found = evaluate(lambda _: next(answers), samples, classes=shown.bundle.manifest.spec.classes)
    return found.map50 or 0.0


def row_of(arm: str, link: str, shown: Shown, used: Used, dollars: float) -> dict[str, Any]:
    seconds = list(used.seconds.values())
    p50, p95 = (1000 * float(np.percentile(seconds, q)) if seconds else None for q in (50, 95))
    return {
        "arm": arm,
        "link": link,
        "p50_ms": p50,
        "p95_ms": p95,
        "map50": map50_of(shown, used) if seconds else None,
        "bytes_per_1000": round(1000 * used.left_bytes / used.frames),
        "asked": used.asked / used.frames,
        "answered": len(seconds) / used.frames,
        "dollars": dollars,
        "counts": used.counts.to_json() if used.counts else None,
    }


def measured(shown: Shown, fleet: Path, folder: Path, server: int, arguments: Any) -> Iterator[dict[str, Any]]:
    identity = identity_in(fleet, folder / "identity")
    init_home(
        folder / "device",
        trust_root=b"{}",
        config=DeviceConfig(DEVICE, "http://127.0.0.1:9", "stable"),
        files=Files(),
    )
    edge = on_the_device(shown, folder / "edge", fps=arguments.fps, rule=None, line=None)
    yield row_of("edge", "none", shown, edge, arguments.edge_dollars)
    for name in arguments.links:
        left = multiprocessing.get_context("spawn").Value("q", 0)
        with beside(run_line, SHAPES[name], server, None, left) as port:
            url = f"https://127.0.0.1:{port}"
            few = CUT_FRAMES if SHAPES[name].cut else None
            cloud = in_the_cloud(shown, Line(url, identity.context()), side_px=arguments.side_px, frames=few)
            cloud.left_bytes, before = left.value, left.value
            yield row_of("cloud", name, shown, cloud, arguments.cloud_dollars)
            policy = EscalationPolicy(
                url,
                share_per_mille=round(1_000 * arguments.share),
                deadline_ms=arguments.deadline_ms,
                bytes_an_hour=4_000_000_000,
                doubt_percent=round(100 * arguments.doubt),
                side_px=arguments.side_px,
            )
            line, rule = Line(url, identity.context()), Escalation(policy)
            hybrid = on_the_device(shown, folder / f"hybrid-{name}", fps=arguments.fps, rule=rule, line=line)
            hybrid.left_bytes = left.value - before
            dollars = arguments.edge_dollars + arguments.cloud_dollars * hybrid.asked / hybrid.frames
            yield row_of("hybrid", name, shown, hybrid, dollars)


def said(row: Mapping[str, Any]) -> str:
    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    return (
        f"{row['arm']:8}{row['link']:6}{number(row['p50_ms'], '.0f'):>7}{number(row['p95_ms'], '.0f'):>8}"
        f"{row['bytes_per_1000']:>14,}{number(row['map50'], '.3f'):>8}{row['asked']:>8.0%}{row['answered']:>10.0%}"
        f"{row['dollars']:>9.4f}"
    )


def summary(rows: list[dict[str, Any]], arguments: Any) -> Iterator[str]:
    """What was measured while the line was cut, and what leaves."""
    cut = {row["arm"]: row["answered"] for row in rows if row["link"] == "cut"}
    if cut:
        went_on = {arm: "yes" if share == 1 else "no" if share == 0 else f"{share:.0%}" for arm, share in cut.items()}
        yield f"without a line: edge yes (asks nobody), cloud {went_on['cloud']}, hybrid {went_on['hybrid']}, locally"
    highest = max((row["asked"] for row in rows if row["arm"] == "hybrid"), default=0.0)
    yield (
        f"what leaves: edge no picture; cloud every picture; hybrid doubted ones, at most {highest:.0%} of frames here "
        f"(cap {arguments.share:.0%}), {arguments.side_px} px, without what is hidden"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="latest")
    parser.add_argument("--home", type=Path, default=Path(".edgewright"))
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--links", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--doubt", type=float, default=0.5)
    parser.add_argument("--deadline-ms", type=int, default=300)
    parser.add_argument("--side-px", type=int, default=640)
    parser.add_argument("--edge-dollars", type=float, default=EDGE_DOLLARS, help="declared, for 1,000 requests")
    parser.add_argument("--cloud-dollars", type=float, default=CLOUD_DOLLARS, help="declared, for 1,000 requests")
    parser.add_argument("--json", type=Path, help="rows too, into this file")
    arguments = parser.parse_args()
    rows = []
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            shown = shown_of(arguments.home, arguments.run, folder, frames=arguments.frames)
            (folder / "fleet").mkdir()
            with beside(run_server, folder / "fleet", arguments.home, arguments.run, None) as server:
                print(f"{'':8}{'line':6}{'p50 ms':>7}{'p95 ms':>8}{'B / 1,000':>14}{'mAP50':>8}", end="")
                print(f"{'asked':>8}{'answered':>10}{'$/1,000':>9}")
                for row in measured(shown, folder / "fleet", folder, server, arguments):
                    rows.append(row)
                    print(said(row), flush=True)
    except EdgewrightError as error:
        sys.exit(f"{error}")
    for line in summary(rows, arguments):
        print(line)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
