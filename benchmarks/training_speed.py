"""What a training step costs now, as a ratio to the former way in the same run: `python benchmarks/training_speed.py`.

Part by part on this machine's threads, former and present by turns, median of each; then whole steps under three ways
for a thread to wait. Shows ratios alone: seconds differ from machine to machine. On a machine with AVX-512,
`ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2` in the environment shows most of what another one would.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewright.data.codec import encode_png
from edgewright.detect.yolo.graphs import slim_graph
from edgewright.detect.yolo.kept_pictures import keep_decoded
from edgewright.detect.yolo.network import build_module
from edgewright.label.network import graph as labeler
from edgewright.label.network.batches import LabeledBatch
from edgewright.label.network.loss import loss_of
from edgewright.learning.layout import fuse_updates, lay_out_by_pixel
from edgewright.simulate.camera import SimulatedCamera
from edgewright.synth.networks.losses import discriminator_loss, generator_loss, gradient_penalties, gradient_penalty
from edgewright.synth.networks.nets import Discriminator, Generator, NetShape

Step = Callable[[], object]
ROUNDS = 15
WAITS = {
    "sleep at once (former)": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin 50,000 times, then sleep": {"GOMP_SPINCOUNT": "50000"},
    "the library's own": {},
}


def main() -> None:
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    for name, former, present in parts():
        before, now = by_turns(former, present)
        print(f"{name:<44} {now / before:5.2f} of the former way")
    print("whole steps by how threads wait, of sleeping at once:")
    whole = {name: run_child(environment) for name, environment in WAITS.items()}
    first = next(iter(whole.values()))
    for name, seconds in whole.items():
        ratios = ", ".join(f"{what} {seconds[what] / first[what]:.2f}" for what in seconds)
        print(f"  {name:<34} {ratios}")


def parts() -> Iterator[tuple[str, Step, Step]]:
    yield ("labeler: doubling, forward and backward", *doublings())
    yield ("labeler: loss, forward and backward", *losses())
    blocks = nn.Sequential(labeler.Block(48, 16), nn.Upsample(scale_factor=2.0), labeler.Block(16, 16))
    yield ("labeler: two blocks, channels side by side", *layouts(blocks, torch.rand(16, 48, 32, 32)))
    paint = Generator(NetShape(32, 32, 64, 3))
    yield ("GAN: generator, channels side by side", *layouts(paint, torch.randn(32, 64), torch.zeros(32).long()))
    detector = build_module(slim_graph(width=0.1875, n_classes=3), n_classes=3).train()
    yield ("detector: update of the weights, fused", *updates(detector))
    yield ("detector: reading a picture, decoded once", *readings())
    yield ("GAN: judging a batch, both players", *judgments())


def by_turns(former: Step, present: Step) -> tuple[float, float]:
    """Median seconds of each."""
    taken: dict[Step, list[float]] = {former: [], present: []}
    for turn in range(ROUNDS + 2):
        for step in taken:
            started = time.perf_counter()
            step()
            if turn > 1:  # the first two find memory and kernels
                taken[step].append(time.perf_counter() - started)
    return statistics.median(taken[former]), statistics.median(taken[present])


def doublings() -> tuple[Step, Step]:
    x = torch.randn(16, 5, 64, 64, requires_grad=True)

    def former() -> None:
        pooled = F.avg_pool2d(F.interpolate(x, scale_factor=2.0), 3, stride=1, padding=1, count_include_pad=False)
        pooled.sum().backward()

    return former, lambda: labeler._double(x).sum().backward()


def losses() -> tuple[Step, Step]:
    logits, weights = torch.randn(16, 5, 128, 128, requires_grad=True), torch.tensor([0.5, 1.0, 1.5, 2.0])
    shape = (16, 128, 128)
    batch = LabeledBatch(torch.empty(0), torch.randint(4, shape), torch.randint(2, shape).float(), torch.ones(shape))
    return (lambda: former_loss(logits, batch, weights).backward()), lambda: loss_of(logits, batch, weights).backward()


def former_loss(logits: Tensor, batch: LabeledBatch, class_weights: Tensor) -> Tensor:
    """The labeler's loss as it was: the same sums over more and wider tensors."""
    wanted = F.one_hot(batch.class_map, len(class_weights)).permute(0, 3, 1, 2).float()
    counts = batch.counts[:, None]
    weights = class_weights[None, :, None, None] * wanted * counts
    cross_entropy = -(weights * F.log_softmax(logits[:, :-1], dim=1)).sum() / weights.sum()
    dice = former_dice(logits[:, :-1].softmax(dim=1) * counts, wanted * counts).mean()
    core = batch.core[:, None]
    pixel = weights.sum(dim=1, keepdim=True) * (1 + (batch.class_map[:, None] > 0).float() * (1 - core))
    entropy = F.binary_cross_entropy_with_logits(logits[:, -1:], core, weight=pixel, reduction="sum") / pixel.sum()
    return cross_entropy + dice + entropy + former_dice(logits[:, -1:].sigmoid() * pixel.sqrt(), core * pixel.sqrt())


def former_dice(probability: Tensor, wanted: Tensor) -> Tensor:
    dims = (0, 2, 3)
    return 1 - (2 * (probability * wanted).sum(dims) + 1) / ((probability**2).sum(dims) + (wanted**2).sum(dims) + 1)


def layouts(network: nn.Module, *inputs: Tensor) -> tuple[Step, Step]:
    """The same network on the same input, plane by plane and pixel by pixel."""

    def step(layout: torch.memory_format) -> None:
        network.to(memory_format=layout)  # type: ignore[call-overload]
        laid = [x.contiguous(memory_format=layout) if x.ndim == 4 else x for x in inputs]
        network(*laid).square().mean().backward()

    return (lambda: step(torch.contiguous_format)), lambda: step(torch.channels_last)


def updates(network: nn.Module) -> tuple[Step, Step]:
    for weight in network.parameters():
        weight.grad = torch.randn_like(weight) * 1e-3 if weight.requires_grad else None
    plain, fused = (torch.optim.AdamW(network.parameters(), lr=1e-6) for _ in range(2))
    fuse_updates(fused)
    return plain.step, fused.step


def readings() -> tuple[Step, Step]:
    """Pictures as the data set of the library reads them, without its mosaic."""
    folder = Path(tempfile.mkdtemp())
    files = [folder / f"{index}.png" for index in range(8)]
    for index, file in enumerate(files):
        file.write_bytes(encode_png(SimulatedCamera(seed=0).photograph(index).image))

    def read(index: int) -> tuple[Any, tuple[int, int], tuple[int, int]]:
        picture = cv2.imdecode(np.fromfile(files[index], np.uint8), cv2.IMREAD_COLOR)
        return picture, picture.shape[:2], picture.shape[:2]

    empty = [None] * len(files)
    data = SimpleNamespace(im_files=list(map(str, files)), ims=empty, im_hw0=empty.copy(), im_hw=empty.copy())
    data.load_image, data.buffer, data.max_buffer_length = read, [], 2
    kept = keep_decoded(data).load_image
    return (lambda: [read(index) for index in range(8)]), lambda: [kept(index) for index in range(8)]


def judgments() -> tuple[Step, Step]:
    """What the discriminator does in a step of the GAN with both penalties, for itself and for the generator."""
    judge, kinds = lay_out_by_pixel(Discriminator(NetShape(32, 32, 64, 3))), torch.zeros(32, dtype=torch.long)
    real, fake = torch.randn(32, 4, 32, 32), torch.randn(32, 4, 32, 32)
    made = fake.clone().requires_grad_()

    def former() -> None:
        seen = [images.clone().requires_grad_() for images in (real, fake)]
        logits = [judge(images, kinds) for images in seen]
        penalties = [gradient_penalty(judged, images) for judged, images in zip(logits, seen, strict=True)]
        (discriminator_loss(*logits) + sum(penalties)).backward()
        with torch.no_grad():
            again = judge(real, kinds)
        generator_loss(again, judge(made, kinds)).backward()

    def present() -> None:
        pairs = torch.cat([real, fake]).contiguous(memory_format=torch.channels_last).requires_grad_()
        logits = judge(pairs, torch.cat([kinds, kinds]))
        (discriminator_loss(*logits.chunk(2)) + sum(gradient_penalties(logits, pairs))).backward()
        generator_loss(logits[:32].detach(), judge(made, kinds)).backward()

    return former, present


def run_child(environment: dict[str, str]) -> dict[str, float]:
    """Seconds of whole steps in a process of its own: how threads wait is read when they are made."""
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    made = subprocess.run(
        [sys.executable, __file__, "--child"], env=kept | environment, check=True, capture_output=True, text=True
    )
    return {name: float(value) for name, value in (line.split("\t") for line in made.stdout.splitlines())}


def child() -> None:
    """Steps as they are now, a line each: name and median seconds."""
    detector, pictures = (
        build_module(slim_graph(width=0.1875, n_classes=3), n_classes=3).train(),
        torch.rand(8, 3, 192, 192),
    )
    segmenter, scenes = labeler.SegmentationNet(n_classes=3, width=16), torch.rand(8, 3, 128, 128)
    steps: dict[str, Step] = {
        "detector": lambda: total_of(detector(pictures)).backward(),
        "labeler": lambda: segmenter(scenes).square().mean().backward(),
        "GAN": judgments()[1],
    }
    for name, step in steps.items():
        print(f"{name}\t{statistics.mean(by_turns(step, lambda step=step: step()))}")  # type: ignore[misc]


def total_of(output: Any) -> Tensor:
    """Of every tensor in a network's nested output."""
    if isinstance(output, Tensor):
        return output.square().mean()
    nested = output.values() if isinstance(output, dict) else output
    return sum((total_of(item) for item in nested), torch.zeros(()))


if __name__ == "__main__":
    child() if "--child" in sys.argv else main()
