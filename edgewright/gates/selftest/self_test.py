"""The gate's self-test: does it admit held-out real pictures, and refuse each bad control by the check that must?

Decides the division of the user's own real pictures, by groups: T to train on, H to hold out, F to stand in for what a
perfect generator would make; and the controls, each made from F or T at the size that synthetic pictures have. Every
control passes through the labeler (`judge`, trained on T by whoever calls) and then through the gate as a synthetic set
would. A gate that has not refused the copier is not a gate. Refuses nothing itself; `test` pictures stay closed.

    report = self_test(real, recipe.gate_data, image_px=192, store=store, make_judge=train, seed=0, threads=2, …)
    report.passed, [result.name for result in report.results if not result.right]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from edgewright.artifacts import Content, Record, Store
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Label, LabelSource, LabelState, Origin, Row, Split
from edgewright.errors import InputError
from edgewright.gates.data_gate import decide_data, measure_data
from edgewright.gates.measure.tiles import Scale
from edgewright.gates.selftest.controls import (
    Scene,
    background_only,
    blurred,
    copied,
    cut,
    noisy,
    one_mode,
    pasted,
    shuffled_labels,
)
from edgewright.gates.verdict import Outcome, Verdict
from edgewright.progress import OnProgress, silent
from edgewright.recipe.gates import GateDataConfig

Judge = Callable[[Dataset], Dataset]
"""A synthetic set => the same with the labeler's scores, as `label.annotate` leaves it."""
MakeJudge = Callable[[Dataset], Judge]
"""The real set (T as `train`, H as `val`) => its judge."""

SHARES = (0.4, 0.2, 0.4)
"""Of the groups: T, H, F. H is as small, beside T, as a recipe's `val` is beside `train`."""
NOISE_SD = 20.0
CUT_SHARE = 0.05
_LABELS = ("label agreement", "label error share", "left out share")
CONTROLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("held-out real", ()),
    ("training copies", ("picture copy share",)),
    ("blur", ("spectrum excess, dB",)),
    ("noise", ("spectrum excess, dB",)),
    ("half the modes", ("picture coverage ratio", "coverage ratio")),
    ("shuffled labels", _LABELS),
    ("background only", _LABELS),
    ("cut copies", ("object copy share", "object distance ratio")),
    ("pasted copies", ("picture copy share", "scene copy share")),
)
"""Each control with the checks of which one must refuse it; held-out real pictures must be admitted."""


@dataclass(frozen=True)
class ControlResult:
    """What the gate said of one control.

    Attributes:
        must: the checks of which one has to refuse; none for the control that has to be admitted.
        refused_by: the deciding checks that did.
    """

    name: str
    n: int
    must: tuple[str, ...]
    refused_by: tuple[str, ...]
    verdict: Verdict

    @property
    def right(self) -> bool:
        if not self.must:
            return self.verdict.outcome is Outcome.PASS
        return self.verdict.outcome is Outcome.REFUSE and any(name in self.must for name in self.refused_by)

    def numbers(self) -> dict[str, float]:
        """The measured values of the checks that must refuse; of all that did not pass where none must."""
        named = self.must or [c.name for c in self.verdict.checks if c.decides and c.outcome is not Outcome.PASS]
        return {c.name: c.value for c in self.verdict.checks if c.name in named and c.value is not None}


@dataclass(frozen=True)
class SelfTest:
    """The whole table, in the order of CONTROLS."""

    results: tuple[ControlResult, ...]
    n_train: int
    n_held_out: int
    n_fresh: int
    seed: int

    @property
    def passed(self) -> bool:
        return all(result.right for result in self.results)

    def to_json(self) -> dict[str, Any]:
        rows = [{**asdict(result), "right": result.right} for result in self.results]
        return {**asdict(self), "results": rows, "passed": self.passed}

    def table(self) -> list[tuple[str, str, str, str]]:
        """(control, expected, what the gate said, right or WRONG), a row each, for a terminal."""
        return [
            (
                f"{result.name} (n = {result.n})",
                "refused by " + " or ".join(result.must) if result.must else "admitted",
                _said(result),
                "right" if result.right else "WRONG",
            )
            for result in self.results
        ]


def self_test(
    real: Dataset,
    config: GateDataConfig,
    *,
    image_px: int,
    store: Store,
    make_judge: MakeJudge,
    seed: int,
    threads: int,
    on_progress: OnProgress,
) -> SelfTest:
    """Make the controls, judge and gate each. Deterministic.

    Args:
        image_px: longer side of the pictures that the generator would make.
        store: where the controls' data sets are kept; a scratch one.

    Raises:
        InputError: fewer than `config.min_images` labeled real pictures in any of T, H, F.
    """
    parts = _divide(real, config, rng=np.random.default_rng([seed, 10]))
    train, held_out, fresh = ([_scene(real, row, image_px=image_px) for row in rows] for rows in parts)
    again = _write(store, real.classes, {Split.TRAIN: train, Split.VAL: held_out}, origin=Origin.REAL, name="real")
    judge = make_judge(again)
    results = []
    for done, (name, must) in enumerate(CONTROLS, start=1):
        rng = np.random.default_rng([seed, 11, done])
        scenes = _make(name, train, fresh, config, rng=rng)
        made = judge(_write(store, real.classes, {Split.TRAIN: scenes}, origin=Origin.SYNTHETIC, name=name))
        evidence = measure_data(again, made, config, seed=seed, threads=threads, on_progress=silent)
        verdict = decide_data(evidence, config)
        refused = [c.name for c in verdict.checks if c.decides and c.outcome is Outcome.REFUSE]
        results.append(ControlResult(name, len(scenes), must, tuple(refused), verdict))
        on_progress(done, len(CONTROLS), f"self-test: {name}")
    return SelfTest(tuple(results), len(train), len(held_out), len(fresh), seed)


def _divide(real: Dataset, config: GateDataConfig, *, rng: np.random.Generator) -> tuple[list[Row], ...]:
    """Labeled real rows of `train` and `val`, groups kept together, into T, H, F."""
    rows = [row for row in real.select(origin=Origin.REAL, labeled=True) if row.split != Split.TEST]
    groups = sorted({row.group or row.id for row in rows})
    place = dict(zip([groups[i] for i in rng.permutation(len(groups))], np.arange(len(groups)), strict=True))
    ends = np.cumsum(SHARES) * len(groups)
    parts: tuple[list[Row], ...] = ([], [], [])
    for row in sorted(rows, key=lambda row: row.id):
        parts[min(int(np.searchsorted(ends, place[row.group or row.id], side="right")), 2)].append(row)
    if min(map(len, parts)) < config.min_images:
        raise InputError(
            "too few labeled real pictures for a self-test",
            expected=f">= {config.min_images} in each of three parts ({SHARES})",
            got=", ".join(str(len(part)) for part in parts),
            where=real.ref.uri,
            next_step="label more pictures, or lower gate_data.min_images",
        )
    return parts


def _scene(real: Dataset, row: Row, *, image_px: int) -> Scene:
    """Reduced as a synthetic picture would be, by the filter of every edgewright model; smaller ones stay."""
    image = real.image(row)
    factor = min(1.0, image_px / max(image.shape[:2]))
    small = Scale(image_px, image_px).reduce(image) if factor < 1 else image
    labels = [
        replace(label, xyxy=tuple(value * factor for value in label.xyxy), mask="")  # type: ignore[arg-type]
        for label in row.labels
    ]
    return Scene(small, tuple(labels), row.id)


def _make(
    name: str, train: Sequence[Scene], fresh: Sequence[Scene], config: GateDataConfig, *, rng: np.random.Generator
) -> list[Scene]:
    if name == "training copies":
        return copied(train, count=len(fresh), rng=rng)
    if name == "blur":
        return [replace(scene, image=blurred(scene.image)) for scene in fresh]
    if name == "noise":
        return [replace(scene, image=noisy(scene.image, sd=NOISE_SD, rng=rng)) for scene in fresh]
    if name == "half the modes":
        return one_mode(fresh, at_least=config.min_images, rng=rng)
    if name == "shuffled labels":
        return shuffled_labels(fresh, rng=rng)
    if name == "background only":
        return [background_only(scene, rng=rng) for scene in fresh]
    if name == "cut copies":
        return [cut(scene, share=CUT_SHARE, rng=rng) for scene in copied(train, count=len(fresh), rng=rng)]
    if name == "pasted copies":
        id_of = {scene.source: _row_id("real", Split.TRAIN, index) for index, scene in enumerate(train)}
        honest = [replace(scene, parents=(id_of[scene.source],)) for scene in copied(train, count=len(fresh), rng=rng)]
        return [cut(pasted(scene, rng=rng), share=CUT_SHARE, rng=rng) for scene in honest]
    return list(fresh)


def _write(
    store: Store, classes: tuple[str, ...], parts: dict[Split, Sequence[Scene]], *, origin: Origin, name: str
) -> Dataset:
    synthetic = origin == Origin.SYNTHETIC
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=classes)
        for split, scenes in parts.items():
            for index, scene in enumerate(scenes):
                height, width = scene.image.shape[:2]
                row = Row(
                    id=_row_id(name, split, index),
                    sha256="",
                    width=width,
                    height=height,
                    split=split,
                    group=scene.source,
                    parents=scene.parents,
                    origin=origin,
                    labels=tuple(map(_counted, scene.labels)) if synthetic else scene.labels,
                    state=LabelState.CONSTRUCTED if synthetic else LabelState.HUMAN,
                )
                writer.add(row, encode_png(scene.image))
        writer.finish()
        ref = store.publish(work, Content(kind=f"dataset_{origin}", stage="self_test"), Record())
    return Dataset.open(store, ref)


def _row_id(name: str, split: Split, index: int) -> str:
    return f"{name}/{split}/{index:05d}.png"


def _counted(label: Label) -> Label:
    return replace(label, source=LabelSource.CONSTRUCTED)


def _said(result: ControlResult) -> str:
    if result.refused_by:
        return "refused by " + ", ".join(result.refused_by)
    return "admitted" if result.verdict.outcome is Outcome.PASS else result.verdict.reasons[0]
