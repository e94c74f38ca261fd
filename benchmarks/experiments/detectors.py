"""Which detector learns most from few photographs: arms that differ in graph and start alone, paired by set and seed.

Every arm sees the same photographs (n of train, drawn by seed), the same number of optimizer steps of the same size,
and keeps its last epoch: val is not looked at. The test split is evaluated once an arm. Results are appended to a file
as they come; what stands there is not run again, so that a run of many hours can be cut anywhere.

    python -m benchmarks.experiments.detectors --source cells=~/bccd --source camera=simulated --work /var/tmp/detectors
    python -m benchmarks.experiments.detectors --work /var/tmp/detectors --table        # what there is so far
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgewright.artifacts import ArtifactRef, Content, Record, open_store
from edgewright.data.dataset import Dataset
from edgewright.data.ingest import ingest
from edgewright.data.rows import Row, Split
from edgewright.detect.evaluate import Sample, evaluate
from edgewright.detect.network import load_float_network
from edgewright.detect.train import train_detector
from edgewright.progress import silent
from edgewright.recipe.data import IngestConfig
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.presets import SIMULATED
from edgewright.runtime.session import EVALUATION_SCORE_THRESHOLD, predictor
from edgewright.simulate.source import write_source

ARMS: dict[str, dict[str, Any]] = {
    "slim, none": {"model": "edgewright-slim", "init": "none"},
    "efficientdet, none": {"model": "efficientdet-slim", "init": "none"},
    "efficientdet, package": {"model": "efficientdet-slim", "init": "package"},
    "efficientdet, package, one rate": {"model": "efficientdet-slim", "init": "package", "backbone_rate": 1.0},
}
BASELINE = "slim, none"
RESULTS = "results.jsonl"
SIMULATED_PHOTOGRAPHS = 260


def subset(dataset: Dataset, *, n: int, seed: int, store: Any) -> Dataset:
    """n labeled photographs of train, drawn by seed, and nothing of val."""
    from edgewright.data.dataset import DatasetWriter

    rows = dataset.select(split=Split.TRAIN, labeled=True)
    order = np.random.default_rng(seed).permutation(len(rows))
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=dataset.classes)
        for index in sorted(order[:n].tolist()):
            writer.link(rows[index], dataset)
        writer.finish()
        content = Content(kind="dataset_subset", stage="benchmark", inputs={"of": dataset.ref.sha256})
        ref = store.publish(work, content, Record())
    return Dataset.open(store, ref)


def opened(name: str, source: Path, work: Path) -> tuple[Any, Dataset]:
    """The set, ingested once into the benchmark's own store."""
    store = open_store(str(work / name))
    known = work / f"{name}.json"
    if not known.is_file():
        with store.workspace() as out:
            scratch = work / "scratch"
            scratch.mkdir(parents=True, exist_ok=True)
            if str(source) == SIMULATED:
                source = scratch / SIMULATED
                write_source(source, n=SIMULATED_PHOTOGRAPHS, seed=0, on_progress=silent)
            ingest(source, IngestConfig(), workspace=out, scratch=scratch, seed=0)
            ref = store.publish(out, Content(kind="dataset_real", stage="ingest"), Record())
        known.write_text(json.dumps(ref.to_json()))
    return store, Dataset.open(store, ArtifactRef.from_json(json.loads(known.read_text())))


def run(store: Any, dataset: Dataset, job: dict[str, Any], *, work: Path, threads: int) -> dict[str, Any]:
    """Train and evaluate one arm."""
    config = TrainDetectorConfig(**{**ARMS[job["arm"]], **job["fields"], "keep": "last"})
    training = subset(dataset, n=job["n"], seed=job["seed"], store=store)
    out, began = work / "out", time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    train_detector(
        training, config, out=out, scratch=work / "training", seed=job["seed"], threads=threads, on_epoch=lambda _: None
    )
    network, spec = load_float_network(lambda file: out / file, threads=threads)
    rows = dataset.select(split=Split.TEST, labeled=True)
    found = evaluate(
        predictor(network, spec, score_threshold=EVALUATION_SCORE_THRESHOLD),
        (_sample(dataset, row) for row in rows),
        classes=dataset.classes,
    )
    return {
        **job,
        "map50": round(found.map50 or 0, 4),
        "map50_95": round(found.map50_95 or 0, 4),
        "ap50": {name: round(value, 3) for name, value in found.ap50.items()},
        "seconds": round(time.monotonic() - began),
    }


def _sample(dataset: Dataset, row: Row) -> Sample:
    return Sample(dataset.image(row), row.boxes, row.ignored)


def jobs(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Seeds outermost: a table of all arms is there early."""
    fields = {
        "steps": args.steps,
        "epochs": max(1, args.steps // 25),
        "batch": args.batch,
        "image_px": args.px,
        "learning_rate": args.rate,
    }
    for seed in range(args.seeds):
        for name, _ in args.source:
            for n in args.n:
                for arm in args.arms:
                    yield {"set": name, "n": n, "seed": seed, "arm": arm, "fields": fields}


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Means over seeds, and the paired difference to the baseline with its 95 % interval (t, over seeds)."""
    print(f"| set | n | arm | seeds | mAP50 | mAP50-95 | against {BASELINE} |\n|---|---|---|---|---|---|---|")
    for key in sorted({(row["set"], row["n"], row["arm"]) for row in rows}):
        own = {row["seed"]: row for row in rows if (row["set"], row["n"], row["arm"]) == key}
        base = {row["seed"]: row for row in rows if (row["set"], row["n"], row["arm"]) == (*key[:2], BASELINE)}
        pairs = [own[seed]["map50_95"] - base[seed]["map50_95"] for seed in own.keys() & base.keys()]
        means = [float(np.mean([row[metric] for row in own.values()])) for metric in ("map50", "map50_95")]
        print(f"| {key[0]} | {key[1]} | {key[2]} | {len(own)} | {means[0]:.3f} | {means[1]:.3f} | {_interval(pairs)} |")


def _interval(pairs: Sequence[float]) -> str:
    from scipy import stats

    if not pairs:
        return ""
    mean = float(np.mean(pairs))
    if len(pairs) < 2:
        return f"{mean:+.3f}"
    half = float(stats.t.ppf(0.975, len(pairs) - 1) * np.std(pairs, ddof=1) / len(pairs) ** 0.5)
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", action="append", default=[], type=lambda text: tuple(text.split("=", 1)))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--n", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--px", type=int, default=256)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--table", action="store_true", help="print what there is, run nothing")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    results = args.work / RESULTS
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    known = {json.dumps({key: row[key] for key in ("set", "n", "seed", "arm", "fields")}) for row in done}
    sources = dict(args.source)
    for job in [] if args.table else jobs(args):
        if json.dumps(job) in known:
            continue
        store, dataset = opened(job["set"], Path(sources[job["set"]]).expanduser(), args.work)
        row = run(store, dataset, job, work=args.work, threads=args.threads)
        with results.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        done.append(row)
        print(json.dumps(row), flush=True)
    print_table(done)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
