"""Which labeler agrees most with people on photographs it has not seen: arms that differ in network and start alone.

Every arm is cross-fitted on the same folds with the same steps and batches; what is compared is judged out of fold.
Results are appended to a file as they come; what stands there is not run again.

    python -m benchmarks.experiments.labelers --source cells=~/bccd --source cards=~/cards --work /var/tmp/labelers
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments.detectors import opened
from edgewright.label.train import train_labeler
from edgewright.progress import silent
from edgewright.recipe.label import TrainLabelerConfig

ARMS: dict[str, dict[str, str]] = {
    "unet, none": {"network": "unet", "init": "none"},
    "efficientnet, package": {"network": "efficientnet", "init": "package"},
    "efficientnet, none": {"network": "efficientnet", "init": "none"},
}
BASELINE = "unet, none"
SCORES = ("iou", "precision", "recall")
RESULTS = "labelers.jsonl"


def run(dataset: Any, job: dict[str, Any], *, work: Path, threads: int) -> dict[str, Any]:
    """One labeler, and the mean of its classes' scores on what its folds left out."""
    out, began = work / "out", time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    config = TrainLabelerConfig(**{**ARMS[job["arm"]], **job["fields"]})
    report = train_labeler(dataset, config, out=out, scratch=out, seed=job["seed"], threads=threads, on_progress=silent)
    scores = [report.out_of_fold[name] for name in dataset.classes if name not in report.unlearned]
    means = {name: round(float(np.mean([getattr(score, name) or 0 for score in scores])), 4) for name in SCORES}
    return {**job, **means, "seconds": round(time.monotonic() - began)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", action="append", default=[], type=lambda text: tuple(text.split("=", 1)))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--px", type=int, default=160)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    results = args.work / RESULTS
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    fields = {"steps": args.steps, "image_px": args.px, "batch": 16, "folds": 2}
    jobs = [
        {"set": name, "seed": seed, "arm": arm, "fields": fields}
        for seed in range(args.seeds)
        for name, _ in args.source
        for arm in args.arms
    ]
    for job in jobs:
        if any(all(row[key] == value for key, value in job.items()) for row in done):
            continue
        _, dataset = opened(job["set"], Path(dict(args.source)[job["set"]]).expanduser(), args.work)
        done.append(run(dataset, job, work=args.work, threads=args.threads))
        with results.open("a") as stream:
            stream.write(json.dumps(done[-1]) + "\n")
        print(json.dumps(done[-1]), flush=True)
    print_table(done)


def print_table(rows: list[dict[str, Any]]) -> None:
    """A row a set and seed and arm; IoU as a ratio to the baseline's."""
    print(f"| set | seed | arm | IoU | precision | recall | IoU / {BASELINE} | s |\n|---|---|---|---|---|---|---|---|")
    base = {(row["set"], row["seed"]): row["iou"] for row in rows if row["arm"] == BASELINE}
    for row in sorted(rows, key=lambda row: (row["set"], row["seed"], list(ARMS).index(row["arm"]))):
        ratio = row["iou"] / base[row["set"], row["seed"]] if base.get((row["set"], row["seed"])) else float("nan")
        figures = " | ".join(f"{row[name]:.3f}" for name in SCORES)
        print(f"| {row['set']} | {row['seed']} | {row['arm']} | {figures} | {ratio:.2f} | {row['seconds']} |")


if __name__ == "__main__":
    main()
