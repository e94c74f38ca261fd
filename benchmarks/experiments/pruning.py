"""Channels cut and tuned, beside a narrower graph of as many multiplications that was trained as long.

The baseline is the detector before the cut. Every network sees the same photographs of train; val is not looked at, and
the last epoch is kept. The narrower graph's width is searched until its multiplications are the cut network's, and it
gets the steps of training and tuning together, so that neither has learned longer; the cut network alone has a teacher
while it is tuned, itself before the cut. Ratios of time are medians by turns
of the float networks in ONNX Runtime on one thread. A network that was made is not made again.

    python -m benchmarks.experiments.pruning --source cells=~/bccd --work /var/tmp/pruning
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.experiments.detectors import opened
from edgewright.artifacts import Artifact, Content, Record, Store, canonical_json, sha256_bytes
from edgewright.compress.sparsify import sparsify
from edgewright.compress.speed import speed_up
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Split
from edgewright.detect.bootstrap import compare_paired
from edgewright.detect.evaluate import Evaluation, Sample, evaluate
from edgewright.detect.network import load_float_network, load_learner
from edgewright.detect.train import train_detector
from edgewright.detect.yolo.graphs import find_graph
from edgewright.detect.yolo.network import build_module
from edgewright.recipe.compress import CompressConfig
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.runtime.session import EVALUATION_SCORE_THRESHOLD, predictor
from edgewright.sparse.cut import multiplications

RESULTS = "pruning.json"
_WIDTHS = (0.05, 1.0)
_HALVINGS = 12


@dataclass(frozen=True)
class Bench:
    """One data set, and how everything on it is trained."""

    store: Store
    dataset: Dataset
    work: Path
    arguments: argparse.Namespace

    def config(self, *, width: float, steps: int) -> TrainDetectorConfig:
        return TrainDetectorConfig(
            model=self.arguments.model,
            width=width,
            init="none",
            image_px=self.arguments.px,
            batch=self.arguments.batch,
            steps=steps,
            epochs=max(1, steps // 25),
            learning_rate=self.arguments.rate,
            keep="last",
        )

    def trained(self, *, width: float, steps: int) -> Artifact:
        config = self.config(width=width, steps=steps)
        return self._kept(
            "trained",
            config.model_dump(mode="json"),
            lambda out, scratch: train_detector(
                self.dataset, config, out=out, scratch=scratch, seed=0, threads=1, on_epoch=lambda _: None
            ),
        )

    def cut(self, whole: Artifact, *, share: float, steps: int) -> Artifact:
        config = CompressConfig(
            method="channels", share=share, steps=steps, epochs=max(1, steps // 25), learning_rate=self.arguments.rate
        )
        return self._kept(
            "cut",
            config.model_dump(mode="json"),
            lambda out, scratch: sparsify(
                whole, self.dataset, config, out=out, scratch=scratch, seed=0, threads=1, on_epoch=lambda _: None
            ),
            of=whole.ref.sha256,
        )

    def _kept(self, what: str, config: dict[str, Any], make: Callable[[Path, Path], object], of: str = "") -> Artifact:
        """Made once from equal words; cut off, it goes on from its scratch folder."""
        said = [what, config, of, self.dataset.ref.sha256]
        name = f"{what}-{sha256_bytes(canonical_json(said))[:12]}"
        known = self.work / f"{name}.ref"
        if not known.is_file():
            scratch = self.work / f"scratch-{name}"
            scratch.mkdir(parents=True, exist_ok=True)
            with self.store.workspace() as out:
                make(out, scratch)
                content = Content(kind="detector", stage="benchmark", config=config)
                known.write_text(self.store.publish(out, content, Record()).sha256)
        return self.store.open(self.store.ref(known.read_text(), "detector"))

    def judged(self, detector: Artifact) -> Evaluation:
        network, spec = load_float_network(detector.path, threads=1)
        rows = self.dataset.select(split=Split.TEST, labeled=True)
        return evaluate(
            predictor(network, spec, score_threshold=EVALUATION_SCORE_THRESHOLD),
            (Sample(self.dataset.image(row), row.boxes, row.ignored) for row in rows),
            classes=self.dataset.classes,
            n_samples=len(rows),
            collect=True,
        )

    def work_of(self, detector: Artifact) -> int:
        module, spec = load_learner(detector.path)
        return multiplications(module.eval(), torch.zeros(1, 3, spec.input_px, spec.input_px))

    def width_with(self, wanted: int) -> float:
        """Of the graph whose multiplications come nearest."""
        px, classes = self.arguments.px, len(self.dataset.classes)

        def cost(width: float) -> int:
            graph = find_graph(self.arguments.model, width=width, n_classes=classes)
            module = build_module(graph, n_classes=classes).eval()
            return multiplications(module, torch.zeros(1, 3, px, px))

        low, high = _WIDTHS
        tried: dict[float, int] = {}
        for _ in range(_HALVINGS):
            middle = round((low + high) / 2, 4)
            tried[middle] = cost(middle)
            low, high = (middle, high) if tried[middle] < wanted else (low, middle)
        return min(tried, key=lambda width: abs(tried[width] - wanted))


def measure(bench: Bench, name: str) -> list[dict[str, Any]]:
    arguments = bench.arguments
    whole = bench.trained(width=arguments.width, steps=arguments.steps)
    before, cost = bench.judged(whole), bench.work_of(whole)
    rows = [row(name, "before the cut", before, before, share=1.0, faster=1.0)]
    print_row(rows[0])
    for share in arguments.shares:
        smaller = bench.cut(whole, share=share, steps=arguments.tuning)
        narrow = bench.trained(width=bench.width_with(bench.work_of(smaller)), steps=arguments.steps + arguments.tuning)
        cut, trained = bench.judged(smaller), bench.judged(narrow)
        for what, detector, found, base in (
            (f"{share:.0%} of channels cut, beside before", smaller, cut, before),
            ("narrower graph, beside the cut one", narrow, trained, cut),
        ):
            made = row(
                name,
                what,
                found,
                base,
                share=bench.work_of(detector) / cost,
                faster=speed_up(whole.path, detector.path),
            )
            rows.append(made)
            print_row(made)
    return rows


def row(name: str, what: str, found: Evaluation, base: Evaluation, *, share: float, faster: float) -> dict[str, Any]:
    assert found.matched is not None
    assert base.matched is not None
    paired = compare_paired(found.matched, base.matched, seed=0)
    return {
        "set": name,
        "what": what,
        "map50": round(found.map50 or 0, 4),
        "map50_95": round(found.map50_95 or 0, 4),
        "difference": [round(value, 4) for value in (paired.difference, paired.low, paired.high)],
        "multiplications": round(share, 3),
        "faster": round(faster, 2),
    }


def print_row(made: dict[str, Any]) -> None:
    difference, low, high = made["difference"]
    print(
        f"| {made['set']} | {made['what']} | {made['map50']:.3f} | {made['map50_95']:.3f}"
        f" | {difference:+.3f} [{low:+.3f}, {high:+.3f}] | {made['multiplications']:.2f} | {made['faster']:.2f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", action="append", required=True, type=lambda text: tuple(text.split("=", 1)))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="edgewright-slim")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.3, 0.5])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--tuning", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--px", type=int, default=192)
    parser.add_argument("--rate", type=float, default=2e-3)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    print("| set | network | mAP50 | mAP50-95 | paired difference | multiplications | times as fast |\n|" + "---|" * 7)
    for name, source in arguments.source:
        store, dataset = opened(name, Path(source).expanduser(), arguments.work)
        work = arguments.work / f"{name}-networks"
        work.mkdir(exist_ok=True)
        found = measure(Bench(store, dataset, work, arguments), name)
        (arguments.work / f"{name}-{RESULTS}").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
