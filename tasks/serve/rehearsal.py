"""A rehearsal's bookkeeping: the line is watched once, an arm's photographs are put together, results become a page.

Decides where it is all written down: `line.json` beside the run's journal, a line an arm in the results file, frames
by chance in the run's folder. A line that was watched is not watched again; one that was cut off begins anew, with
other devices. Decides nothing about data or models. A measured arm is one MLflow run below the rehearsal's parent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edgewright.artifacts import ArtifactRef, Content, Record, canonical_json, sha256_bytes
from edgewright.compress.files import SPEC_FILE
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.detect.evaluate import EVALUATION_FILE
from edgewright.errors import InputError, StageFailed
from edgewright.files import write_atomically
from edgewright.fleet.frames import FleetFrame
from edgewright.gates.verdict import VERDICT_FILE
from edgewright.metrics import metrics_of
from edgewright.recipe import Recipe
from edgewright.rehearsal.plan import Arm, RehearsalConfig
from edgewright.rehearsal.results import ArmResult, append_result, read_results
from edgewright.rehearsal.story import Part, Story, parts_of
from edgewright.rehearsal.watched import SeenFrame, WatchedDevice
from edgewright.review.of_fleet import import_frames
from edgewright.review.of_run import carry_over
from edgewright.runtime.session import ModelSpec
from edgewright.simulate.camera import SimulatedCamera
from edgewright.simulate.shift import shift_named
from tasks.engine.session import Session, current_session
from tasks.engine.tracking import Entry
from tasks.serve.collector import frames_of
from tasks.serve.rehearsed_line import ROUND, Line, line_of

LINE_FILE, _FRAMES_FILE = "line.json", "frames.json"
PAGE = "report.html"
_CHANCE, _DEVICES = "chance", "devices"


@dataclass(frozen=True)
class Frames:
    """What came home, and as many by chance."""

    hard: tuple[FleetFrame, ...]
    random: tuple[FleetFrame, ...]


@dataclass(frozen=True)
class Measured:
    """An arm's detector, on changed frames and on the test photographs of before."""

    recipe: Recipe
    config: RehearsalConfig
    arm: Arm
    frames: Frames
    training: ArtifactRef
    on_changed: ArtifactRef
    on_day: ArtifactRef
    clicks: int


def watch_line(config: RehearsalConfig, model: ArtifactRef) -> Frames:
    """The first release on its devices, from the day to the frames that they send; done once.

    Raises InputError where too few frames came home to learn from.
    """
    session = _session()
    folder = _folder(session)
    if not (folder / LINE_FILE).exists():
        _watched(session, config, ModelSpec.from_json(session.store.open(model).json(SPEC_FILE)))
    story = Story.from_json(json.loads((folder / LINE_FILE).read_bytes()))
    hard = tuple(frame for frame in frames_of(session.settings).frames(session.link.project) if frame.id in story.kept)
    if not hard:
        raise InputError("no hard frame came home", expected=f"up to {config.kept}", got=story.seen, where=folder)
    told = json.loads((folder / _CHANCE / _FRAMES_FILE).read_bytes())
    random = [
        FleetFrame(session.link.project, one["device"], one["sha256"], folder / _CHANCE / f"{one['sha256']}.webp", one)
        for one in told
    ]
    return Frames(hard, tuple(random))


def learned_from(arm: Arm, frames: Frames, real: ArtifactRef, changed: ArtifactRef) -> tuple[ArtifactRef, int]:
    """An arm's photographs, and the clicks of the simulated reviewer."""
    from edgewright.rehearsal.frames import truth_of, with_all, with_unlabeled
    from edgewright.rehearsal.reviewer import PERSON, clicks_of, write_answers

    session = _session()
    store, photographs = session.store, Dataset.open(session.store, real)
    if arm.frames == "none":
        return real, 0
    if arm.labels == "reviewer":
        chosen = frames.hard if arm.frames == "hard" else frames.random
        camera = _changed_camera(session, store.manifest(changed.sha256).content.config["shift"])
        truth = {frame.sha256: truth_of(frame, camera) for frame in chosen}
        path = _folder(session) / f"answers-{arm.frames}.json"
        write_answers(chosen, truth, classes=photographs.classes, path=path)
        ref, report = import_frames(store, {"ingest": real}, chosen, path, person=PERSON, when="2026-01-01T00:00:00Z")
        return ref, clicks_of(report)
    with store.workspace() as out:
        writer = DatasetWriter(out, classes=photographs.classes)
        if arm.frames == "full":
            with_all(photographs, Dataset.open(store, changed), writer=writer)
        else:
            with_unlabeled(photographs, frames.hard, writer=writer)
        carry_over(photographs, out, store)
        inputs = {"dataset": real.sha256, "changed": changed.sha256}
        content = Content(kind="dataset_real", stage="rehearsal", config={"frames": arm.frames}, inputs=inputs)
        return store.publish(out, content, Record(created_at=_now())), 0


def record(measured: Measured, results: str) -> ArmResult:
    """A run of MLflow, and a line."""
    session, arm = _session(), measured.arm
    result = _result(session, measured)
    entry = Entry(
        arm.title, "-".join(map(str, result.key)), tags={"edgewright.arm": arm.name}, params={"arm": arm.name}
    )
    with session.tracker.child(session.link.mlflow_parent, entry) as child:
        child.log(metrics_of({"map50": result.map50, "map50_95": result.map50_95, "day_map50": result.day_map50}))
        child.log_json(result.to_json(), "result.json")
    append_result(Path(results), result)
    return result


def ship(config: RehearsalConfig, released: ArtifactRef) -> None:
    """Roll the new release out on the line: to one device, then to all; what became of it stands in `line.json`."""
    session = _session()
    path = _folder(session) / LINE_FILE
    story = Story.from_json(json.loads(path.read_bytes()))
    if story.shipped:
        return
    number = int(session.store.manifest(released.sha256).record.facts["version"])
    with _line(session, config, story.line) as line:
        last = max(part.frames for part in story.parts)
        line.rejoin(camera=line.camera, after=last)
        rollout = line.roll_out(number)
        line.see(2 * ROUND)
        parts = _parts(line.devices, "the new release", after=last)
    shipped = f"release {number}: {rollout.why}"
    write_atomically(path, _dumped(replace(story, parts=(*story.parts, *parts), shipped=shipped)))


def conclude(recipe: Recipe, config: RehearsalConfig, results: str) -> Path:
    """Write the page from this run's story and every line of its shift and settings."""
    from edgewright.report.rehearsal import render_rehearsal

    session = _session()
    folder, settings = _folder(session), settings_digest(recipe, config)
    found = [one for one in read_results(Path(results)) if (one.shift, one.settings) == (config.shift, settings)]
    story = Story.from_json(json.loads((folder / LINE_FILE).read_bytes()))
    page = render_rehearsal(found, story, config, project=session.link.project)
    write_atomically(folder / PAGE, page.encode())
    session.tracker.client.log_artifact(session.link.mlflow_parent, str(folder / PAGE))
    session.journal.update(report=str(folder / PAGE))
    return folder / PAGE


def settings_digest(recipe: Recipe, config: RehearsalConfig) -> str:
    """12 hex digits over everything but the seed and which arms are made."""
    values = recipe.model_dump(mode="json", exclude={"seed"})
    told = config.model_dump(mode="json", exclude={"arms"})
    return sha256_bytes(canonical_json([values, told]))[:12]


def _watched(session: Session, config: RehearsalConfig, spec: ModelSpec) -> None:
    from edgewright.rehearsal.frames import drawn_by_chance

    folder, project = _folder(session), session.link.project
    before = {frame.id for frame in frames_of(session.settings).frames(project)}
    name = f"line-{time.time_ns() // 1_000_000:x}"  # other devices than those of a line that was cut off
    with _line(session, config, name) as line:
        line.begin()
        line.see_the_day()
        parts = _parts(line.devices, "as it was", after=0)
        noticed = line.notice()
        why = tuple(device.drift.why for device in line.devices)
        parts += _parts(line.devices, "changed, until it was noticed", after=parts[-1].frames)
        seen = line.keep_hard_frames()
        parts += _parts(line.devices, "hard frames are kept", after=parts[-1].frames)
    kept = [frame for frame in frames_of(session.settings).frames(project) if frame.id not in before]
    camera = _changed_camera(session, config.shift)
    drawn = drawn_by_chance(
        seen, n=len(kept), camera=camera, spec=spec, folder=folder / _CHANCE, seed=session.link.seed
    )
    told = [{**frame.facts, "device": frame.device, "sha256": frame.sha256} for frame in drawn]
    write_atomically(folder / _CHANCE / _FRAMES_FILE, json.dumps(told).encode())
    story = Story(
        line=name,
        noticed=tuple(noticed),
        why=why,
        seen=sum(map(len, seen.values())),
        kept=tuple(frame.id for frame in kept),
        parts=tuple(parts),
    )
    write_atomically(folder / LINE_FILE, _dumped(story))


@contextmanager
def _line(session: Session, config: RehearsalConfig, name: str) -> Iterator[Line]:
    """Watched as a stage is."""
    began = time.monotonic()
    session.observer.stage_started("line", "edge")
    with line_of(
        session.settings,
        session.link.project,
        config,
        seed=session.link.seed,
        name=name,
        folder=_folder(session) / _DEVICES,
        on_step=lambda what: session.observer.stage_progress("line", 0, 1, what),
    ) as line:
        yield line
    session.observer.stage_finished("line", time.monotonic() - began, cached=False)


def _parts(devices: Sequence[WatchedDevice], phase: str, *, after: int) -> list[Part]:
    """Of what each has seen since the last phase."""
    truth = {name: boxes for device in devices for name, boxes in device.feed.truth.items()}
    seen: list[list[SeenFrame]] = [device.take_seen() for device in devices]
    return parts_of(phase, seen, truth, classes=devices[0].classes, after=after)


def _changed_camera(session: Session, name: str) -> SimulatedCamera:
    return SimulatedCamera(session.link.seed, shift=shift_named(name))


def _result(session: Session, measured: Measured) -> ArmResult:
    changed, day = (session.store.open(ref).json(EVALUATION_FILE) for ref in (measured.on_changed, measured.on_day))
    arm, config = measured.arm, measured.config
    gate = session.store.open(measured.training).json(VERDICT_FILE) if arm.synthetic else {}
    counts = {"none": 0, "hard": len(measured.frames.hard), "random": len(measured.frames.random)}
    return ArmResult(
        shift=config.shift,
        seed=session.link.seed,
        settings=settings_digest(measured.recipe, config),
        arm=arm.name,
        map50=changed["map50"] or 0.0,
        map50_95=changed["map50_95"] or 0.0,
        day_map50=day["map50"] or 0.0,
        frames=counts.get(arm.frames, config.full_frames),
        clicks=measured.clicks,
        gate=gate.get("outcome", ""),
        by_class=changed["ap50_95"],
        facts={"finished_at": _now(), "gate_sentence": gate.get("sentence", "")},
    )


def _dumped(story: Story) -> bytes:
    return json.dumps(story.to_json(), indent=1, sort_keys=True).encode()


def _folder(session: Session) -> Path:
    return session.journal.path.parent


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _session() -> Session:
    session = current_session()
    if session is None:
        raise StageFailed("a rehearsal was recorded outside a session")
    return session
