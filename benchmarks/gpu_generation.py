"""How fast samples and labels are made on one device, next to the floor that its arithmetic sets.

    python benchmarks/gpu_generation.py                 # on a GPU machine: this checkout, torch and numpy, nothing else
    python benchmarks/gpu_generation.py --quick         # the same lines at toy size, seconds on a CPU

Every rate is one process's throughput after a warm-up, not a latency. Lines:
    sample   the network and the conversion to uint8, on the device
    check    the same, and the labeler's network over every sample
    write    as sample, boxes by construction on the device, both copied out and written as uint8 shards (npy; into the
             page cache, eight files in turn)
    labeler  its network alone
    train    forward and backward passes of a training step of GAN and diffusion, of crops and of scenes' tiles, with
             gradient checkpointing (`less`) and without, and its peak memory; the GAN's step takes R1 and R2
The floor is FLOP a sample (counted) / TFLOP/s: what a matrix product reaches on this very device in the run's numbers,
and 40 TFLOP/s, which is what convolutions of few channels can be expected to reach on an H200. The numbers are bf16, or
float32 on a CPU without bf16: there torch only imitates it, a thousand times slower and with buffers that hide every
other memory. Weights are random: speed does not care.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.training_steps import Place, flow_step, gan_step
from edgewright.label.network.graph import SegmentationNet as Labeler
from edgewright.synth.networks.flow_matching import evaluations, integrate
from edgewright.synth.networks.nets import Generator, NetShape, to_pixels
from edgewright.synth.networks.unet import FlowNet

N_CLASSES = 3
PLANNED_TFLOPS = 40.0
TARGETS = {  # samples/s, from the mission's figures for an H200
    ("sample", "gan", 64): 100_000,
    ("sample", "gan", 128): 30_000,
    ("sample", "diffusion", 64): 7_700,
    ("write", "gan", 64): 10_000,
    ("labeler", "labeler", 128): 125_000,
}
Make = Callable[[], Tensor]


@dataclass(frozen=True)
class Setting:
    """What is the same for every line."""

    device: torch.device
    dtype: torch.dtype
    seconds: float
    warm_up: int
    steps: int
    solver: str
    width: int
    compiled: bool


@dataclass(frozen=True)
class Line:
    """One measurement. `peak_mb` is None where the device does not tell; GFLOP count a multiply-add as two."""

    what: str
    model: str
    side_px: int
    batch: int
    per_s: float
    gflop: float
    floor_per_s: float
    planned_floor_per_s: float
    peak_mb: float | None
    target_per_s: int | None

    def __str__(self) -> str:
        peak = "      -" if self.peak_mb is None else f"{self.peak_mb:7.0f}"
        target = "" if self.target_per_s is None else f"  target {self.target_per_s:,}/s"
        return (
            f"{self.what:12s} {self.model:15s} {self.side_px:4d} px  batch {self.batch:5d}  {self.per_s:12,.0f}/s "
            f"{1e6 / self.per_s:10.2f} µs  {self.gflop:7.3f} GF  floor {self.floor_per_s:11,.0f}/s "
            f"({self.per_s / self.floor_per_s:6.1%})  at {PLANNED_TFLOPS:.0f} TFLOP/s "
            f"{self.planned_floor_per_s:11,.0f}/s  peak {peak} MB{target}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="toy sizes: does it run at all")
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--batch", type=int, default=1024, help="at 64 px; fewer at larger sides, by their area")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--solver", choices=("euler", "heun"), default="heun")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--compile", action="store_true", help="torch.compile, max-autotune")
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    setting = Setting(
        device, native_dtype(device), 3.0, 10, options.steps, options.solver, options.width, options.compile
    )
    sides, batch = options.sides, options.batch
    if options.quick:
        setting, sides, batch = replace(setting, seconds=0.2, warm_up=1, width=8), [32], 64
    torch.manual_seed(0)
    tflops = matmul_tflops(setting, side=1024 if options.quick or device.type == "cpu" else 8192)
    describe(setting, tflops, as_json=options.json)
    for side_px in sides:
        for line in measure(setting, side_px, batch=max(8, batch * 64**2 // side_px**2), tflops=tflops):
            sys.stdout.write((json.dumps(asdict(line)) if options.json else str(line)) + "\n")
            sys.stdout.flush()


def native_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the device computes in it."""
    native = device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def describe(setting: Setting, tflops: float, *, as_json: bool) -> None:
    """Where this ran and how."""
    name = torch.cuda.get_device_name() if setting.device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    facts = {"device": name, "torch": torch.__version__, "matmul_tflops": float(f"{tflops:.3g}")}
    facts |= {"dtype": str(setting.dtype), "warm_up": setting.warm_up, "compiled": setting.compiled}
    facts |= {"solver": setting.solver, "steps": setting.steps, "width": setting.width}
    sys.stdout.write((json.dumps(facts) if as_json else str(facts)) + "\n")


def measure(setting: Setting, side_px: int, *, batch: int, tflops: float) -> Iterator[Line]:
    shape = NetShape(side_px, setting.width, 64, N_CLASSES)
    gan, flow = Generator(shape), FlowNet(shape)
    labeler = Labeler(n_classes=N_CLASSES, width=16).eval()
    ids = torch.zeros(1, dtype=torch.long)
    gan_gf = gflop(lambda: gan(torch.randn(1, shape.latent), ids))
    calls = evaluations(setting.steps, setting.solver)
    flow_gf = calls * gflop(lambda: flow(torch.randn(1, 4, side_px, side_px), torch.rand(1), ids))
    label_gf = gflop(lambda: labeler(torch.rand(1, 3, side_px, side_px)))
    line = liner(setting, side_px, tflops)
    for model, network, work, size in (("gan", gan, gan_gf, batch), ("diffusion", flow, flow_gf, max(8, batch // 2))):
        sample = sampler(ready(network, setting), shape, setting, size)
        check = checked(sample, ready(labeler, setting), setting)
        yield line("sample", model, size, work, partial(rate, sample, size, setting))
        yield line("check", model, size, work + label_gf, partial(rate, check, size, setting))
        yield line("write", model, size, work, partial(write_rate, sample, size, setting))
    pictures = torch.rand(batch, 3, side_px, side_px, device=setting.device).to(memory_format=torch.channels_last)
    look = ready(labeler, setting)
    yield line(
        "labeler", "labeler", batch, label_gf, lambda: rate(lambda: inferred(look, setting, pictures), batch, setting)
    )
    for level, suffix in (("object", ""), ("scene", " scene")):
        learned = replace(shape, level=level)
        for model, make_step in (("gan", gan_step), ("diffusion", flow_step)):
            gf = gflop(make_step(learned, Place(torch.device("cpu"), setting.dtype), 1, recompute=False), grad=True)
            for recompute in (False, True):
                step = make_step(learned, Place(setting.device, setting.dtype), max(8, batch // 8), recompute=recompute)
                what = "train, less" if recompute else "train"
                yield train_line(what, model + suffix, step, line, batch=max(8, batch // 8), gf=gf, setting=setting)


def liner(setting: Setting, side_px: int, tflops: float) -> Callable[..., Line]:
    """Puts a rate next to its floors, with the peak memory of measuring it."""

    def line(what: str, model: str, batch: int, gf: float, measured: Callable[[], float]) -> Line:
        reset_peak(setting.device)
        per_s = measured()
        floors = (tflops * 1000 / gf, PLANNED_TFLOPS * 1000 / gf)
        target = TARGETS.get((what, model, side_px))
        return Line(what, model, side_px, batch, per_s, gf, *floors, peak_mb(setting.device), target)

    return line


def sampler(network: nn.Module, shape: NetShape, setting: Setting, batch: int) -> Make:
    """() => (batch, S, S, 4) uint8 on the device; noise and classes are drawn there too."""
    device, side = setting.device, shape.side_px

    def one_pass() -> Tensor:
        ids = torch.randint(N_CLASSES, (batch,), device=device)
        return to_pixels(network(torch.randn(batch, shape.latent, device=device), ids).float())

    def integrated() -> Tensor:
        ids = torch.randint(N_CLASSES, (batch,), device=device)
        noise = torch.randn(batch, 4, side, side, device=device).to(memory_format=torch.channels_last)
        made = integrate(lambda x, t: network(x, t, ids), noise, steps=setting.steps, solver=setting.solver)
        return to_pixels(made.float())

    return lambda: cast_to(setting, integrated if isinstance(unwrapped(network), FlowNet) else one_pass)


def checked(sample: Make, labeler: nn.Module, setting: Setting) -> Make:
    """Samples, and the labeler's class of each of their pixels, which is what is held against the plan."""

    def check() -> Tensor:
        pixels = sample()
        pictures = pixels[..., :3].permute(0, 3, 1, 2).to(torch.float32) / 255
        inferred(labeler, setting, pictures).argmax(dim=1)
        return pixels

    return check


def inferred(network: nn.Module, setting: Setting, pictures: Tensor) -> Tensor:
    return cast_to(setting, lambda: network(pictures))


def cast_to(setting: Setting, make: Make) -> Tensor:
    with torch.no_grad(), Place(setting.device, setting.dtype).autocast():
        return make()


def ready(network: nn.Module, setting: Setting) -> nn.Module:
    """On the device, channels last; compiled if asked."""
    moved = network.to(setting.device, memory_format=torch.channels_last)
    return torch.compile(moved, mode="max-autotune-no-cudagraphs") if setting.compiled else moved  # type: ignore[return-value]


def unwrapped(network: nn.Module) -> nn.Module:
    return getattr(network, "_orig_mod", network)


def rate(make: Make, batch: int, setting: Setting) -> float:
    """Samples a second."""
    for _ in range(setting.warm_up):
        make()
    synchronize(setting.device)
    start, rounds = time.perf_counter(), 0
    while time.perf_counter() - start < setting.seconds:
        make()
        rounds += 1
        if rounds % 8 == 0:  # the queue of launched work must not outgrow the clock
            synchronize(setting.device)
    synchronize(setting.device)
    return rounds * batch / (time.perf_counter() - start)


def write_rate(make: Make, batch: int, setting: Setting) -> float:
    """Samples a second that are on disk, each with its box: a batch is written while the next one is made."""
    for _ in range(setting.warm_up):
        make()
    synchronize(setting.device)
    with tempfile.TemporaryDirectory() as folder, shards(Path(folder), setting.device) as put:
        start, rounds = time.perf_counter(), 0
        while time.perf_counter() - start < setting.seconds:
            put(make())
            rounds += 1
        put(None)
        return rounds * batch / (time.perf_counter() - start)


@contextmanager
def shards(folder: Path, device: torch.device) -> Iterator[Callable[[Tensor | None], None]]:
    """`put(pixels)` copies a batch out and writes the one before; `put(None)` writes the last."""
    stream = torch.cuda.Stream() if device.type == "cuda" else None
    waiting: list[tuple[Tensor, Tensor]] = []
    numbers = cycle(range(8))

    def write_waiting() -> None:
        if stream is not None:
            stream.synchronize()
        for number, (pixels, boxes) in zip(numbers, waiting, strict=False):
            np.save(folder / f"pixels-{number}.npy", pixels.numpy())
            np.save(folder / f"labels-{number}.npy", boxes.numpy())
        waiting.clear()

    def put(pixels: Tensor | None) -> None:
        write_waiting()  # the batch that `pixels` waits for behind is still being made meanwhile
        if pixels is not None:
            waiting.append((copy_out(pixels, stream), copy_out(boxes_of(pixels), stream)))

    yield put


def boxes_of(pixels: Tensor) -> Tensor:
    """(N, S, S, 4) uint8 => (N, 4) int16 xyxy px of what is opaque; 0 where nothing is."""
    opaque = pixels[..., 3] > 127
    columns, rows = opaque.any(dim=1).to(torch.uint8), opaque.any(dim=2).to(torch.uint8)
    first = [line.argmax(dim=1) for line in (columns, rows)]
    last = [line.shape[1] - line.flip(1).argmax(dim=1) for line in (columns, rows)]
    boxes = torch.stack([*first, *last], dim=1) * opaque.flatten(1).any(dim=1)[:, None]
    return boxes.to(torch.int16)


def copy_out(values: Tensor, stream: torch.cuda.Stream | None) -> Tensor:
    """To pinned memory on a stream of its own; on a CPU the values themselves."""
    if stream is None:
        return values
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        host.copy_(values, non_blocking=True)
    values.record_stream(stream)
    return host


def train_line(
    what: str, model: str, step: Make, line: Callable[..., Line], *, batch: int, gf: float, setting: Setting
) -> Line:
    """On a CPU the peak is by the profiler's count, without the weights."""
    step()
    reset_peak(setting.device)
    peak = cpu_peak_mb(step) if setting.device.type == "cpu" else (step(), peak_mb(setting.device))[1]
    return replace(line(what, model, batch, gf, partial(rate, step, batch, setting)), peak_mb=peak)


def gflop(work: Callable[[], Tensor], *, grad: bool = False) -> float:
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(grad):
        work()
    return counter.get_total_flops() / 1e9


def matmul_tflops(setting: Setting, *, side: int) -> float:
    """Of a square matrix product in the run's numbers, the best of five."""
    a, b = (torch.randn(side, side, device=setting.device, dtype=setting.dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        synchronize(setting.device)
        start = time.perf_counter()
        torch.mm(a, b)
        synchronize(setting.device)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e12


def cpu_peak_mb(work: Callable[[], Tensor]) -> float:
    """The most bytes that torch held at once in `work` above what it held before, as its profiler counts them."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as traced:
        work()
    events = [event for event in traced.profiler.kineto_results.events() if event.name() == "[memory]"]  # type: ignore[union-attr]
    held = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return float(held.max()) / 1e6 if len(held) else 0.0


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak_mb(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated() / 1e6 if device.type == "cuda" else None


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
