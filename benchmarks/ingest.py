"""What reading a source costs: `inspect`, and ingest beside what its pictures cost to decode and hash at the least.

The bounds: `edgewright inspect` of 10,000 small pictures <= 60 s on two cores; ingest of 10,000 others <= 1.5 times
what two processes need that do nothing but read, hash (sha256), decode and shrink them with Pillow. Both take turns in
one run, so that whatever else the machine does meets them alike. What ingest does besides costs some two milliseconds a
picture, whatever its size: with `--side 640` the ratio is higher. Memory is the most that one process held.

    python benchmarks/ingest.py                            # 10,000 pictures of 320 x 240, and 10,000 of 1280 x 960
    python benchmarks/ingest.py --pictures 2000 --side 640 --rounds 3
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from edgewright.data.ingest import ingest
from edgewright.fanout.processes import ProcessHands
from edgewright.recipe.data import IngestConfig

PROCESSES = 2
PILLOW = "pillow, two processes"


def make_source(folder: Path, *, pictures: int, side_px: int) -> None:
    """Smooth random pictures with two boxes each, as YOLO."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(pictures):
        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((side_px, side_px * 3 // 4), Image.Resampling.BICUBIC)
        image.save(folder / "images" / f"{number:06d}.jpg", quality=90)
        (folder / "labels" / f"{number:06d}.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.1 0.2\n")
    (folder / "data.yaml").write_text("names: [bolt, nut]\n")


def hash_share(folder: Path, share: int) -> None:
    """Every PROCESSES-th picture, decoded and hashed."""
    for path in sorted(folder.iterdir())[share::PROCESSES]:
        payload = path.read_bytes()
        hashlib.sha256(payload).hexdigest()
        with Image.open(io.BytesIO(payload)) as opened:
            opened.load()
            opened.convert("L").resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=3.0).tobytes()


def pillow(source: Path) -> None:
    command = [sys.executable, __file__, "--hash", str(source / "images")]
    running = [subprocess.Popen([*command, str(share)]) for share in range(PROCESSES)]
    if any(process.wait() for process in running):
        raise SystemExit("a process of the comparison failed")


def ingested(source: Path) -> None:
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as scratch:
        where = {"workspace": Path(work), "scratch": Path(scratch)}
        ingest(source, IngestConfig(), **where, seed=0, hands=ProcessHands(PROCESSES))


def inspected(source: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edgewright.cli", "inspect", str(source), "--out", f"{folder}/page.html"]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "EDGEWRIGHT_THREADS": "2"})


def took_s(work: Callable[[Path], None], source: Path) -> float:
    began = time.perf_counter()
    work(source)
    return time.perf_counter() - began


def peak_mb() -> tuple[float, float]:
    """Of this process, and of the largest of those that have ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    own, children = (resource.getrusage(kind).ru_maxrss / 1024 for kind in kinds)
    return own, children


def medians_s(
    works: Mapping[str, Callable[[Path], None]], *, pictures: int, side_px: int, rounds: int
) -> dict[str, float]:
    """Name => seconds; the works take turns on one source."""
    took: dict[str, list[float]] = {name: [] for name in works}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        make_source(source, pictures=pictures, side_px=side_px)
        for _ in range(rounds):
            for name, work in works.items():
                took[name].append(took_s(work, source))
    found = {name: statistics.median(seconds) for name, seconds in took.items()}
    for name, seconds in found.items():
        print(f"{name:<24}{seconds:8.1f} s  {seconds / pictures * 1000:.2f} ms a picture of {side_px} px", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=1280, help="px of the longer side of what ingest reads")
    parser.add_argument("--small-side", type=int, default=320, help="of what inspect reads")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--hash", nargs=2, metavar=("FOLDER", "SHARE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hash:
        hash_share(Path(given.hash[0]), int(given.hash[1]))
        return
    asked = {"pictures": given.pictures, "rounds": given.rounds}
    medians_s({"inspect": inspected}, side_px=given.small_side, **asked)
    found = medians_s({PILLOW: pillow, "ingest": ingested}, side_px=given.side, **asked)
    print(f"ingest / pillow         {found['ingest'] / found[PILLOW]:8.2f}    bound 1.5")
    own, children = peak_mb()
    print(f"memory                  {own:8.0f} MB in ingest's process, {children:.0f} MB in the largest other one")


if __name__ == "__main__":
    main()
