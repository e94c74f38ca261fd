"""Trains the labeler on photographs that people labeled.

Decides what it learns from: `train` rows with human (or reviewed) labels. Refuses a data set with synthetic rows in
it: an independent checker never saw the generator's pictures. Cores tell touching instances apart (`masks.py`).

A training that was cut short continues from `scratch/labeler-checkpoint.safetensors`, and ends with the same bytes as
one that was not; a checkpoint of other data, config or seed is not read, and is overwritten.

    report = train_labeler(real, recipe.train_labeler, out=work, scratch=scratch, seed=0, threads=2, on_progress=silent)
    report.unlearnt                                    # classes without a label to learn from
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row, count_by_class
from edgewright.errors import InputError, StageFailed
from edgewright.label.batches import Batch, load_examples, random_batch
from edgewright.label.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgewright.label.loss import loss_of, weigh_classes
from edgewright.label.net import SPEC_FILE, WEIGHTS_FILE, Labeler, LabelerSpec, UNet, pick_device, torch_threads
from edgewright.label.preview import draw_preview
from edgewright.label.score import ClassScore, calibrate, score_classes
from edgewright.progress import OnProgress
from edgewright.recipe import TrainLabelerConfig

HISTORY_FILE = "history.json"
PREVIEW_FILE = "preview.png"
CHECKPOINT_FILE = "labeler-checkpoint.safetensors"
TRUSTED_STATES = ("human", "reviewed", "background")
_HISTORY_EVERY = 10
_PROGRESS_EVERY_S = 0.5
_WARM_UP_SHARE = 0.05
_WEIGHT_DECAY = 1e-2
_CLIP_NORM = 1.0


@dataclass(frozen=True)
class LabelerReport:
    """What a training came to.

    Attributes:
        train_images, val_images: how many photographs it learnt from and was measured on.
        unlearnt: classes without a label in `train`; what the labeler says of them is worth nothing.
        per_class: on `val`.
        final_loss: of the last step.
        continued_from: the step a checkpoint was taken up at; 0 for a fresh start.
    """

    classes: tuple[str, ...]
    train_images: int
    val_images: int
    unlearnt: tuple[str, ...]
    temperature: float
    per_class: dict[str, ClassScore]
    final_loss: float
    continued_from: int
    seconds: float


def train_labeler(
    dataset: Dataset,
    config: TrainLabelerConfig,
    *,
    out: Path,
    scratch: Path,
    seed: int,
    threads: int,
    on_progress: OnProgress,
) -> LabelerReport:
    """Train, calibrate, measure; write weights, description, history and preview into `out`.

    Raises:
        InputError: synthetic rows, or no labeled photograph to learn from.
        StageFailed: the loss is not finite; names the step.
    """
    started = time.monotonic()
    train_rows, val_rows = (trusted_rows(dataset, split) for split in ("train", "val"))
    learnt = tuple(count > 0 for count in count_by_class(train_rows, len(dataset.classes)))
    if not any(learnt):
        raise InputError("no labeled object to learn from", expected="human labels in train", where=dataset.ref.uri)
    with torch_threads(threads):
        loop = _Loop(dataset, train_rows, config, checkpoint=scratch / CHECKPOINT_FILE, seed=seed)
        end = loop.run(on_progress)
        spec = LabelerSpec(dataset.classes, learnt, config.image_px, config.width, temperature=1.0)
        labeler, per_class = _measure(Labeler(spec, loop.net.eval()), dataset, val_rows, config)
        draw_preview(out / PREVIEW_FILE, labeler, dataset=dataset, rows=val_rows, shape=config.mask_from_box)
    report = LabelerReport(
        classes=dataset.classes,
        train_images=len(train_rows),
        val_images=len(val_rows),
        unlearnt=tuple(name for name, known in zip(dataset.classes, learnt, strict=True) if not known),
        temperature=labeler.spec.temperature,
        per_class=per_class,
        final_loss=end.history[-1][1],
        continued_from=loop.continued_from,
        seconds=time.monotonic() - started,
    )
    _write(out, labeler, end, report)
    return report


def trusted_rows(dataset: Dataset, split: str) -> list[Row]:
    """Photographs of a split whose labels a person gave. Raises InputError on synthetic rows."""
    for row in dataset.usable:
        if row.origin != "real":
            raise InputError(
                "a labeler learns from photographs alone",
                expected="real rows",
                got=row.origin,
                where=f"{dataset.ref.uri} {row.id}",
                next_step="give it the data set that ingest made",
            )
    return [row for row in dataset.select(split=split) if row.state in TRUSTED_STATES]


class _Loop:
    """The optimizer's state, step by step; everything random follows from seed and step."""

    def __init__(
        self, dataset: Dataset, rows: Sequence[Row], config: TrainLabelerConfig, *, checkpoint: Path, seed: int
    ) -> None:
        self.config, self.seed, self.checkpoint = config, seed, checkpoint
        self.examples = load_examples(dataset, rows, image_px=config.image_px, shape=config.mask_from_box)
        self.device = pick_device()
        torch.manual_seed(seed)
        self.net = UNet(n_classes=len(dataset.classes), width=config.width).to(self.device)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=config.learning_rate, weight_decay=_WEIGHT_DECAY)
        self.weights = weigh_classes(self.examples, len(dataset.classes)).to(self.device)
        self.plan = sha256_bytes(canonical_json([dataset.ref.sha256, config.model_dump(), seed]))
        self.continued_from = 0

    def run(self, on_progress: OnProgress) -> Checkpoint:
        state = load_checkpoint(self.checkpoint, self.net, self.optimizer, plan=self.plan)
        self.continued_from = state.step
        history, reported, total = list(state.history), 0.0, self.config.steps
        for step in range(state.step, total):
            loss = self._step(step)
            last, done = step == total - 1, step + 1
            if step % _HISTORY_EVERY == 0 or last:
                history.append((step, loss))
            if checkpointed := done % self.config.checkpoint_every == 0 and not last:
                state = Checkpoint(self.plan, done, tuple(history))
                save_checkpoint(self.checkpoint, self.net, self.optimizer, state=state)
            if checkpointed or last or time.monotonic() - reported > _PROGRESS_EVERY_S:
                reported = time.monotonic()
                on_progress(done, total, f"labeler step, loss {loss:.3f}")
        return Checkpoint(self.plan, total, tuple(history))

    def _step(self, step: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * schedule(step, self.config.steps)
        batch = random_batch(self.examples, size=self.config.batch, seed=self.seed, step=step)
        batch = Batch(*(part.to(self.device) for part in (batch.images, batch.class_map, batch.core, batch.counts)))
        loss = loss_of(self.net(batch.images), batch, self.weights)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), _CLIP_NORM)
        self.optimizer.step()
        return _finite(float(loss.detach()), step=step, total=self.config.steps)


def _finite(loss: float, *, step: int, total: int) -> float:
    if not math.isfinite(loss):
        raise StageFailed(
            "the labeler's loss is not a finite number",
            got=loss,
            where=f"step {step} of {total}",
            next_step="lower train_labeler.learning_rate",
        )
    return loss


def schedule(step: int, total: int) -> float:
    """The learning rate's factor in (0, 1]: linear warm-up, then a half cosine to 0."""
    warm_up = max(1, round(total * _WARM_UP_SHARE))
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))


def _measure(
    labeler: Labeler, dataset: Dataset, rows: Sequence[Row], config: TrainLabelerConfig
) -> tuple[Labeler, dict[str, ClassScore]]:
    examples = load_examples(dataset, rows, image_px=config.image_px, shape=config.mask_from_box)
    spec = replace(labeler.spec, temperature=calibrate(labeler.net, examples))
    labeler = Labeler(spec, labeler.net)
    return labeler, score_classes(labeler, dataset, rows, examples)


def _write(out: Path, labeler: Labeler, end: Checkpoint, report: LabelerReport) -> None:
    weights: dict[str, Tensor] = {
        name: value.detach().cpu().contiguous() for name, value in labeler.net.state_dict().items()
    }
    (out / WEIGHTS_FILE).write_bytes(save(weights))  # save_file would make a file that its owner alone can read
    val = {name: asdict(score) for name, score in report.per_class.items()}
    description = {**labeler.spec.to_json(), "val": val, "val_images": report.val_images}
    (out / SPEC_FILE).write_bytes(canonical_json(description))
    history = [{"step": step, "loss": loss} for step, loss in end.history]
    (out / HISTORY_FILE).write_text(json.dumps(history))
