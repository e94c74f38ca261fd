"""Trains the labeler on photographs that people labeled, and judges it on photographs that it has not seen.

Decides what it learns from: `train` rows with human (or reviewed) labels. Refuses a data set with synthetic rows in
it (an independent checker never saw the generator's pictures), and one with too few labels.

Cross-fitting: with `folds` >= 2 as many trainings each leave a part of the photographs out, whole groups at a time, and
look at that part: temperature, scores and evidence for thresholds come from photographs of `train` that the judging net
did not see, so that none need be kept back in `val`. What is published is one more training on all of them: the same
steps and one pass a picture later, where the mean of the folds would cost as many passes as folds and would have seen
fewer labels; the folds' figures are those of slightly weaker nets. Cost: `(folds + 1) * steps`; `steps` with one fold.

Each training continues from its own checkpoint in `scratch`.

    report = train_labeler(real, recipe.train_labeler, out=work, scratch=scratch, seed=0, threads=2, on_progress=silent)
    report.unlearned                                    # classes without a label to learn from
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from edgewright.artifacts import canonical_json
from edgewright.data.dataset import Dataset
from edgewright.data.folds import assign_folds
from edgewright.data.rows import LabelState, Origin, Row, Split, count_by_class, spread
from edgewright.errors import InputError
from edgewright.label.network.batches import Examples, load_examples
from edgewright.label.network.fit import Fit, OnLoss, fit_segmenter
from edgewright.label.network.net import SPEC_FILE, WEIGHTS_FILE, Labeler, LabelerSpec
from edgewright.label.outline.outlines import Outliner, leave_boxes, outline
from edgewright.label.outline.sam import open_sam
from edgewright.label.preview import draw_preview
from edgewright.label.trust.audit import find_suspects
from edgewright.label.trust.evidence import EVIDENCE_FILE, Evidence
from edgewright.label.trust.score import (
    ClassScore,
    HeldOut,
    Prediction,
    calibrate,
    gather_evidence,
    predict_held_out,
    score_classes,
)
from edgewright.label.trust.suspects import AUDIT_FILE, Suspect
from edgewright.label.trust.teacher import TEACHER_FILE, Examined, Teacher
from edgewright.learning.device import torch_threads
from edgewright.metrics import HISTORY_FILE
from edgewright.progress import OnProgress
from edgewright.recipe.label import TrainLabelerConfig
from edgewright.runtime.boxes import FloatArray
from edgewright.runtime.preprocess import letterbox

PREVIEW_FILE = "preview.png"
_CALIBRATED_ON = 32
"""Photographs from which the scales of an FPGA's format are chosen."""
TRUSTED_STATES = (LabelState.HUMAN, LabelState.REVIEWED, LabelState.BACKGROUND)


@dataclass(frozen=True)
class LabelerReport:
    """What a training came to.

    Attributes:
        folds: trainings that left a part out; 1 where there was none.
        steps: optimizer steps of all trainings together.
        train_images, val_images: how many photographs it learned from and was measured on.
        unlearned: classes without a label in `train`; what the labeler says of them is worth nothing.
        calibrated_on: `out_of_fold`, `val`, or `none`: the temperature is then 1 and no score has a known worth.
        out_of_fold: by class, on `train`, each photograph by a net that had not seen it; empty with one fold.
        val: by class, the published labeler on `val`. val_fpga: the same in an FPGA's number format; empty without it.
        suspects: labels of people that a labeler doubts which had not seen them (`audit.json`).
        teacher: by class, all boxes of the examined teacher, faint ones too, on `train` and `val`; empty without one.
        mask_fallbacks: boxes in which GrabCut or SAM found nothing usable.
        final_loss: of the last step.
        start_share: share of the weights that began with given ones; 0 from random numbers.
        continued_from: steps that earlier runs, cut short, had done already.
    """

    classes: tuple[str, ...]
    folds: int
    steps: int
    train_images: int
    val_images: int
    unlearned: tuple[str, ...]
    calibrated_on: str
    temperature: float
    out_of_fold: dict[str, ClassScore]
    val: dict[str, ClassScore]
    val_fpga: dict[str, ClassScore]
    suspects: int
    teacher: dict[str, ClassScore]
    mask_fallbacks: int
    final_loss: float
    start_share: float
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
    """Train, calibrate, measure, audit; write weights, description, evidence, audit, history and preview into `out`.

    And `labeler-fpga.onnx` where the config asks for it.

    Raises:
        InputError: synthetic rows, too few labeled photographs to learn from, or too many classes.
        StageFailed: the loss is not finite; names the step.
    """
    started = time.monotonic()
    dataset.require_class_map()
    train_rows, val_rows = (trusted_rows(dataset, split) for split in (Split.TRAIN, Split.VAL))
    _require_labels(train_rows, config, where=dataset.ref.uri)
    with torch_threads(threads):
        teacher = _examine(config.teacher, dataset, [*train_rows, *val_rows], out=out)
        outliner = outliner_of(config)
        work = _Training(
            dataset, train_rows, config, outliner=outliner, scratch=scratch, seed=seed, on_progress=on_progress
        )
        parts = work.fit_folds()
        val = load_examples(dataset, val_rows, image_px=config.image_px, shape=config.mask_from_box, outliner=outliner)
        labeler = work.fit_all()
        judged = _judge(HeldOut(labeler, tuple(val_rows), val), parts, dataset=dataset, config=config)
        draw_preview(
            out / PREVIEW_FILE,
            judged.labeler,
            dataset=dataset,
            rows=val_rows or train_rows,
            shape=config.mask_from_box,
            outliner=outliner,
        )
        fpga = _for_fpga(judged, train_rows, val_rows, val, dataset=dataset, out=out) if config.fpga else None
    learned = zip(dataset.classes, judged.labeler.spec.learned, strict=True)
    report = LabelerReport(
        classes=dataset.classes,
        folds=work.folds,
        steps=config.steps * len(work.fits),
        train_images=len(train_rows),
        val_images=len(val_rows),
        unlearned=tuple(name for name, known in learned if not known),
        calibrated_on=judged.evidence.source,
        temperature=judged.labeler.spec.temperature,
        out_of_fold=judged.out_of_fold,
        val=judged.val,
        val_fpga=fpga.val if fpga else {},
        suspects=len(judged.suspects),
        teacher=teacher,
        mask_fallbacks=work.examples.fallbacks,
        final_loss=work.fits[-1].history[-1][1],
        start_share=work.fits[-1].provenance.share,
        continued_from=sum(fit.continued_from for fit in work.fits),
        seconds=time.monotonic() - started,
    )
    _write(out, judged, work.fits, report, fpga=fpga)
    return report


def _examine(teacher: str, dataset: Dataset, rows: Sequence[Row], *, out: Path) -> dict[str, ClassScore]:
    """What a teacher sees on people's photographs, all new to it, into `out`; nothing where none is named."""
    if not teacher:
        return {}
    opened = Teacher.open(Path(teacher), classes=dataset.classes)
    predictions = [Prediction(row, opened.find(dataset.image(row)), opened.learned) for row in rows]
    evidence = gather_evidence(predictions, dataset.classes, source="teacher")
    (out / TEACHER_FILE).write_bytes(Examined(teacher, opened.sha256, evidence).to_bytes())
    return score_classes([], predictions, dataset.classes)


def trusted_rows(dataset: Dataset, split: Split) -> list[Row]:
    """Photographs of a split whose labels a person gave. Raises InputError on synthetic rows."""
    for row in dataset.usable:
        if row.origin != Origin.REAL:
            raise InputError(
                "a labeler learns from photographs alone",
                expected="real rows",
                got=row.origin,
                where=f"{dataset.ref.uri} {row.id}",
                next_step="give it the data set that ingest made",
            )
    return [row for row in dataset.select(split=split) if row.state in TRUSTED_STATES]


def outliner_of(config: TrainLabelerConfig) -> Outliner:
    """What finds masks in boxes. Raises InputError where SAM is asked for and its weights are not there."""
    if config.mask_from_box == "sam":
        return open_sam(Path(config.sam_weights))
    return outline if config.mask_from_box == "grabcut" else leave_boxes


def _require_labels(rows: Sequence[Row], config: TrainLabelerConfig, *, where: str) -> None:
    if len(rows) < config.min_images:
        raise InputError(
            "too few labeled photographs in train to learn from",
            expected=f"at least {config.min_images}",
            got=len(rows),
            where=where,
            next_step="label more of them, or lower train_labeler.min_images",
        )
    if not any(label for row in rows for label in row.labels if not label.ignore):
        raise InputError("no labeled object to learn from", expected="human labels in train", where=where)


class _Training:
    """The trainings of one labeler: one a fold, then one on everything."""

    def __init__(
        self,
        dataset: Dataset,
        rows: Sequence[Row],
        config: TrainLabelerConfig,
        *,
        outliner: Outliner,
        scratch: Path,
        seed: int,
        on_progress: OnProgress,
    ) -> None:
        self.dataset, self.rows, self.config = dataset, rows, config
        self.scratch, self.seed, self.on_progress = scratch, seed, on_progress
        self.examples = load_examples(
            dataset, rows, image_px=config.image_px, shape=config.mask_from_box, outliner=outliner
        )
        self.fold_of = assign_folds(rows, folds=config.folds, n_classes=len(dataset.classes), seed=seed)
        self.folds = 1 + max(self.fold_of)
        self.fits: list[Fit] = []

    def fit_folds(self) -> list[HeldOut]:
        """The nets that have not seen everything, with what they have not seen; none with one fold."""
        return list(self._held_out()) if self.folds > 1 else []

    def fit_all(self) -> Labeler:
        return self._fit(range(len(self.rows)), name="labeler")

    def _held_out(self) -> Iterator[HeldOut]:
        for fold in range(self.folds):
            inside, outside = (
                [i for i, own in enumerate(self.fold_of) if (own == fold) is out] for out in (False, True)
            )
            labeler = self._fit(inside, name=f"labeler-fold-{fold}")
            yield HeldOut(labeler, tuple(self.rows[i] for i in outside), self.examples.take(outside))

    def _fit(self, at: Sequence[int], *, name: str) -> Labeler:
        rows, classes = [self.rows[i] for i in at], self.dataset.classes
        fit = fit_segmenter(
            self.examples.take(at),
            self.config,
            n_classes=len(classes),
            origin=[self.dataset.ref.sha256, [row.id for row in rows]],
            checkpoint=self.scratch / f"{name}.checkpoint",
            seed=self.seed,
            on_loss=self._reporter(),
        )
        self.fits.append(fit)
        learned = tuple(count > 0 for count in count_by_class(rows, len(classes)))
        spec = LabelerSpec(
            classes, learned, self.config.image_px, self.config.width, temperature=1.0, network=self.config.network
        )
        return Labeler(spec, fit.net)

    def _reporter(self) -> OnLoss:
        number, trainings, steps = len(self.fits), self.folds + 1 if self.folds > 1 else 1, self.config.steps
        what = "on all photographs" if number == trainings - 1 else f"without fold {number + 1} of {self.folds}"

        def report(done: int, loss: float) -> None:
            self.on_progress(number * steps + done, trainings * steps, f"labeler step {what}, loss {loss:.3f}")

        return report


@dataclass(frozen=True)
class _Judged:
    """The calibrated labeler and what is known of it."""

    labeler: Labeler
    evidence: Evidence
    out_of_fold: dict[str, ClassScore]
    val: dict[str, ClassScore]
    suspects: tuple[Suspect, ...]


def _judge(on_val: HeldOut, parts: Sequence[HeldOut], *, dataset: Dataset, config: TrainLabelerConfig) -> _Judged:
    """Calibrate the published labeler on what was left out of the folds, or on `val` where there are none."""
    val = [on_val]
    temperature = calibrate(parts or val)
    held_out, val = ([_warmed(part, temperature) for part in some] for some in (parts, val))
    found_on_val, found_out_of_fold = predict_held_out(val, dataset), predict_held_out(held_out, dataset)
    classes = dataset.classes
    evidence = gather_evidence(found_out_of_fold or found_on_val, classes, source="out_of_fold" if parts else "val")
    trust = [evidence.by_class[name] for name in classes]
    return _Judged(
        labeler=val[0].labeler,
        evidence=evidence,
        out_of_fold=score_classes(held_out, found_out_of_fold, classes) if parts else {},
        val=score_classes(val, found_on_val, classes),
        suspects=find_suspects([*found_out_of_fold, *found_on_val], trust=trust, min_doubt=config.suspect_score),
    )


def _warmed(part: HeldOut, temperature: float) -> HeldOut:
    spec = replace(part.labeler.spec, temperature=temperature)
    return replace(part, labeler=Labeler(spec, part.labeler.net))


@dataclass(frozen=True)
class _Fpga:
    """Attributes: val: by class, on `val`. facts: what is said of the file."""

    val: dict[str, ClassScore]
    facts: dict[str, Any]


def _for_fpga(
    judged: _Judged, train: Sequence[Row], val: Sequence[Row], examples: Examples, *, dataset: Dataset, out: Path
) -> _Fpga:
    """Written beside the weights, calibrated on photographs of `train`, scored on `val`."""
    from edgewright.compress.fpga.session import NUMBER_FORMAT
    from edgewright.label.network.fpga import FPGA_FILE, FpgaNet, write_for_fpga

    spec, rows = judged.labeler.spec, spread(train, _CALIBRATED_ON)

    def tensors() -> Iterator[FloatArray]:
        return (letterbox(dataset.image(row), size_px=spec.image_px)[0] for row in rows)

    support = write_for_fpga(judged.labeler.net, tensors, image_px=spec.image_px, path=out / FPGA_FILE)
    net = FpgaNet.open(out / FPGA_FILE)
    held_out = [HeldOut(Labeler(spec, net), tuple(val), examples)]
    scores = score_classes(held_out, predict_held_out(held_out, dataset), dataset.classes)
    facts = {"number_format": NUMBER_FORMAT, "scored_by": net.run_by, "support": support.to_json()}
    return _Fpga(scores, {**facts, "val": _scores(scores)})


def _write(
    out: Path, judged: _Judged, fits: Sequence[Fit], report: LabelerReport, *, fpga: _Fpga | None = None
) -> None:
    weights: dict[str, Tensor] = {
        name: value.detach().cpu().contiguous() for name, value in judged.labeler.net.state_dict().items()
    }
    (out / WEIGHTS_FILE).write_bytes(save(weights))  # save_file would make a file that its owner alone can read
    description = {
        **judged.labeler.spec.to_json(),
        "folds": report.folds,
        "calibrated_on": report.calibrated_on,
        "out_of_fold": _scores(judged.out_of_fold),
        "val": _scores(judged.val),
        "val_images": report.val_images,
        "start": fits[-1].provenance.to_json(),
        **({"fpga": fpga.facts} if fpga else {}),
    }
    (out / SPEC_FILE).write_bytes(canonical_json(description))
    (out / EVIDENCE_FILE).write_bytes(canonical_json(judged.evidence.to_json()))
    (out / AUDIT_FILE).write_bytes(canonical_json([suspect.to_json() for suspect in judged.suspects]))
    (out / HISTORY_FILE).write_text(json.dumps(_history(fits)))


def _scores(by_class: Mapping[str, ClassScore]) -> dict[str, dict[str, float | None]]:
    return {name: asdict(score) for name, score in by_class.items()}


def _history(fits: Sequence[Fit]) -> list[dict[str, float]]:
    """A row a step: the loss of the published training, and those of the folds."""
    rows: dict[int, dict[str, float]] = {}
    for number, fit in enumerate(fits):
        name = "loss" if number == len(fits) - 1 else f"fold_{number + 1}_loss"
        for step, loss in fit.history:
            rows.setdefault(step, {"step": step})[name] = loss
    return [rows[step] for step in sorted(rows)]
