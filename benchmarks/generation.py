"""How fast labeled pictures are composed on a CPU, each number next to a baseline measured in the same run.

    python benchmarks/generation.py                     # about a minute
    python benchmarks/generation.py --images 4000 --sides 64

Labels, each against the labeler's look at a picture (its network has random weights: speed alone): boxes from the
layout, many layouts in one call (at most 1 us a sample is wanted); and what every synthetic picture gets, the visible
masks of its objects, run-length encoded, with their tight boxes.
Compositor: pictures with their labels, not encoded, in one process and in two at once, against decoding, resizing and
encoding of real ones (`copier`). Written: pictures encoded and in the dataset's shards, against encoding alone.
Rates of the compositor are of CPU seconds, which other work on the machine disturbs least; at 64 px two processes
together shall make at least 2,000. It runs no network, so it has no floor in FLOP; the labeler's is printed. Networks
on a GPU: `gpu_generation.py`.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from edgewright.artifacts import Artifact, ArtifactRef, Content, LocalStore, Record, Store
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Label, LabelState, Row
from edgewright.label.network.graph import SegmentationNet
from edgewright.label.network.net import Labeler, LabelerSpec
from edgewright.progress import silent
from edgewright.recipe.synth import GenerateConfig, TrainGeneratorConfig
from edgewright.synth.boxes import frame_boxes
from edgewright.synth.compose.background import SceneObject
from edgewright.synth.compose.composite import label_scene
from edgewright.synth.compositor import PictureFactory
from edgewright.synth.generate import generate
from edgewright.synth.generator import open_generator, train_generator
from edgewright.synth.layout.layouts import fit_layouts, sample_layout
from edgewright.synth.objects.crops import build_bank
from edgewright.synth.scene import place
from edgewright.synth.sources import MIN_BOX_PX, train_rows

OBJECTS = 10
_WARM_UP = 300
"""Pictures before the clock starts: plates and sprites are made on first use, 40 sources take about that long."""


@dataclass(frozen=True)
class Made:
    """What the measurements start from: a store, a dataset in it, and generators by method."""

    store: LocalStore
    dataset: Dataset
    compositor: Artifact
    copier: Artifact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images", type=int, default=2000, help="pictures a measurement at 64 px; fewer at larger ones"
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 192], help="longer sides, px")
    parser.add_argument("--alone", nargs=4, metavar=("STORE", "GENERATOR", "DATASET", "PX"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.alone:
        return report_alone(*options.alone, images=options.images)
    with tempfile.TemporaryDirectory() as folder:
        made = prepare(LocalStore(Path(folder)))
        sys.stdout.write(
            f"{OBJECTS} objects a picture, 40 sources of 640 x 480 px, one torch thread, pictures one by one, "
            f"{_WARM_UP} before the compositor's clock starts\n"
        )
        for line in label_lines(made.dataset):
            sys.stdout.write(line + "\n")
        for side_px in options.sides:
            for line in measure(made, side_px=side_px, images=max(100, options.images * 64**2 // side_px**2)):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
    return None


def measure(made: Made, *, side_px: int, images: int) -> list[str]:
    """The lines of one picture size."""
    [(one, one_mb)] = together(made, side_px=side_px, images=images, processes=1)
    two = sum(rate for rate, _ in together(made, side_px=side_px, images=images, processes=2))
    copied = rate_of(factory_of(made, made.copier, side_px), images=images // 4, warm_up=40)
    written, encoded = write_rate(made, side_px=side_px, images=images // 2)
    return [
        ratio(f"compositor {side_px} px, one process, pictures/s", one, "copier", copied),
        ratio(f"compositor {side_px} px, two processes, pictures/s", two, "one process", one),
        f"  peak memory of a process {one_mb:.0f} MB",
        ratio(f"written to shards {side_px} px, one process, pictures/s", written, "PNG encoding alone", encoded),
        f"  peak memory {peak_mb():.0f} MB",
    ]


def label_lines(dataset: Dataset) -> list[str]:
    """Of 10,000 layouts of twelve boxes in one call; of 500 scenes one after the other; of 20 looks of a labeler."""
    corners = np.random.default_rng(0).uniform(-10, 64, (10_000, 12, 4))
    boxes_us = best_us(lambda: frame_boxes(corners, wh=(64, 48), min_px=MIN_BOX_PX), samples=10_000)
    scenes = planned_scenes(dataset, count=500, wh=(64, 48))
    masks_us = best_us(
        lambda: [label_scene([], objects, wh=(64, 48), min_visible=0.3) for objects in scenes], samples=len(scenes)
    )
    spec = LabelerSpec(dataset.classes, (True, True), 128, 16, 1.0)
    labeler = Labeler(spec, SegmentationNet(n_classes=len(dataset.classes), width=16).eval())
    images = [dataset.image(row) for row in dataset.rows[:20]]
    labeler.find(images[0])
    look_us = timed(lambda: [labeler.find(image) for image in images]) / len(images) * 1e6
    return [
        ratio("boxes from the layout, 12 a sample, 10,000 samples a call, us a sample", boxes_us, "labeler", look_us),
        ratio("visible masks and tight boxes, us a sample", masks_us, "labeler", look_us),
        f"  labeler: {spec.image_px} px, batch 1, first look not counted, {mega_flop(labeler, spec):.0f} MFLOP a look",
    ]


def mega_flop(labeler: Labeler, spec: LabelerSpec) -> float:
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        labeler.net(torch.zeros(1, 3, spec.image_px, spec.image_px))
    return float(counted.get_total_flops()) / 1e6


def planned_scenes(dataset: Dataset, *, count: int, wh: tuple[int, int]) -> list[list[SceneObject]]:
    """The objects of layouts of a data set in frames of `wh` px, with their pixels."""
    rows, rng = train_rows(dataset), np.random.default_rng(0)
    layouts, bank = fit_layouts(rows, classes=dataset.classes), build_bank(dataset, rows, rng=rng)
    plans = [sample_layout(layouts, wh=wh, rng=rng) for _ in range(count)]
    return [[place(item, bank, wh=wh, rng=rng) for item in plan] for plan in plans]


def together(made: Made, *, side_px: int, images: int, processes: int) -> list[tuple[float, float]]:
    """Pictures a CPU second, and peak memory in MB, of each of some processes that work at the same time."""
    refs = [made.compositor.ref.sha256, made.dataset.ref.sha256]
    command = [sys.executable, __file__, "--images", str(images), "--alone", made.store.uri, *refs, str(side_px)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    found = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("a measuring process failed")
    return [(float(rate), float(peak_mb)) for rate, peak_mb in (text.split() for text in found)]


def report_alone(store_uri: str, generator: str, dataset: str, side_px: str, *, images: int) -> None:
    """Print the rate of this process, in pictures a CPU second, and its peak memory, MB."""
    store = LocalStore(Path(store_uri.removeprefix("file://")))
    opened = Dataset.open(store, store.ref(dataset, "dataset_real"))
    artifact = store.open(ArtifactRef.from_json(store.ref(generator, "generator").to_json()))
    config = GenerateConfig(images=images, image_px=int(side_px))
    factory = PictureFactory(open_generator(artifact), opened, config, seed=0)
    rate = rate_of(factory, images=images, warm_up=_WARM_UP)
    sys.stdout.write(f"{rate} {peak_mb()}\n")


def factory_of(made: Made, generator: Artifact, side_px: int) -> PictureFactory:
    config = GenerateConfig(images=1, image_px=side_px)
    return PictureFactory(open_generator(generator), made.dataset, config, seed=0)


def rate_of(factory: PictureFactory, *, images: int, warm_up: int) -> float:
    """Pictures a CPU second after the warm-up."""
    for index in range(warm_up):
        factory.make(index)
    start = time.process_time()
    for index in range(warm_up, warm_up + images):
        factory.make(index)
    return images / (time.process_time() - start)


def peak_mb() -> float:
    """Of this process since its start."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def write_rate(made: Made, *, side_px: int, images: int) -> tuple[float, float]:
    """Pictures a second through `generate`, with all it does once, and through the encoder alone."""
    config = GenerateConfig(images=images, image_px=side_px)
    with made.store.workspace() as work:
        writer = DatasetWriter(work, classes=made.dataset.classes)

        def write() -> None:
            generate(made.compositor, made.dataset, config, writer=writer, seed=0, on_progress=silent)
            writer.finish()

        written_s = timed(write)
    factory = factory_of(made, made.compositor, side_px)
    pictures = [factory.make(index).image for index in range(100)]
    encoded_s = timed(lambda: [encode_png(picture) for picture in pictures])
    return images / written_s, 100 / encoded_s


def prepare(store: LocalStore) -> Made:
    dataset = scenes(store, count=40)
    return Made(store, dataset, *(trained(store, dataset, method) for method in ("compositor", "copier")))


def scenes(store: Store, *, count: int) -> Dataset:
    """Pictures of OBJECTS colored ellipses on a noisy gray ground."""
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("red", "blue"))
        for index in range(count):
            image, labels = scene(np.random.default_rng(index))
            row = Row(f"{index:03d}.png", "", width=640, height=480, labels=labels, state=LabelState.HUMAN)
            writer.add(row, encode_png(image))
        writer.finish()
        return Dataset.open(store, store.publish(work, Content("dataset_real", "ingest"), Record()))


def scene(rng: np.random.Generator) -> tuple[np.ndarray, tuple[Label, ...]]:
    image = np.clip(rng.normal(130, 5, (480, 640, 3)), 0, 255).astype(np.uint8)
    labels = []
    rows, columns = np.mgrid[:480, :640]
    cells = rng.permutation(20)[:OBJECTS]
    for number, cell in enumerate(cells.tolist()):
        x, y = cell % 5 * 115 + int(rng.integers(80, 110)), cell // 5 * 110 + int(rng.integers(60, 90))
        w, h = rng.integers(50, 110, 2).tolist()
        inside = ((columns - x) / w * 2) ** 2 + ((rows - y) / h * 2) ** 2 <= 1
        image[inside] = (190, 50, 50) if number % 2 else (50, 50, 190)
        box = (max(x - w / 2, 0), max(y - h / 2, 0), min(x + w / 2, 640), min(y + h / 2, 480))
        labels.append(Label(number, 1 - number % 2, box))
    return image, tuple(labels)


def trained(store: Store, dataset: Dataset, method: str) -> Artifact:
    config = TrainGeneratorConfig.model_validate({"method": method})
    with store.workspace() as work, store.workspace() as scratch:
        train_generator(dataset, config, out=work, scratch=scratch, seed=0, threads=1, on_progress=silent)
        return store.open(store.publish(work, Content("generator", "train_generator"), Record()))


def best_us(work: Callable[[], object], *, samples: int) -> float:
    """CPU microseconds a sample, the best of five times."""
    return min(timed(work) for _ in range(5)) / samples * 1e6


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def ratio(what: str, rate: float, baseline: str, baseline_rate: float) -> str:
    return f"{what}: {rate:.4g} ({baseline}: {baseline_rate:.4g}; ratio {rate / baseline_rate:.3g})"


if __name__ == "__main__":
    main()
