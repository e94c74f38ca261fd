"""Frames that came from devices, before a person and after, on a real store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.artifacts import ArtifactRef, LocalStore
from edgewright.data.codec import coded, encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.reingest import reingest
from edgewright.data.rows import Label, LabelState, Row, Split
from edgewright.device.spool import encoded
from edgewright.errors import ArtifactMissing, InputError
from edgewright.fleet.frames import FleetFrame, FramesBox
from edgewright.recipe.data import IngestConfig
from edgewright.review.of_fleet import export_frames, import_frames, reviewed_in, row_id
from edgewright.review.of_run import FLEET_FILE
from edgewright.runtime.pictures import decode_picture
from tests.scenes import publish_dataset

CLASSES = ("nut", "bolt")


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def send(
    box: FramesBox, seed: int, *, device: str = "line-1", picture: Image.Image | None = None, **changes: Any
) -> None:
    payload = encoded(picture or noise(seed))
    facts = {
        "sha256": hashlib.sha256(payload).hexdigest(),
        "bytes": len(payload),
        "width": 64,
        "height": 48,
        "at": 1_780_000_000.0 + seed,
        "release": 3,
        "manifest": "ab" * 32,
        "hard": 0.8,
        "why": {"doubt": 0.8},
        "hidden": 0,
        "frame": f"{seed}.jpg",
        "classes": list(CLASSES),
        "detections": [[4.0, 4.0, 20.0, 20.0, 0.7, 1]],
        "doubted": [[30.0, 10.0, 90.0, 40.0, 0.2, 0]],
        **changes,
    }
    box.begin("belt", device, facts)
    assert box.append("belt", device, facts["sha256"], 0, payload)[1]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def refs(store: LocalStore) -> dict[str, ArtifactRef]:
    """Ten photographs that people labeled."""
    label = Label(0, 0, (2.0, 2.0, 12.0, 12.0))
    pairs = [
        (
            Row(id=f"{n}.png", sha256="", width=64, height=48, group=f"{n}", labels=(label,), state=LabelState.HUMAN),
            encode_png(np.asarray(noise(100 + n))),
        )
        for n in range(10)
    ]
    return {"ingest": publish_dataset(store, pairs, classes=CLASSES).ref}


@pytest.fixture
def frames(tmp_path: Path) -> list[FleetFrame]:
    box = FramesBox(tmp_path / "frames")
    for seed in range(3):
        send(box, seed, device="line-2" if seed == 2 else "line-1")
    return box.frames("belt")


def answers(folder: Path, *, only: int | None = None) -> Path:
    """The person agreed with what was shown, on all pictures or on the first so many."""
    path = folder / "annotations.json"
    document = json.loads(path.read_bytes())
    kept = {image["id"] for image in document["images"][:only]}
    document["images"] = [image for image in document["images"] if image["id"] in kept]
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in kept]
    path.write_text(json.dumps(document))
    return path


def test_frames_go_out_with_what_was_found_and_come_back_among_the_photographs(
    store: LocalStore, refs: Mapping[str, ArtifactRef], frames: list[FleetFrame], tmp_path: Path
) -> None:
    done = export_frames(store, refs, frames, to=tmp_path / "out", format="coco", limit=10)
    assert (done.images, done.boxes, done.lowest_confidence) == (3, 6, 0.2)
    ref, report = import_frames(store, refs, frames, answers(tmp_path / "out"), person="ann")
    assert (report.reviewed, report.kept, report.persons) == (3, 6, ("ann",))
    rows = {row.id: row for row in Dataset.open(store, ref).rows}
    assert len(rows) == 13
    frame = frames[0]
    row = rows[row_id(frame)]
    assert (row.state, row.split, row.scores) == (LabelState.REVIEWED, Split.TRAIN, {"hard": 0.8})
    assert row.group.startswith("fleet/line-1/2026") and row.group == rows[row_id(frames[1])].group
    assert row.group != rows[row_id(frames[2])].group
    assert {label.xyxy for label in row.labels} == {(4.0, 4.0, 20.0, 20.0), (30.0, 10.0, 64.0, 40.0)}
    assert {(label.person, label.model) for label in row.labels} == {("ann", "ab" * 32)}
    told = json.loads(store.file(ref.sha256, FLEET_FILE).read_bytes())[row_id(frame)]
    assert (told["device"], told["release"], told["why"]) == ("line-1", 3, {"doubt": 0.8})
    picture = Dataset.open(store, ref).image(row)
    assert np.array_equal(picture, np.asarray(noise(0)))
    (tmp_path / "work").mkdir()
    begun = reingest(Dataset.open(store, ref), IngestConfig(), workspace=tmp_path / "work")
    assert begun.images == 13 and begun.unlabeled == 0, "a run begins with them"


def test_what_nobody_answered_is_not_learned_from_and_waits(
    store: LocalStore, refs: Mapping[str, ArtifactRef], frames: list[FleetFrame], tmp_path: Path
) -> None:
    export_frames(store, refs, frames, to=tmp_path / "out", format="coco", limit=10)
    ref, report = import_frames(store, refs, frames, answers(tmp_path / "out", only=1), person="ann")
    assert report.reviewed == 1
    assert reviewed_in(store) == {row.id for row in Dataset.open(store, ref).rows if row.id.startswith("fleet/")}
    fleet = [row for row in Dataset.open(store, ref).rows if row.id.startswith("fleet/")]
    assert [row.state for row in fleet] == [LabelState.REVIEWED]
    again = export_frames(store, {"ingest": ref}, frames, to=tmp_path / "again", format="coco", limit=10)
    assert again.images == 2, "the next run's review has those that wait"
    last, _ = import_frames(store, {"ingest": ref}, frames, answers(tmp_path / "again"), person="ann")
    assert len(json.loads(store.file(last.sha256, FLEET_FILE).read_bytes())) == 3
    assert reviewed_in(store) == {row_id(frame) for frame in frames}
    with pytest.raises(InputError, match="no hard frame waits"):
        export_frames(store, {"ingest": last}, frames, to=tmp_path / "none", format="coco", limit=10)


def test_frames_of_another_detector_wait_and_hold_up_no_other(
    store: LocalStore, refs: Mapping[str, ArtifactRef], tmp_path: Path
) -> None:
    box = FramesBox(tmp_path / "frames")
    send(box, 0, classes=["nut", "screw"])
    with pytest.raises(InputError, match="1 of detectors with other classes"):
        export_frames(store, refs, box.frames("belt"), to=tmp_path / "out", format="coco", limit=1)
    send(box, 1)
    assert export_frames(store, refs, box.frames("belt"), to=tmp_path / "one", format="coco", limit=9).images == 1
    with pytest.raises(InputError, match="no hard frame waits"):
        export_frames(store, refs, [], to=tmp_path / "out", format="coco", limit=1)
    with pytest.raises(ArtifactMissing):
        export_frames(store, {}, box.frames("belt"), to=tmp_path / "out", format="coco", limit=1)


def test_an_answer_of_nobody_is_refused(
    store: LocalStore, refs: Mapping[str, ArtifactRef], frames: list[FleetFrame], tmp_path: Path
) -> None:
    export_frames(store, refs, frames, to=tmp_path / "out", format="coco", limit=10)
    with pytest.raises(InputError):
        import_frames(store, refs, frames, answers(tmp_path / "out"))


def test_frames_lie_as_the_photographs_that_they_join(
    store: LocalStore, refs: Mapping[str, ArtifactRef], tmp_path: Path
) -> None:
    pytest.importorskip("imagecodecs")
    box = FramesBox(tmp_path / "frames")
    for seed in range(3):
        send(box, seed, picture=noise(seed).resize((8, 6)).resize((64, 48)))
    frames = box.frames("belt")
    photographs = Dataset.open(store, refs["ingest"])
    smooth = Image.new("RGB", (64, 48), (90, 120, 40))
    stored = coded(encode_png(np.asarray(smooth)), "jxl")
    row = replace(photographs.rows[0], codec=stored.codec, sha256=stored.of)
    joined = publish_dataset(store, [(row, stored.payload)], classes=CLASSES)
    export_frames(store, {"ingest": joined.ref}, frames, to=tmp_path / "out", format="coco", limit=10)
    ref, _ = import_frames(store, {"ingest": joined.ref}, frames, answers(tmp_path / "out"), person="ann")
    dataset = Dataset.open(store, ref)
    found = {row.id: row for row in dataset.rows}
    for frame in frames:
        row = found[row_id(frame)]
        assert (row.codec, row.sha256, row.bytes < frame.facts["bytes"]) == ("jxl", frame.sha256, True)
        assert np.array_equal(dataset.image(row), decode_picture(frame.picture.read_bytes()).pixels)
