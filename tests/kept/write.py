"""Write `tests/kept/<version>`: a run's record and artifacts, and a signed release, as this version writes them.

Run once a released format, never again for the same one: `python tests/kept/write.py`. Keys are
made in a folder that is thrown away, so that nobody can sign for what is kept.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

import edgewright
from edgewright.artifacts import ArtifactRef, LocalStore
from edgewright.data.dataset import Dataset
from edgewright.release.repository import publish_release

write_bundle = runpy.run_path(str(Path(__file__).parents[1] / "cells.py"))["write_bundle"]
KEPT = Path(__file__).parent / edgewright.__version__
HOME = "/srv/edgewright"
"""What stands in the record for the folder of the run."""
SIGNED_AT = datetime(2126, 1, 1, tzinfo=UTC)
"""The signer's clock: signatures of today are refused a week from now, and these are to be read for long."""
STAGES = ("ingest", "gate_data", "gate_model")
"""Whose artifacts are kept: photographs, a data set that points at them, a verdict."""
PHOTOGRAPHS, WH = 60, (96, 72)
SETTINGS = (
    "train_generator.steps=20",
    "train_labeler.steps=60",
    "train_labeler.image_px=96",
    "generate.images=12",
    "generate.image_px=96",
    "gate_data.bootstraps=20",
    "train_detector.epochs=60",
    "train_detector.mosaic=0",
    "train_detector.batch=8",
    "train_detector.image_px=96",
    "quantize.calibration_images=16",
    "gate_model.latency_runs=20",
    "gate_model.max_map_drop=0.5",
    "gate_model.min_parity=0.1",
    "gate_model.min_map50=0.001",
    "gate_model.min_class_map50=0",
    "gate_model.max_p99_ms=5000",
    "flash.feed_frames=6",
)


def main() -> None:
    KEPT.mkdir()
    with TemporaryDirectory() as name:
        folder = Path(name)
        paint_photographs(folder / "photographs")
        run(folder)
        record = keep_record(folder / "home")
        keep_artifacts(LocalStore(folder / "home/store"), record)
        places = {"repository": KEPT / "repository", "keys": folder / "keys"}
        publish_release(write_bundle(folder), channel="stable", now=SIGNED_AT, **places)
    facts = {"run_id": record["run_id"], "rows": described_rows(record)}
    (KEPT / "facts.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


def paint_photographs(folder: Path) -> None:
    """Red and blue squares on gray, their boxes as VOC files; one picture is cut off, one has no label file."""
    for part in ("JPEGImages", "Annotations"):
        (folder / part).mkdir(parents=True)
    for number in range(PHOTOGRAPHS):
        random = np.random.default_rng(number)
        image = random.integers(100, 140, (*WH[::-1], 3), dtype=np.uint8)
        objects = ""
        for half, color in enumerate(((220, 50, 50), (50, 70, 220))):
            x, y, side = (int(value) for value in random.integers((2, 2, 14), (26, 40, 22)))
            x += 48 * half
            image[y : y + side, x : x + side] = color
            corners = f"<xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + side}</xmax><ymax>{y + side}</ymax>"
            objects += f"<object><name>{('red', 'blue')[half]}</name><bndbox>{corners}</bndbox></object>"
        size = f"<size><width>{WH[0]}</width><height>{WH[1]}</height></size>"
        (folder / f"Annotations/{number:02d}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
        Image.fromarray(image).save(folder / f"JPEGImages/{number:02d}.jpg", quality=60)
    (folder / "JPEGImages/00.jpg").write_bytes((folder / "JPEGImages/00.jpg").read_bytes()[:200])
    (folder / "Annotations/01.xml").unlink()


def run(folder: Path) -> None:
    words = ["run", "demo", "--source", str(folder / "photographs"), "--project", "kept"]
    words += [word for setting in SETTINGS for word in ("--set", setting)]
    environment = {**os.environ, "EDGEWRIGHT_HOME": str(folder / "home")}
    subprocess.run([sys.executable, "-m", "edgewright.cli", *words], env=environment, check=True)


def keep_record(home: Path) -> dict[str, Any]:
    (path,) = (home / "runs").glob("*/run.json")
    kept = KEPT / "runs" / path.parent.name / "run.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(path.read_text().replace(str(home.parent), HOME))
    record: dict[str, Any] = json.loads(path.read_bytes())
    return record


def keep_artifacts(store: LocalStore, record: dict[str, Any]) -> None:
    """The artifacts of STAGES, and the keys by which the store recalls them."""
    digests = {record["refs"][stage]["sha256"] for stage in STAGES}
    for digest in digests:
        shutil.copytree(store.root / "artifacts" / digest, KEPT / "store/artifacts" / digest)
    (KEPT / "store/keys").mkdir()
    for key in (store.root / "keys").iterdir():
        if json.loads(key.read_bytes())["digest"] in digests:
            shutil.copy(key, KEPT / "store/keys")


def described_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """What a reader must find in the data set of photographs."""
    store = LocalStore(KEPT / "store")
    ref = store.ref(record["refs"]["ingest"]["sha256"], ArtifactRef.from_json(record["refs"]["ingest"]).kind)
    return [
        {
            "id": row.id,
            "split": row.split,
            "state": row.state,
            "quarantine": row.quarantine,
            "boxes": [[label.class_id, *label.xyxy] for label in row.labels],
        }
        for row in Dataset.open(store, ref).rows
    ]


if __name__ == "__main__":
    main()
