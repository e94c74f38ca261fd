"""The data gate on data sets on disk: real pictures pass, each bad control is refused by the check that must."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.artifacts import Content, LocalStore, Record
from edgewright.data.dataset import Dataset
from edgewright.data.ingest import ingest
from edgewright.data.rows import Label, Row
from edgewright.errors import InputError
from edgewright.gates.data_gate import decide_data, measure_data
from edgewright.gates.evidence import DataEvidence, Measurement
from edgewright.gates.measure.labels import measure_labeled_layouts, measure_labels
from edgewright.gates.selftest.controls import Scene, blurred, noisy, one_mode
from edgewright.gates.verdict import Outcome, Verdict
from edgewright.progress import silent
from edgewright.recipe.data import IngestConfig
from edgewright.recipe.gates import GateDataConfig
from tests.gated import AGREED, FRESH, TRAIN, Publish, changed, scenes

CONFIG = GateDataConfig(feature_px=32, tiles_per_image=3, bootstraps=20)


def judged(real: Dataset, synthetic: Dataset, config: GateDataConfig = CONFIG) -> Verdict:
    return decide_data(measure_data(real, synthetic, config, seed=0, threads=1, on_progress=silent), config)


def outcomes(verdict: Verdict) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in verdict.checks}


@pytest.fixture(scope="module")
def synthetic(publish: Publish) -> Dataset:
    return publish({"train": FRESH}, origin="synthetic")


@pytest.fixture(scope="module")
def fresh(real: Dataset, synthetic: Dataset) -> DataEvidence:
    """What is measured of fresh pictures, measured once."""
    return measure_data(real, synthetic, CONFIG, seed=0, threads=1, on_progress=silent)


def decided_with(evidence: DataEvidence, other: Sequence[Measurement]) -> Verdict:
    """The verdict on the same pictures with other measurements of their labels: nothing is looked at again."""
    known = {one.name for one in evidence.measurements}
    replaced = {one.name: one for one in other}
    assert replaced and replaced.keys() <= known
    measurements = tuple(replaced.get(one.name, one) for one in evidence.measurements)
    return decide_data(replace(evidence, measurements=measurements), CONFIG)


def test_fresh_pictures_are_admitted(real: Dataset, synthetic: Dataset, fresh: DataEvidence) -> None:
    reports: list[tuple[int, int, str]] = []
    evidence = measure_data(
        real, synthetic, CONFIG, seed=0, threads=1, on_progress=lambda *report: reports.append(report)
    )
    verdict = decide_data(evidence, CONFIG)
    assert (verdict.outcome, verdict.decision) == (Outcome.PASS, "admitted"), verdict.reasons
    assert (evidence.n_train, evidence.n_held_out, evidence.n_synthetic, evidence.n_matched) == (60, 40, 60, 60)
    counted = [check for check in verdict.checks if check.decides and check.name != "absent classes"]
    assert all(check.n >= 12 and check.low is not None for check in counted)
    assert DataEvidence.from_json(json.loads(json.dumps(evidence.to_json(), allow_nan=False))) == evidence
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict
    assert all(done <= total for done, total, _ in reports)
    assert fresh == evidence


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


def test_half_the_modes_dropped_is_refused_by_the_coverage_of_pictures(real: Dataset, publish: Publish) -> None:
    """One of the two lamps."""
    kept = one_mode(scenes(120, seed=4, source="constructed"), at_least=12, rng=np.random.default_rng(0))
    verdict = judged(real, publish({"train": kept}, origin="synthetic"))
    assert outcomes(verdict)["picture coverage ratio"] is Outcome.REFUSE


@pytest.mark.parametrize(
    ("scores", "check"),
    [
        ({**AGREED, "agreement": 0.3}, "label agreement"),
        ({**AGREED, "missed": 2.0, "phantom": 1.0}, "label error share"),
    ],
)
def test_labels_that_the_labeler_does_not_find_are_refused(
    synthetic: Dataset, fresh: DataEvidence, scores: dict[str, float], check: str
) -> None:
    verdict = decided_with(fresh, labels_scored(synthetic, scores))
    assert (verdict.outcome, outcomes(verdict)[check]) == (Outcome.REFUSE, Outcome.REFUSE)


@pytest.mark.parametrize("left_out", [30, 60])  # of 60: nothing is left to look at, and that is a refusal
def test_pictures_that_the_labeler_left_out_are_counted(real: Dataset, publish: Publish, left_out: int) -> None:
    verdict = judged(real, publish({"train": FRESH}, origin="synthetic", left_out=left_out))
    assert (verdict.outcome, outcomes(verdict)["left out share"]) == (Outcome.REFUSE, Outcome.REFUSE)


def test_a_set_that_no_labeler_judged_is_not_admitted(synthetic: Dataset, fresh: DataEvidence) -> None:
    verdict = decided_with(fresh, labels_scored(synthetic, {}))
    assert (verdict.outcome, verdict.reasons[0]) == (
        Outcome.NOT_EVALUABLE,
        "label agreement: could not be measured (n = 0)",
    )


def labels_scored(synthetic: Dataset, scores: dict[str, float]) -> list[Measurement]:
    rows = [replace(row, scores=scores) for row in synthetic.rows]
    return measure_labels(rows, rounds=CONFIG.bootstraps, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda labels: labels[:1], "layout objects ratio"),
        (lambda labels: (), "layout objects ratio"),
        (lambda labels: tuple(replace(x, xyxy=_grown(x.xyxy, 2.0)) for x in labels), "layout log size ratio"),
        (lambda labels: tuple(replace(x, xyxy=_shifted(x.xyxy)) for x in labels), "layout position x ratio"),
    ],
)
def test_layouts_unlike_real_ones_are_refused(
    real: Dataset,
    synthetic: Dataset,
    fresh: DataEvidence,
    change: Callable[[tuple[Label, ...]], tuple[Label, ...]],
    check: str,
) -> None:
    control = [replace(row, labels=change(row.labels)) for row in synthetic.rows]
    photographs = [row for row in real.rows if row.split != "test"]
    rng = np.random.default_rng(0)
    verdict = decided_with(fresh, measure_labeled_layouts(control, photographs, rounds=CONFIG.bootstraps, rng=rng))
    assert (verdict.outcome, outcomes(verdict)[check]) == (Outcome.REFUSE, Outcome.REFUSE)


def _grown(xyxy: tuple[float, ...], factor: float) -> tuple[float, float, float, float]:
    x, y, half = (xyxy[0] + xyxy[2]) / 2, (xyxy[1] + xyxy[3]) / 2, factor * (xyxy[2] - xyxy[0]) / 2
    return (x - half, y - half, x + half, y + half)


def _shifted(xyxy: tuple[float, ...]) -> tuple[float, float, float, float]:
    return (xyxy[0] + 30, xyxy[1], xyxy[2] + 30, xyxy[3])


def test_objects_that_the_labeler_dropped_still_belong_to_the_layout(
    real: Dataset, publish: Publish, fresh: DataEvidence
) -> None:
    dropped = [replace(m, labels=tuple(replace(x, ignore=True, source="dropped") for x in m.labels)) for m in FRESH]
    synthetic = publish({"train": dropped}, origin="synthetic")
    found = measure_data(real, synthetic, CONFIG, seed=0, threads=1, on_progress=silent)
    assert found.measurement("layout_objects_ratio") == fresh.measurement("layout_objects_ratio")


@pytest.mark.parametrize(
    ("synthetic_parts", "problem"),
    [
        ({"train": FRESH[:11]}, "11 synthetic images, 12 are needed"),
        ({"train": []}, "0 synthetic images"),
        ({"train": [FRESH[0]] * 20}, "all 20 synthetic images are the same picture"),
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


def test_the_test_split_is_never_looked_at(synthetic: Dataset, publish: Publish, fresh: DataEvidence) -> None:
    """Another test split, the same evidence."""
    other = publish({"train": TRAIN, "val": scenes(40, seed=1), "test": scenes(3, seed=9)}, origin="real")
    assert measure_data(other, synthetic, CONFIG, seed=0, threads=1, on_progress=silent) == fresh


def test_another_class_list_is_an_error(real: Dataset, publish: Publish) -> None:
    synthetic = publish({"train": FRESH}, origin="synthetic", classes=("ring",))
    with pytest.raises(InputError, match="class lists differ"):
        judged(real, synthetic)


def test_a_rare_class_that_no_synthetic_picture_shows_is_refused(publish: Publish) -> None:
    """Every third picture has an object of it, and S calls them all by the other name."""
    classes = ("disc", "ring")

    def with_rings(members: Sequence[Scene]) -> list[Scene]:
        return [
            replace(m, labels=(*m.labels[:-1], replace(m.labels[-1], class_id=int(index % 3 == 0))))
            for index, m in enumerate(members)
        ]

    real = publish({"train": with_rings(TRAIN), "val": with_rings(scenes(40, seed=1))}, origin="real", classes=classes)
    counts = {}
    for name, members in (("all", with_rings(FRESH)), ("one", FRESH)):
        synthetic = publish({"train": members}, origin="synthetic", classes=classes)
        evidence = measure_data(real, synthetic, CONFIG, seed=0, threads=1, on_progress=silent)
        verdict = decide_data(evidence, CONFIG)
        counts[name] = {one.name: one.n_synthetic for one in evidence.classes}
        assert outcomes(verdict)["absent classes"] is (Outcome.REFUSE if name == "one" else Outcome.PASS)
    assert (counts["one"]["ring"], counts["all"]["ring"]) == (0, 20)


@pytest.mark.parametrize("which", ["synthetic", "train", "val"])
def test_pictures_that_differ_by_a_pixel_are_all_alike(publish: Publish, which: str) -> None:
    def nearly_one(n: int) -> list[Scene]:
        found = []
        for index in range(n):
            image = FRESH[0].image.copy()
            image[index, index] = 255
            found.append(replace(FRESH[0], image=image))
        return found

    parts = {"train": TRAIN, "val": scenes(40, seed=1), "synthetic": FRESH} | {which: nearly_one(40)}
    real = publish({"train": parts["train"], "val": parts["val"]}, origin="real")
    verdict = judged(real, publish({"train": parts["synthetic"]}, origin="synthetic"))
    assert verdict.outcome is Outcome.NOT_EVALUABLE
    assert "are all alike" in verdict.sentence


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
