"""The data gate on data sets on disk: real pictures pass, each bad control is refused by the check that must."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.artifacts import Content, LocalStore, Record
from edgewright.data.dataset import Dataset, DatasetWriter, encode_png
from edgewright.data.ingest import ingest
from edgewright.data.rows import Label, Row
from edgewright.errors import InputError
from edgewright.gates.claims import LAYOUT_STATISTICS
from edgewright.gates.controls import Scene, blurred, noisy, one_mode
from edgewright.gates.data_gate import decide_data, measure_data, with_literal
from edgewright.gates.evidence import ClassCount, DataEvidence, Measurement
from edgewright.gates.metrics import Features
from edgewright.gates.thresholds import THRESHOLDS, threshold_table
from edgewright.gates.tiles import Tiles
from edgewright.gates.utility import Pair, Scores, UtilityEvidence
from edgewright.gates.verdict import Outcome, Verdict
from edgewright.progress import silent
from edgewright.recipe import GateDataConfig, IngestConfig
from edgewright.runtime.boxes import Image

CONFIG = GateDataConfig(feature_px=32, tiles_per_image=3, bootstraps=20)


AGREED = {"agreement": 0.8, "judged": 4.0, "missed": 0.0, "phantom": 0.0}
"""What a labeler writes on a picture whose labels it finds right."""


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

    def publish(
        parts: dict[str, Sequence[Scene]],
        *,
        origin: str,
        classes: tuple[str, ...] = ("disc",),
        scores: dict[str, float] = AGREED,
        left_out: int = 0,
    ) -> Dataset:
        with store.workspace() as work:
            writer = DatasetWriter(work, classes=classes)
            for split, members in parts.items():
                for index, member in enumerate(members):
                    height, width = member.image.shape[:2]
                    row = Row(f"{split}{index:03d}.png", "", width=width, height=height, split=split, origin=origin)
                    seen = scores if origin == "synthetic" else {}
                    row = replace(row, labels=member.labels, state="human", scores=seen)
                    if index < left_out:
                        writer.quarantine(replace(row, sha256="0", quarantine="labeler disagrees"))
                    else:
                        writer.add(row, encode_png(member.image))
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
    counted = [check for check in verdict.checks if check.decides and check.name != "absent classes"]
    assert all(check.n >= 12 and check.low is not None for check in counted)
    assert DataEvidence.from_json(json.loads(json.dumps(evidence.to_json(), allow_nan=False))) == evidence
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


def test_half_the_modes_dropped_is_refused_by_the_coverage_of_pictures(real: Dataset, publish: Publish) -> None:
    """One of the two lamps."""
    kept = one_mode(scenes(120, seed=4, source="constructed"), at_least=12, rng=np.random.default_rng(0))
    verdict = judged(real, publish({"train": kept}, origin="synthetic"))
    assert outcomes(verdict)["picture coverage ratio"] is Outcome.REFUSE


@pytest.mark.parametrize(
    ("scores", "left_out", "check"),
    [
        ({**AGREED, "agreement": 0.3}, 0, "label agreement"),
        ({**AGREED, "missed": 2.0, "phantom": 1.0}, 0, "label error share"),
        (AGREED, 30, "left out share"),
        (AGREED, 60, "left out share"),  # nothing is left to look at, and that is a refusal
    ],
)
def test_labels_that_the_labeler_does_not_find_are_refused(
    real: Dataset, publish: Publish, scores: dict[str, float], left_out: int, check: str
) -> None:
    verdict = judged(real, publish({"train": FRESH}, origin="synthetic", scores=scores, left_out=left_out))
    assert (verdict.outcome, outcomes(verdict)[check]) == (Outcome.REFUSE, Outcome.REFUSE)


def test_a_set_that_no_labeler_judged_is_not_admitted(real: Dataset, publish: Publish) -> None:
    verdict = judged(real, publish({"train": FRESH}, origin="synthetic", scores={}))
    assert (verdict.outcome, verdict.reasons[0]) == (
        Outcome.NOT_EVALUABLE,
        "label agreement: could not be measured (n = 0)",
    )


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
    real: Dataset, publish: Publish, change: Callable[[tuple[Label, ...]], tuple[Label, ...]], check: str
) -> None:
    control = [replace(member, labels=change(member.labels)) for member in FRESH]
    verdict = judged(real, publish({"train": control}, origin="synthetic"))
    assert (verdict.outcome, outcomes(verdict)[check]) == (Outcome.REFUSE, Outcome.REFUSE)


def _grown(xyxy: tuple[float, ...], factor: float) -> tuple[float, float, float, float]:
    x, y, half = (xyxy[0] + xyxy[2]) / 2, (xyxy[1] + xyxy[3]) / 2, factor * (xyxy[2] - xyxy[0]) / 2
    return (x - half, y - half, x + half, y + half)


def _shifted(xyxy: tuple[float, ...]) -> tuple[float, float, float, float]:
    return (xyxy[0] + 30, xyxy[1], xyxy[2] + 30, xyxy[3])


def test_objects_that_the_labeler_dropped_still_belong_to_the_layout(real: Dataset, publish: Publish) -> None:
    dropped = [replace(m, labels=tuple(replace(x, ignore=True, source="dropped") for x in m.labels)) for m in FRESH]
    found = [
        measure_data(real, publish({"train": some}, origin="synthetic"), CONFIG, seed=0, threads=1, on_progress=silent)
        for some in (FRESH, dropped)
    ]
    assert found[0].measurement("layout_objects_ratio") == found[1].measurement("layout_objects_ratio")


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
    "picture_coverage_ratio": (0.99, 0.95, 1.03),
    **{f"layout_{name}_ratio": (0.7, 0.5, 0.9) for name in LAYOUT_STATISTICS},
    "label_agreement": (0.7, 0.65, 0.75),
    "label_error_share": (0.1, 0.05, 0.15),
    "left_out_share": (0.1, 0.05, 0.15),
    "fid": (12.0, 10.0, 14.0),
    "recall": (0.9, 0.88, 0.92),
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
        classes=(ClassCount("disc", 600, 160, 640),),
        fid_width=2048,
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
        {"min_picture_coverage_ratio": 1.0},
        {"max_layout_ratio": 0.6},
        {"min_label_agreement": 0.8},
        {"max_label_error_share": 0.05},
        {"max_left_out_share": 0.05},
        {"require_utility": True},
        {"rule": "fid_recall"},
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


def _utility(*gains: float) -> UtilityEvidence:
    real = Scores(0.5, 0.3, {"disc": 0.3})
    pairs = [Pair(i, real, Scores(0.5, 0.3 + gain, {"disc": 0.3 + gain})) for i, gain in enumerate(gains)]
    return UtilityEvidence(pairs=tuple(pairs), steps=10, n_real=10, n_synthetic=10, n_held_out=10)


_NOTHING = Scores(0.0, 0.0, {"disc": 0.0})
DEAD = UtilityEvidence(tuple(Pair(seed, _NOTHING, _NOTHING) for seed in range(3)), steps=1)
"""Detectors that find nothing: a difference of exactly nothing, with an interval of no width."""
UNMEASURED = UtilityEvidence(
    tuple(replace(pair, both=Scores(None, None, {})) for pair in _utility(0.1, 0.1, 0.1).pairs)
)


def test_usefulness_is_told_class_by_class() -> None:
    verdict = decide_data(replace(evidence_of(), utility=_utility(0.02, 0.025, 0.03)), GateDataConfig())
    (check,) = (check for check in verdict.checks if check.name == "utility of disc, AP50-95")
    assert (check.value, check.n, check.decides) == (pytest.approx(0.025), 3, False)


@pytest.mark.parametrize(
    ("utility", "require", "outcome", "said"),
    [
        (_utility(0.02, 0.025, 0.03), False, Outcome.PASS, "useful"),
        (_utility(0.001, -0.001, 0.0), False, Outcome.PASS, "neutral"),
        (_utility(0.05, -0.05, 0.0), False, Outcome.REFUSE, "harmful or unproven"),
        (_utility(-0.02, -0.025, -0.03), False, Outcome.REFUSE, "harmful or unproven"),
        (UtilityEvidence(problem="not measured"), False, Outcome.PASS, "not measured"),  # reported
        (UtilityEvidence(problem="not measured"), True, Outcome.NOT_EVALUABLE, "not measured"),
        (_utility(0.02, 0.03), True, Outcome.NOT_EVALUABLE, "2 pairs of runs are too few"),
        (DEAD, False, Outcome.NOT_EVALUABLE, "finds nothing when trained on photographs alone"),
        (DEAD, True, Outcome.NOT_EVALUABLE, "finds nothing when trained on photographs alone"),
        (UNMEASURED, False, Outcome.NOT_EVALUABLE, "no finite mAP"),
    ],
)
def test_usefulness_decides_by_its_lower_bound(
    utility: UtilityEvidence, require: bool, outcome: Outcome, said: str
) -> None:
    config = GateDataConfig(require_utility=require)
    verdict = decide_data(replace(evidence_of(), utility=utility), config)
    assert verdict.outcome is outcome
    assert any(said in check.sentence for check in verdict.checks if check.name.startswith("utility"))


@pytest.mark.parametrize(
    ("kind", "n", "changes", "outcome"),
    [
        ("inception", 3000, {}, Outcome.PASS),
        ("inception", 3000, {"coverage_ratio": (0.1, 0.0, 0.2)}, Outcome.PASS),  # the other rule set only reports
        ("inception", 3000, {"fid": (31.0, 29.0, 33.0)}, Outcome.REFUSE),
        ("inception", 3000, {"fid": (29.0, 27.0, 31.0)}, Outcome.NOT_EVALUABLE),
        ("inception", 3000, {"recall": (0.06, 0.05, 0.07)}, Outcome.REFUSE),  # the copier
        ("inception", 2047, {}, Outcome.NOT_EVALUABLE),
        ("random", 3000, {}, Outcome.NOT_EVALUABLE),
        ("random", 3000, {"fid": (99.0, 90.0, 110.0)}, Outcome.NOT_EVALUABLE),
    ],
)
def test_the_literal_rule_decides_where_it_is_chosen(
    kind: str, n: int, changes: dict[str, Any], outcome: Outcome
) -> None:
    evidence = evidence_of(**changes)
    found = tuple(replace(one, n=n) for one in evidence.measurements)
    evidence = replace(evidence, measurements=found, feature_kind=kind)
    assert decide_data(evidence, GateDataConfig(rule="fid_recall")).outcome is outcome
    reported = decide_data(evidence, GateDataConfig())
    literal = [check for check in reported.checks if check.name.startswith("fid_recall")]
    assert [check.decides for check in literal] == [False, False]
    assert all(check.value is not None for check in literal)


@pytest.mark.parametrize("rule", ["default", "fid_recall"])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"feature_kind": "random"}, "set gate_data.features=inception and gate_data.features_weights=FILE"),
        ({"feature_kind": "inception"}, "2048 pictures a side are needed"),
        ({"feature_kind": "inception", "fid_width": 0}, "the rule is about Inception's"),
        ({"problem": "11 synthetic images, 12 are needed"}, "11 synthetic images, 12 are needed"),
    ],
)
def test_the_literal_rule_is_told_on_every_run(rule: str, change: dict[str, Any], why: str) -> None:
    verdict = decide_data(replace(evidence_of(), **change), GateDataConfig.model_validate({"rule": rule}))
    literal = [check for check in verdict.checks if check.name.startswith("fid_recall")]
    assert [check.outcome for check in literal] == [Outcome.NOT_EVALUABLE] * 2
    assert all(why in check.sentence and check.decides == (rule == "fid_recall") for check in literal)


def test_under_the_literal_rule_a_problem_leaves_the_other_rule_without_a_say() -> None:
    """Labels that would refuse, and a set that nothing could be measured of."""
    evidence = replace(evidence_of(label_agreement=(0.1, 0.05, 0.15)), problem="0 synthetic images")
    assert decide_data(evidence, GateDataConfig()).outcome is Outcome.REFUSE
    verdict = decide_data(evidence, GateDataConfig(rule="fid_recall"))
    assert verdict.outcome is Outcome.NOT_EVALUABLE
    assert {check.name for check in verdict.checks if check.decides} == {
        "fid_recall: FID",
        "fid_recall: recall",
        "evidence",
    }


class _Means:
    """Sixteen features: mean light of the cells of a 4 × 4 grid."""

    digest = "means"

    def __call__(self, tiles: Tiles) -> Features:
        side = tiles.shape[1] // 4
        cells = tiles[:, : 4 * side, : 4 * side].reshape(len(tiles), 4, side, 4, side, 3)
        return np.asarray(cells.mean(axis=(2, 4, 5), dtype=np.float64).reshape(len(tiles), 16) / 16)


@pytest.mark.parametrize(
    ("made", "outcome", "n"),
    [
        (changed(scenes(40, seed=1), lambda image: noisy(image, sd=2, rng=np.random.default_rng(0))), Outcome.PASS, 40),
        (scenes(10, seed=3), Outcome.NOT_EVALUABLE, 10),  # fewer than features
        ([Scene(np.minimum(member.image, 90), member.labels) for member in scenes(60, seed=3)], Outcome.REFUSE, 40),
    ],
)
def test_the_literal_rule_is_reached_with_enough_pictures(
    real: Dataset, publish: Publish, made: list[Scene], outcome: Outcome, n: int
) -> None:
    """Pictures to verdict, through a space of 16 features that stands in for Inception's 2,048."""
    synthetic, config = publish({"train": made}, origin="synthetic"), GateDataConfig(rule="fid_recall")
    evidence = replace(evidence_of(fid=(None, None, None), recall=(None, None, None)), feature_kind="inception")
    kept = tuple(one for one in evidence.measurements if one.name not in ("fid", "recall"))
    evidence = replace(evidence, measurements=kept, fid_width=0)
    found = with_literal(evidence, real, synthetic, config, _Means(), on_progress=silent)
    assert (found.fid_width, found.measurement("fid").n) == (16, n)
    verdict = decide_data(found, config)
    assert verdict.outcome is outcome, verdict.reasons


def test_all_pictures_are_looked_at_by_the_literal_rule(real: Dataset, publish: Publish) -> None:
    """Not the `max_images` of the other checks; and no training picture."""
    synthetic = publish({"train": scenes(70, seed=3)}, origin="synthetic")
    reports: list[tuple[int, int, str]] = []
    config = GateDataConfig(max_images=12)
    with_literal(evidence_of(), real, synthetic, config, _Means(), on_progress=lambda *report: reports.append(report))
    assert reports[-1][:2] == (110, 110)


COUNTS = (ClassCount("disc", 600, 160, 640), ClassCount("ring", 30, 10, 33))


@pytest.mark.parametrize(
    ("rare", "outcome", "said"),
    [
        (ClassCount("ring", 30, 10, 33), Outcome.PASS, "absent classes is 0"),
        (ClassCount("ring", 30, 10, 0), Outcome.REFUSE, "ring (a perfect generator misses it"),
        (
            ClassCount("ring", 1, 1, 0),
            Outcome.NOT_EVALUABLE,
            "may be one",
        ),  # 2 of 762: missed by chance in 19 % of cases
        (ClassCount("ring", 0, 0, 0), Outcome.PASS, "absent classes is 0"),  # nor is it in the real ones
        (ClassCount("ring", 30, 0, 33), Outcome.NOT_EVALUABLE, "none in the held-out photographs"),
    ],
)
def test_a_class_that_is_missing(rare: ClassCount, outcome: Outcome, said: str) -> None:
    verdict = decide_data(replace(evidence_of(), classes=(COUNTS[0], rare)), GateDataConfig())
    assert verdict.outcome is outcome
    assert any(said in check.sentence for check in verdict.checks if check.decides)


def test_classes_that_were_not_counted_are_not_admitted() -> None:
    assert decide_data(replace(evidence_of(), classes=()), GateDataConfig()).outcome is Outcome.NOT_EVALUABLE


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


def test_evidence_of_older_runs_is_still_read() -> None:
    old = evidence_of().to_json()
    for name in ("utility", "classes", "fid_width"):
        del old[name]
    read = DataEvidence.from_json(old)
    assert read == replace(evidence_of(), classes=(), fid_width=0)
    assert decide_data(read, GateDataConfig()).outcome is Outcome.NOT_EVALUABLE


def test_the_recipes_defaults_are_the_thresholds_of_the_table() -> None:
    defaults = GateDataConfig()
    fields = [each for each in THRESHOLDS if not each.field.startswith(("fid_recall", "absent classes"))]
    assert {each.field: getattr(defaults, each.field) for each in fields} == {each.field: each.value for each in fields}
    checked = {check.set_at.removeprefix("gate_data.") for check in decide_data(evidence_of(), defaults).checks}
    assert checked - {"", "rule"} <= {each.field for each in fields}
    assert all(f"`{each.field}`" in threshold_table() and each.source for each in THRESHOLDS)


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
