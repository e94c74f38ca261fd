"""How fast synthetic data is made, each number next to a baseline measured in the same run.

    python benchmarks/generation.py

Compositor: pictures a second, against the copier (decode, resize, encode and nothing else). GAN: crops a second out of
the averaged network, and training steps a second with penalties every 4th step against none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from edgewright.artifacts import Artifact, Content, LocalStore, Record, Store
from edgewright.data.dataset import Dataset, DatasetWriter, encode_png
from edgewright.data.rows import Label, Row
from edgewright.progress import silent
from edgewright.recipe import GenerateConfig, TrainGeneratorConfig
from edgewright.synth.generate import generate
from edgewright.synth.generator import open_generator, train_generator

_SIDE_PX = 320
Made = TypeVar("Made")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        for line in measure(store, threads=options.threads, images=options.images, steps=options.steps):
            sys.stdout.write(line + "\n")


def measure(store: Store, *, threads: int, images: int, steps: int) -> list[str]:
    dataset = scenes(store, count=40)
    lazy, rare = TrainGeneratorConfig(steps=steps), TrainGeneratorConfig(steps=steps, r1_gamma=0.0)
    gan, lazy_s = timed(lambda: trained(store, dataset, lazy, threads=threads))
    _, rare_s = timed(lambda: trained(store, dataset, rare, threads=threads))
    copier = trained(store, dataset, TrainGeneratorConfig(method="copier"), threads=threads)
    _, gan_s = timed(lambda: pictures(store, gan, dataset, images=images, threads=threads))
    _, copier_s = timed(lambda: pictures(store, copier, dataset, images=images, threads=threads))
    sampler = open_generator(gan).sampler
    if sampler is None:
        raise SystemExit("the generator has no network")
    rng = np.random.default_rng(0)
    _, sample_s = timed(lambda: [sampler.sample([0] * 64, rng) for _ in range(20)])
    _, single_s = timed(lambda: [sampler.sample([0], rng) for _ in range(200)])
    return [
        f"threads {threads}, pictures of {_SIDE_PX} px, crops of {lazy.side_px} px",
        ratio("compositor, pictures/s", images / gan_s, "copier", images / copier_s),
        ratio("GAN, crops/s in batches of 64", 1280 / sample_s, "one at a time", 200 / single_s),
        ratio("GAN training, steps/s", steps / lazy_s, "without R1 and R2", steps / rare_s),
    ]


def scenes(store: Store, *, count: int) -> Dataset:
    """Pictures of eight colored ellipses on a noisy gray ground."""
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("red", "blue"))
        for index in range(count):
            image, labels = scene(np.random.default_rng(index))
            row = Row(f"{index:03d}.png", "", width=640, height=480, labels=labels, state="human")
            writer.add(row, encode_png(image))
        writer.finish()
        return Dataset.open(store, store.publish(work, Content("dataset_real", "ingest"), Record()))


def scene(rng: np.random.Generator) -> tuple[np.ndarray, tuple[Label, ...]]:
    image = np.clip(rng.normal(130, 5, (480, 640, 3)), 0, 255).astype(np.uint8)
    labels = []
    rows, columns = np.mgrid[:480, :640]
    for number in range(8):
        x, y, w, h = rng.integers(50, 590), rng.integers(50, 430), rng.integers(40, 90), rng.integers(40, 90)
        inside = ((columns - x) / w * 2) ** 2 + ((rows - y) / h * 2) ** 2 <= 1
        image[inside] = (190, 50, 50) if number % 2 else (50, 50, 190)
        labels.append(Label(number, 1 - number % 2, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
    return image, tuple(labels)


def trained(store: Store, dataset: Dataset, config: TrainGeneratorConfig, *, threads: int) -> Artifact:
    with store.workspace() as work, store.workspace() as scratch:
        train_generator(dataset, config, out=work, scratch=scratch, seed=0, threads=threads, on_progress=silent)
        return store.open(store.publish(work, Content("generator", "train_generator"), Record()))


def pictures(store: Store, generator: Artifact, dataset: Dataset, *, images: int, threads: int) -> None:
    config = GenerateConfig(images=images, image_px=_SIDE_PX)
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=dataset.classes)
        generate(generator, dataset, config, writer=writer, seed=0, threads=threads, on_progress=silent)
        writer.finish()


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    start = time.perf_counter()
    made = work()
    return made, time.perf_counter() - start


def ratio(what: str, rate: float, baseline: str, baseline_rate: float) -> str:
    return f"{what}: {rate:.1f} ({baseline}: {baseline_rate:.1f}; ratio {rate / baseline_rate:.2f})"


if __name__ == "__main__":
    main()
