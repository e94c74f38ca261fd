"""The data gate on data sets on disk: real pictures pass, each bad control is refused by the check that must."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.artifacts import Content, LocalStore, Record
from edgewright.data.dataset import Dataset, DatasetWriter, encode_png
from edgewright.data.ingest import ingest
from edgewright.data.rows import Label, Row
from edgewright.errors import InputError
from edgewright.gates.controls import blurred, darker_half, noisy
from edgewright.gates.data_gate import decide_data, measure_data
from edgewright.gates.evidence import DataEvidence, Measurement
from edgewright.gates.verdict import Outcome, Verdict
from edgewright.progress import silent
from edgewright.recipe import GateDataConfig, IngestConfig
from edgewright.runtime.boxes import Image

CONFIG = GateDataConfig(feature_seeds=2, feature_px=32, tiles_per_image=3, bootstraps=20)


@dataclass(frozen=True)
class Scene:
    image: Image
    labels: tuple[Label, ...]


def scene(rng: np.random.Generator, *, source: str = "human") -> Scene:
    """96 × 72 px: discs on a grainy belt, under one of two lamps."""
    height, width = 72, 96
    light = 70.0 if rng.random() < 0.5 else 150.0
    canvas = light + rng.normal(0, 6, size=(height, width, 3)) + np.linspace(-10, 10, width)[None, :, None]
    yy, xx = np.mgrid[:height, :width]
    labels = []
    for index in range(rng.integers(3, 6)):
        x, y, radius = rng.uniform(12, width - 12), rng.uniform(12, height - 12), rng.uniform(6, 11)
        inside = np.hypot(xx - x, yy - y) <= radius
        canvas[inside] += rng.uniform(20, 70, size=3) * rng.choice([-1, 1])
        labels.append(Label(index, 0, (x - radius, y - radius, x + radius, y + radius), source=source))
    return Scene(np.clip(canvas, 0, 255).astype(np.uint8), tuple(labels))


def scenes(n: int, *, seed: int, source: str = "human") -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [scene(rng, source=source) for _ in range(n)]


Publish = Callable[..., Dataset]


@pytest.fixture(scope="module")
def publish(tmp_path_factory: pytest.TempPathFactory) -> Publish:
    store = LocalStore(tmp_path_factory.mktemp("store"))

    def publish(parts: dict[str, Sequence[Scene]], *, origin: str, classes: tuple[str, ...] = ("disc",)) -> Dataset:
        with store.workspace() as work:
            writer = DatasetWriter(work, classes=classes)
            for split, members in parts.items():
                for index, member in enumerate(members):
                    height, width = member.image.shape[:2]
                    row = Row(f"{split}{index:03d}.png", "", width=width, height=height, split=split, origin=origin)
                    writer.add(replace(row, labels=member.labels, state="human"), encode_png(member.image))
            writer.finish()
            ref = store.publish(work, Content(kind=f"dataset_{origin}", stage="test"), Record())
        return Dataset.open(store, ref)

    return publish


TRAIN = scenes(60, seed=0)


@pytest.fixture(scope="module")
def real(publish: Publish) -> Dataset:
    parts = {"train": TRAIN, "val": scenes(40, seed=1), "test": scenes(20, seed=2)}
    return publish(parts, origin="real")


def changed(members: Sequence[Scene], change: Callable[[Image], Image]) -> list[Scene]:
    return [replace(member, image=change(member.image)) for member in members]


def judged(real: Dataset, synthetic: Dataset, config: GateDataConfig = CONFIG) -> Verdict:
    return decide_data(measure_data(real, synthetic, config, seed=0, threads=1, on_progress=silent), config)


def outcomes(verdict: Verdict) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in verdict.checks}


FRESH = scenes(60, seed=3, source="constructed")


def test_fresh_pictures_are_admitted(real: Dataset, publish: Publish) -> None:
    reports: list[tuple[int, int, str]] = []
    synthetic = publish({"train": FRESH}, origin="synthetic")
    evidence = measure_data(
        real, synthetic, CONFIG, seed=0, threads=1, on_progress=lambda *report: reports.append(report)
    )
    verdict = decide_data(evidence, CONFIG)
    assert (verdict.outcome, verdict.decision) == (Outcome.PASS, "admitted"), verdict.reasons
    assert (evidence.n_train, evidence.n_held_out, evidence.n_synthetic, evidence.n_matched) == (60, 40, 60, 60)
    assert all(check.n >= 12 and check.low is not None for check in verdict.checks)
    assert DataEvidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict
    assert all(done <= total for done, total, _ in reports)
    assert measure_data(real, synthetic, CONFIG, seed=0, threads=1, on_progress=silent) == evidence


@pytest.mark.parametrize(
    ("control", "check"),
    [
        # a copier that names its copies' objects as its own work, and one that leaves them human
        (
            [replace(s, labels=tuple(replace(x, source="constructed") for x in s.labels)) for s in TRAIN],
            "picture copy share",
        ),
        (TRAIN, "picture copy share"),
        (TRAIN, "object distance ratio"),
        (changed(TRAIN, lambda image: image[:, ::-1]), "picture copy share"),  # mirrored; the boxes do not matter
        (FRESH[:40] + TRAIN[:20], "picture copy share"),  # a third are copies
        (changed(FRESH, lambda image: blurred(blurred(image))), "spectrum excess, dB"),
        (changed(FRESH, lambda image: noisy(image, sd=25, rng=np.random.default_rng(0))), "spectrum excess, dB"),
        (changed(FRESH, lambda image: np.full_like(image, round(float(image.mean())))), "spectrum excess, dB"),
        (changed(FRESH, lambda image: 255 - image), "fd ratio"),
    ],
)
def test_bad_controls_are_refused_by_the_check_that_must(
    real: Dataset, publish: Publish, control: list[Scene], check: str
) -> None:
    verdict = judged(real, publish({"train": control}, origin="synthetic"))
    assert (verdict.outcome, verdict.decision) == (Outcome.REFUSE, "real_only")
    assert outcomes(verdict)[check] is Outcome.REFUSE
    assert "refused" in verdict.sentence


def test_half_the_modes_dropped_is_refused_by_the_coverage(real: Dataset, publish: Publish) -> None:
    kept = darker_half([member.image for member in scenes(120, seed=4)])
    synthetic = publish({"train": [Scene(image, FRESH[0].labels) for image in kept]}, origin="synthetic")
    assert outcomes(judged(real, synthetic))["coverage ratio"] is Outcome.REFUSE


@pytest.mark.parametrize(
    ("synthetic_parts", "problem"),
    [
        ({"train": FRESH[:11]}, "11 synthetic images, 12 are needed"),
        ({"train": []}, "0 synthetic images"),
        ({"train": [FRESH[0]] * 20}, "all 20 synthetic images are the same picture"),
        ({"train": [replace(s, labels=()) for s in FRESH]}, "object copy share: could not be measured"),  # no objects
    ],
)
def test_what_cannot_be_judged_is_never_admitted(
    real: Dataset, publish: Publish, synthetic_parts: dict[str, list[Scene]], problem: str
) -> None:
    verdict = judged(real, publish(synthetic_parts, origin="synthetic"))
    assert (verdict.outcome, verdict.decision) == (Outcome.NOT_EVALUABLE, "real_only")
    assert any(problem in reason for reason in verdict.reasons)


def test_too_few_held_out_pictures_are_not_judged_by(publish: Publish) -> None:
    few = publish({"train": TRAIN, "val": scenes(11, seed=1), "test": scenes(40, seed=2)}, origin="real")
    verdict = judged(few, publish({"train": FRESH}, origin="synthetic"))
    assert verdict.outcome is Outcome.NOT_EVALUABLE
    assert "11 held-out real (val) images" in verdict.sentence


def test_more_neighbors_than_tiles_is_said_and_not_admitted(real: Dataset, publish: Publish) -> None:
    config = CONFIG.model_copy(update={"neighbors": 20, "tiles_per_image": 1, "max_images": 12})
    verdict = judged(real, publish({"train": FRESH}, origin="synthetic"), config)
    assert "too few samples for k neighbors" in verdict.sentence
    assert verdict.outcome is Outcome.NOT_EVALUABLE


def test_real_pictures_in_the_synthetic_data_set_do_not_count(real: Dataset, publish: Publish) -> None:
    verdict = judged(real, publish({"train": FRESH}, origin="real"))
    assert "0 synthetic images" in verdict.sentence


def test_the_test_split_is_never_looked_at(real: Dataset, publish: Publish) -> None:
    """Another test split, the same evidence."""
    other = publish({"train": TRAIN, "val": scenes(40, seed=1), "test": scenes(3, seed=9)}, origin="real")
    synthetic = publish({"train": FRESH}, origin="synthetic")
    evidence = [measure_data(each, synthetic, CONFIG, seed=0, threads=1, on_progress=silent) for each in (real, other)]
    assert evidence[0] == evidence[1]


def test_another_class_list_is_an_error(real: Dataset, publish: Publish) -> None:
    synthetic = publish({"train": FRESH}, origin="synthetic", classes=("ring",))
    with pytest.raises(InputError, match="class lists differ"):
        judged(real, synthetic)


GOOD = {
    "picture_copy_share": (0.0, 0.0, 0.02),
    "object_copy_share": (0.05, 0.02, 0.09),
    "object_distance_ratio": (1.0, 0.95, 1.05),
    "fd_ratio": (1.4, 0.9, 2.2),
    "kid_excess": (0.1, -0.1, 0.3),
    "coverage_ratio": (0.97, 0.92, 1.02),
    "precision_ratio": (1.0, 0.95, 1.05),
    "density_ratio": (0.95, 0.85, 1.05),
    "spectrum_excess_db": (-0.5, -1.0, 0.5),
    "recall_ratio": (0.5, 0.4, 0.6),
    "picture_distance_ratio": (0.7, 0.6, 0.8),
}


def evidence_of(**changes: tuple[float | None, ...]) -> DataEvidence:
    numbers = {**GOOD, **changes}
    return DataEvidence(
        n_train=150,
        n_held_out=40,
        n_synthetic=160,
        measurements=tuple(Measurement(name, *three, n=40) for name, three in numbers.items()),
    )


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"recall_ratio": (0.0, 0.0, 0.0)}, Outcome.PASS),  # reported only
        ({"fd_ratio": (2.6, 2.0, 3.0)}, Outcome.REFUSE),
        ({"fd_ratio": (2.0, 1.5, 3.7)}, Outcome.PASS),  # within the slack of 1.5
        ({"fd_ratio": (2.0, 1.5, 3.8)}, Outcome.NOT_EVALUABLE),
        ({"coverage_ratio": (0.8, 0.7, 0.9)}, Outcome.REFUSE),
        ({"precision_ratio": (None, None, None)}, Outcome.NOT_EVALUABLE),
        ({"picture_copy_share": (0.2, 0.1, 0.3)}, Outcome.REFUSE),
        # a refusal outweighs what could not be measured
        ({"picture_copy_share": (1.0, 1.0, 1.0), "fd_ratio": (None, None, None)}, Outcome.REFUSE),
    ],
)
@pytest.mark.parametrize(("on_refuse", "decision"), [("real_only", "real_only"), ("fail", "end"), ("ask", "ask")])
def test_decisions(changes: dict[str, Any], outcome: Outcome, on_refuse: str, decision: str) -> None:
    config = GateDataConfig().model_copy(update={"on_refuse": on_refuse})
    verdict = decide_data(evidence_of(**changes), config)
    assert verdict.outcome is outcome
    assert verdict.decision == ("admitted" if outcome is Outcome.PASS else decision)


@pytest.mark.parametrize(
    "change",
    [
        {"max_fd_ratio": 1.0},
        {"max_kid_excess": 0.05},
        {"min_coverage_ratio": 0.99},
        {"min_precision_ratio": 1.1},
        {"min_density_ratio": 0.99},
        {"max_copy_share": 0.0, "interval_slack": 0.0},
        {"max_object_copy_share": 0.01},
        {"min_copy_distance_ratio": 1.01},
        {"max_spectrum_excess_db": 0.1},
        {"interval_slack": 0.0, "max_fd_ratio": 2.0},
        {"min_images": 41},
    ],
)
def test_every_threshold_changes_the_verdict(change: dict[str, Any]) -> None:
    assert decide_data(evidence_of(), GateDataConfig().model_copy(update=change)).outcome is not Outcome.PASS


def test_nothing_measured_is_not_evaluable() -> None:
    verdict = decide_data(replace(evidence_of(), measurements=()), GateDataConfig())
    assert verdict.outcome is Outcome.NOT_EVALUABLE


@pytest.mark.real
def test_real_photographs_pass_and_their_copies_do_not(real_data: Path, tmp_path: Path, publish: Publish) -> None:
    """Half of the train photographs stand in for a perfect generator; the other half, for the copier."""
    store = LocalStore(tmp_path / "store")
    with store.workspace() as work:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        ingest(real_data, IngestConfig(), workspace=work, scratch=scratch, seed=0)
        found = Dataset.open(store, store.publish(work, Content(kind="dataset_real", stage="ingest"), Record()))

    def members(rows: Sequence[Row]) -> list[Scene]:
        return [Scene(found.image(row)[::2, ::2], tuple(_halved(label) for label in row.labels)) for row in rows]

    train = members(found.select(split="train"))
    known, fresh = train[::2], train[1::2]
    reduced = publish({"train": known, "val": members(found.select(split="val"))}, origin="real", classes=found.classes)
    config = GateDataConfig()
    admitted = judged(reduced, publish({"train": fresh}, origin="synthetic", classes=found.classes), config)
    assert admitted.outcome is Outcome.PASS, admitted.reasons
    refused = judged(reduced, publish({"train": known}, origin="synthetic", classes=found.classes), config)
    assert outcomes(refused)["picture copy share"] is Outcome.REFUSE


def _halved(label: Label) -> Label:
    x1, y1, x2, y2 = (value / 2 for value in label.xyxy)
    return replace(label, xyxy=(x1, y1, x2, y2), mask="")
