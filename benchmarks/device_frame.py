"""A frame on a device beside the bare network, and beside ultralytics' own prediction on the same file.

Baselines in the same run, by turns: ONNX Runtime's session on a tensor that is ready (the raw session), and
`YOLO.predict` of the same INT8 file and picture (1280 × 720 px, decoded RGB), which takes all cores. Our frame is
letterbox, network, boxes. Memory is the peak resident size of a process of its own that loads the file and predicts;
the cold start is a whole process of the runtime, from its start to the first boxes, and one of the agent with its
self-test. Weights are random: right for time and size.

python -m benchmarks.device_frame --image-px 320 640
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.ladder import make
from edgewright.device.core import State
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home
from edgewright.device.slots import Slots
from edgewright.release.bundle import build_bundle
from edgewright.runtime.instruction_sets import MODEL_FILE, SAFE_MODEL_FILE, choose_model, this_processor
from edgewright.runtime.session import ModelSpec, load_network, predictor

MODEL, WIDTH, CLASSES = "edgewright-slim", 0.1875, ("a", "b", "c")
FRAME_WH = (1280, 720)
ROOT = Path(__file__).resolve().parents[1]

OURS = """
import json, sys
import numpy as np
from pathlib import Path
from edgewright.runtime.session import ModelSpec, load_network, predictor
spec = ModelSpec.from_json(json.loads(Path(sys.argv[2]).read_bytes()))
predictor(load_network(Path(sys.argv[1])), spec)(np.zeros((720, 1280, 3), np.uint8))
print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])
"""
THEIRS = """
import sys
import numpy as np
from ultralytics import YOLO
YOLO(sys.argv[1], task="detect").predict(np.zeros((720, 1280, 3), np.uint8), imgsz=int(sys.argv[2]), verbose=False)
print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])
"""


def by_turns(runs: dict[str, Callable[[], object]], *, turns: int) -> dict[str, float]:
    """Median milliseconds of each."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 3):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if turn >= 3:
                times[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(found) for name, found in times.items()}


def process(code: str, *words: str, times: int = 3) -> tuple[float, float]:
    """(seconds, MB resident at its peak): the best of a few, for what else a machine does only adds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "YOLO_AUTOINSTALL": "false"}
    found = []
    for _ in range(times):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, check=True)
        found.append((time.perf_counter() - began, int(done.stdout.split()[-1]) / 1024))
    return min(seconds for seconds, _ in found), min(size for _, size in found)


def agent_seconds(path: Path, spec: ModelSpec, folder: Path) -> float:
    """`edgewright-device run --frames 1` on an installed release: checked, self-tested, detected."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (720, 1280, 3), dtype=np.uint8))
    feed = folder / "feed"
    feed.mkdir()
    picture.save(feed / "0.jpg")
    home = init_home(
        folder / "device", trust_root=b"{}", config=DeviceConfig("one", "http://127.0.0.1:9", "stable"), files=Files()
    )
    build_bundle(
        model=path,
        safe_model=None,
        spec=spec,
        golden=[("one", np.asarray(picture))],
        release=1,
        channel="stable",
        out=folder / "bundle",
        latency_budget_ms=1000.0,
    )
    slots = Slots(home)
    slots.folder("a").rmdir()
    (folder / "bundle").rename(slots.folder("a"))
    slots.save(State(active="a", proven="a"))
    command = [sys.executable, "-m", "edgewright.device", "run", "--home", str(home.root), "--feed", str(feed)]
    found = []
    for turn in range(3):
        began = time.perf_counter()
        subprocess.run(
            [*command, "--out", str(folder / f"out{turn}"), "--frames", "1"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        )
        found.append(time.perf_counter() - began)
    return min(found)


def measure(image_px: int, folder: Path, *, turns: int) -> None:
    from ultralytics import YOLO

    rung = make(MODEL, WIDTH, image_px=image_px, folder=folder)
    path = rung.paths[1 if choose_model(this_processor(), (MODEL_FILE, SAFE_MODEL_FILE)).file == MODEL_FILE else 2]
    spec = ModelSpec(CLASSES, image_px, "dense", 0.25, 0.5)
    (folder / "spec.json").write_text(json.dumps(spec.to_json()))
    cores = len(os.sched_getaffinity(0))
    network, wide = (load_network(path, threads=threads, spinning=threads > 1) for threads in (1, cores))
    ours, ours_wide, theirs = predictor(network, spec), predictor(wide, spec), YOLO(str(path), task="detect")
    frame = np.random.default_rng(0).integers(0, 255, (FRAME_WH[1], FRAME_WH[0], 3), dtype=np.uint8)
    tensor = np.random.default_rng(1).random((1, 3, image_px, image_px), dtype=np.float32)
    found = by_turns(
        {
            "raw session": lambda: network(tensor),
            "our frame": lambda: ours(frame),
            "raw session, all cores": lambda: wide(tensor),
            "our frame, all cores": lambda: ours_wide(frame),
            "YOLO.predict": lambda: theirs.predict(frame, imgsz=image_px, conf=0.25, iou=0.5, verbose=False),
        },
        turns=turns,
    )
    print(f"\n{image_px} px, one thread or all {cores} cores")
    for name, took in found.items():
        raw = found["raw session, all cores" if name.endswith("cores") or name.startswith("YOLO") else "raw session"]
        said = f"{took / raw:5.2f} of the raw session   {took / found['YOLO.predict']:5.2f} of YOLO.predict"
        print(f"  {name:24}{took:8.2f} ms   {said}")
    (cold, ours_mb) = process(OURS, str(path), str(folder / "spec.json"))
    (their_cold, theirs_mb) = process(THEIRS, str(path), str(image_px))
    print(f"  memory        {ours_mb:8.0f} MB   {ours_mb / theirs_mb:5.2f} of YOLO.predict's {theirs_mb:.0f} MB")
    print(f"  cold start    {cold:8.2f} s    {cold / their_cold:5.2f} of YOLO.predict's {their_cold:.2f} s")
    print(f"  agent, whole  {agent_seconds(path, spec, folder):8.2f} s    with its self-test in a process of its own")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-px", type=int, nargs="+", default=[320, 640])
    parser.add_argument("--turns", type=int, default=40)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"processor: {choose_model(this_processor(), (MODEL_FILE, SAFE_MODEL_FILE)).why}")
    for image_px in arguments.image_px:
        with tempfile.TemporaryDirectory() as folder:
            measure(image_px, Path(folder), turns=arguments.turns)


if __name__ == "__main__":
    main()
