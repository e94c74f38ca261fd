"""Hard frames of a fleet: out to a person with what the device found on them, and, reviewed, among the photographs.

Decides that nothing is learned from a frame that no person has answered: what comes back are a run's photographs and
the reviewed frames, and no others. A reviewed frame is a train picture with the score `hard`, so that layouts and
classes are drawn more often like it (`generate.hard_share`); frames of one device and hour are one group. Where each
came from stands in FLEET_FILE and travels with the data set. Frames of a detector with other classes than the run's
wait for a run that has them. Refuses an answer of nobody.

    refs = {"ingest": …}                                                     # a run's artifacts by stage
    export_frames(store, refs, frames, to=Path("review"), format="label-studio", limit=100)
    ref, report = import_frames(store, refs, frames, Path("export.json"))
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgewright.artifacts import ArtifactRef, Content, Record, Store, canonical_json, sha256_bytes, sha256_file
from edgewright.data.codec import SOURCE, codec_of, coded
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.phash import perceptual_hash
from edgewright.data.rows import Label, LabelSource, LabelState, Row, Split
from edgewright.data.scores import HARD_SCORE
from edgewright.errors import ArtifactCorrupt, ArtifactMissing, InputError
from edgewright.fleet.frames import FleetFrame
from edgewright.metrics import metrics_of
from edgewright.review.of_run import FLEET_FILE, carry_over, dataset_of_run
from edgewright.review.round_trip import ImportReport, ReviewExport, export_review, import_review
from edgewright.runtime.pictures import decode_picture

_TOLD = ("at", "release", "manifest", "why", "hidden", "frame")


def export_frames(
    store: Store,
    refs: Mapping[str, ArtifactRef],
    frames: Sequence[FleetFrame],
    *,
    to: Path,
    format: str,  # noqa: A002 - the option's name
    limit: int,
) -> ReviewExport:
    """Write a project of the frames that the run does not know yet into the new folder `to`.

    Raises:
        ArtifactMissing: the run has not come so far.
        InputError: there is none, or see `export_review`.
    """
    return export_review(_unreviewed(store, refs, frames), out=to, format=format, limit=limit)


def import_frames(
    store: Store,
    refs: Mapping[str, ArtifactRef],
    frames: Sequence[FleetFrame],
    path: Path,
    *,
    format: str = "",  # noqa: A002 - the option's name
    person: str = "",
    when: str = "",
) -> tuple[ArtifactRef, ImportReport]:
    """Publish the run's photographs together with the frames that were answered.

    Raises:
        ArtifactMissing: the run has not come so far.
        InputError: see `import_review`.
    """
    photographs, unreviewed = dataset_of_run(store, refs), _unreviewed(store, refs, frames)
    with store.workspace() as answered, store.workspace() as out:
        answers = DatasetWriter(answered, classes=unreviewed.classes)
        report = import_review(unreviewed, path, format=format, person=person, when=when, writer=answers)
        reviewed = [row for row in answers.finish() if row.state == LabelState.REVIEWED]
        writer = DatasetWriter(out, classes=photographs.classes)
        for row in photographs.rows:
            writer.carry(row, photographs)
        for row in reviewed:
            writer.link(row, unreviewed)
        writer.finish()
        carry_over(photographs, out, store)
        told = {row_id(frame): _provenance(frame) for frame in frames}
        provenance = {**_known(store, photographs), **{row.id: told[row.id] for row in reviewed}}
        (out / FLEET_FILE).write_bytes(canonical_json(provenance))
        content = Content(
            kind="dataset_real",
            stage="review",
            config={"part": "fleet"},
            inputs={
                "dataset": photographs.ref.sha256,
                "frames": unreviewed.ref.sha256,
                "answers": sha256_file(path),
            },
        )
        facts = {"persons": list(report.persons), "file": path.name, "frames": len(reviewed)}
        return store.publish(out, content, Record(metrics=metrics_of(report), facts=facts, created_at=_now())), report


def reviewed_in(store: Store) -> frozenset[str]:
    """Row ids of all frames that a person has answered, in whichever review; what cannot be read says nothing.

    Reviews are never garbage, and hold the pictures: these frames are not needed elsewhere.
    """
    found: set[str] = set()
    for digest in sorted(store.digests()):
        with suppress(ArtifactCorrupt, ArtifactMissing):
            content = store.manifest(digest).content
            if content.stage == "review" and "answers" in content.inputs and FLEET_FILE in content.files:
                found |= set(json.loads(store.file(digest, FLEET_FILE).read_bytes()))
    return frozenset(found)


def row_id(frame: FleetFrame) -> str:
    return f"fleet/{frame.id}.webp"


def _unreviewed(store: Store, refs: Mapping[str, ArtifactRef], frames: Sequence[FleetFrame]) -> Dataset:
    """The frames that the run's photographs do not hold, each with what its device found. A data set of its own kind,
    which no run begins with. Raises InputError where there is none."""
    photographs = dataset_of_run(store, refs)
    known = {row.id for row in photographs.rows}
    classes = photographs.classes
    waiting = [frame for frame in frames if row_id(frame) not in known]
    fresh = [frame for frame in waiting if list(frame.facts["classes"]) == list(classes)]
    if not fresh:
        got = f"{len(frames) - len(waiting)} reviewed, {len(waiting)} of detectors with other classes"
        next_step = "name the run that the devices' detector came from" if waiting else None
        raise InputError("no hard frame waits for a review", got=got, next_step=next_step)
    with store.workspace() as out:
        writer = DatasetWriter(out, classes=classes)
        codec = codec_of(photographs.rows)  # they lie as those that they will stand among
        for frame in fresh:
            stored = coded(frame.picture.read_bytes(), codec)
            writer.add(replace(_row(frame), codec=stored.codec), stored.payload)
        writer.finish()
        inputs = {"frames": sha256_bytes(canonical_json(sorted(frame.sha256 for frame in fresh)))}
        config = {"part": "fleet"} | ({} if codec == SOURCE else {"codec": codec})
        content = Content(kind="dataset_hard", stage="review", config=config, inputs=inputs)
        ref = store.publish(out, content, Record(created_at=_now()))
    return Dataset.open(store, ref)


def _row(frame: FleetFrame) -> Row:
    facts = frame.facts
    picture = decode_picture(frame.picture.read_bytes(), where=str(frame.picture))
    width, height = picture.rgb.size
    hour = datetime.fromtimestamp(float(facts["at"]), UTC)
    found = [*facts["detections"], *facts["doubted"]]
    labels = [_label(number, row, facts["manifest"], (width, height)) for number, row in enumerate(found)]
    return Row(
        id=row_id(frame),
        sha256=frame.sha256,
        phash=perceptual_hash(picture.rgb),
        width=width,
        height=height,
        split=Split.TRAIN,
        group=f"fleet/{frame.device}/{hour:%Y%m%dT%H}",
        labels=tuple(label for label in labels if label is not None),
        state=LabelState.MODEL,
        scores={HARD_SCORE: float(facts["hard"])},
    )


def _label(number: int, row: Sequence[float], model: str, wh: tuple[int, int]) -> Label | None:
    """None where nothing of the box lies in the picture."""
    x1, y1, x2, y2 = (min(max(0.0, float(value)), float(side)) for value, side in zip(row[:4], wh * 2, strict=True))
    if x2 - x1 < 1 or y2 - y1 < 1:
        return None
    kind, score = int(row[5]), min(max(0.0, float(row[4])), 1.0)
    return Label(number, kind, (x1, y1, x2, y2), confidence=score, source=LabelSource.LABELER, model=model)


def _provenance(frame: FleetFrame) -> dict[str, Any]:
    return {"device": frame.device, **{name: frame.facts.get(name) for name in _TOLD}}


def _known(store: Store, photographs: Dataset) -> dict[str, Any]:
    """Of frames that are among the photographs already."""
    if FLEET_FILE not in photographs.manifest.content.files:
        return {}
    return dict(json.loads(store.file(photographs.ref.sha256, FLEET_FILE).read_bytes()))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
