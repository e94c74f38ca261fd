from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgewright.artifacts import Artifact, Content, Record, Store
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Label, Row
from edgewright.errors import InputError
from edgewright.fanout.hands import Hands
from edgewright.fanout.processes import ALONE, ProcessHands
from edgewright.label.annotate import AnnotateReport, annotate
from edgewright.label.network.net import LabelerSpec
from edgewright.label.train import LabelerReport
from edgewright.label.trust.agreement import Agreement, Decision, Judgment
from edgewright.label.verdicts import judgeable, relabel
from edgewright.recipe.label import LabelConfig
from edgewright.runtime.boxes import Boxes

Publish = Callable[..., Dataset]
MakeScene = Callable[..., tuple[Row, bytes]]
Annotated = tuple[AnnotateReport, dict[str, Row], Dataset]
Annotate = Callable[..., Annotated]

CONFIG = LabelConfig(keep_iou=0.5, drop_iou=0.25, min_score=0.4, max_bad_share=0.4)
SYNTHETIC = {"origin": "synthetic", "state": "constructed", "split": "train"}


def silent(done: int, total: int, what: str) -> None:
    pass


@pytest.fixture(scope="module")
def labeler(trained: tuple[LabelerReport, Path], publish_labeler: Callable[[Path], Artifact]) -> Artifact:
    return publish_labeler(trained[1])


@pytest.fixture
def run(labeler: Artifact, store: Store) -> Annotate:
    """`run(dataset, config) -> (report, rows by id, derived dataset)`."""

    def run_annotate(dataset: Dataset, config: LabelConfig = CONFIG) -> Annotated:
        with store.workspace() as work:
            writer = DatasetWriter(work, classes=dataset.classes)
            report = annotate(labeler, dataset, config, writer=writer, on_progress=silent)
            writer.finish()
            ref = store.publish(work, Content(kind="dataset_synthetic", stage="label"), Record())
        derived = Dataset.open(store, ref)
        return report, {row.id: row for row in derived.rows}, derived

    return run_annotate


def moved(row: Row) -> Row:
    """The row with every label 32 px away: where no object is, or another one."""
    shift = [(x1 + 32) % 64 for x1, *_ in (label.xyxy for label in row.labels)]
    labels = tuple(
        replace(label, xyxy=(min(x, 44.0), label.xyxy[1], min(x, 44.0) + 16, label.xyxy[3]))
        for x, label in zip(shift, row.labels, strict=True)
    )
    return replace(row, labels=labels)


@pytest.mark.trains
def test_true_labels_are_kept_and_false_ones_left_out(publish: Publish, scene: MakeScene, run: Annotate) -> None:
    good = [scene(seed, **SYNTHETIC) for seed in range(100, 108)]
    bad = [(replace(moved(row), id=f"bad-{row.id}"), payload) for row, payload in good]
    report, _, derived = run(publish(good + bad))
    assert report.judged_images == 16
    left_out = [row.id for row in derived.quarantined]
    assert tuple(left_out) == report.left_out
    assert sum(name.startswith("bad-") for name in left_out) >= 7
    assert sum(not name.startswith("bad-") for name in left_out) <= 1
    total = report.total
    assert total.keep + total.correct + total.review + total.drop + total.missed == 48
    kept = [label for row in derived.usable for label in row.labels if not label.ignore]
    assert all(0.2 < label.confidence <= 1 for label in kept)
    assert all(derived.image(row).shape == (64, 64, 3) for row in derived.usable)


@pytest.mark.trains
def test_a_picture_that_is_left_out_says_why_and_where_it_lies(
    publish: Publish, scene: MakeScene, run: Annotate
) -> None:
    row, payload = scene(101, **SYNTHETIC)
    dataset = publish([(replace(moved(row), parents=("background.png",)), payload)])
    _, rows, _ = run(dataset)
    out = rows["scene-101"]
    assert out.quarantine.startswith("labeler disagrees: ")
    assert out.parents == ("background.png", dataset.ref.sha256)
    assert out.scores["missed"] + out.scores["phantom"] > 0
    assert len(out.labels) == 3 + out.scores["phantom"]
    unknown = [label for label in out.labels if label.source == "phantom"]
    assert len(unknown) == out.scores["phantom"] > 0
    assert all(label.ignore and label.confidence >= CONFIG.min_score for label in unknown)
    assert len({label.instance_id for label in out.labels}) == len(out.labels)


def test_everything_else_passes_through(publish: Publish, scene: MakeScene, run: Annotate) -> None:
    photograph = scene(1)
    held_out = scene(5, state="unlabeled", labels=(), split="val")
    lost = Row(id="broken.png", sha256="", quarantine="truncated")
    dataset = publish([photograph, held_out], quarantined=[lost])
    report, rows, _ = run(dataset)
    assert tuple(rows.values()) == dataset.rows
    assert report.judged_images == report.pseudo_labels == 0


@pytest.mark.trains
def test_unlabeled_photographs_get_the_labelers_labels(
    publish: Publish, scene: MakeScene, run: Annotate, labeler: Artifact
) -> None:
    report, rows, _ = run(publish([scene(seed, state="unlabeled", labels=(), split="train") for seed in (201, 202)]))
    labels = [label for row in rows.values() for label in row.labels]
    assert {row.state for row in rows.values()} == {"model"}
    assert report.pseudo_labeled_images == 2
    assert report.pseudo_labels == sum(not label.ignore for label in labels) > 3
    assert report.pseudo_ignored == sum(label.ignore for label in labels)
    assert {(label.source, label.model) for label in labels} == {("labeler", labeler.ref.sha256)}
    for label in labels:
        limit = report.pseudo_thresholds[("disk", "bar")[label.class_id]]
        assert label.ignore == (limit is None or label.confidence < limit)
        assert label.confidence >= CONFIG.pseudo_ignore_score


@pytest.mark.trains
def test_a_class_without_known_precision_gets_ignore_regions_alone(
    publish: Publish, scene: MakeScene, run: Annotate
) -> None:
    dataset = publish([scene(seed, state="unlabeled", labels=(), split="train") for seed in (203, 204)])
    for changes in ({"pseudo_min_found": 10_000}, {"pseudo_precision": 1.0, "pseudo_min_found": 1000}):
        report, *_ = run(dataset, CONFIG.model_copy(update=changes))
        assert report.pseudo_thresholds == {"disk": None, "bar": None}
        assert report.pseudo_labels == 0
        assert report.pseudo_ignored > 3
    report, _, _ = run(dataset, CONFIG.model_copy(update={"pseudo_min_found": 10_000, "pseudo_ignore_score": 1.0}))
    assert report.pseudo_ignored == 0


@pytest.mark.trains
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"keep_iou": 0.999}, "keep"),  # nothing is placed so well
        ({"drop_iou": 0.5}, "drop"),  # no room between the two
        ({"correct_score": 1.0}, "review"),  # never sure enough to correct
        ({"min_score": 1.0}, "phantom"),  # never sure enough
        ({"min_object_px": 64.0}, "unjudged"),  # everything is too small
    ],
)
def test_every_threshold_changes_a_count(
    publish: Publish, scene: MakeScene, run: Annotate, changes: dict[str, float], field: str
) -> None:
    row, payload = scene(103, **SYNTHETIC)
    shifted = tuple(
        replace(label, xyxy=tuple(v + (8 if i % 2 == 0 else 0) for i, v in enumerate(label.xyxy)))
        for label in row.labels
    )
    dataset = publish(
        [
            (row, payload),
            (replace(row, id="shifted", labels=shifted), payload),
            (replace(row, id="empty", labels=()), payload),
        ]
    )
    base, *_ = run(dataset)
    changed, *_ = run(dataset, CONFIG.model_copy(update=changes))
    assert getattr(base.total, field) != getattr(changed.total, field)


@pytest.mark.trains
def test_in_an_fpgas_numbers_it_judges_nearly_the_same_and_says_where_that_was_not_written(
    publish: Publish, scene: MakeScene, run: Annotate, trained: tuple[LabelerReport, Path], store: Store, tmp_path: Path
) -> None:
    dataset = publish([scene(seed, **SYNTHETIC) for seed in range(200, 206)])
    fpga = CONFIG.model_copy(update={"number_format": "fpga"})
    (base, rows, _), (other, others, _) = run(dataset), run(dataset, fpga)
    assert abs(other.total.keep - base.total.keep) <= 0.2 * base.total.keep
    confidences = [[label.confidence for row in some.values() for label in row.labels] for some in (rows, others)]
    assert confidences[0] != confidences[1]
    for path in trained[1].iterdir():
        if path.name != "labeler-fpga.onnx":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with store.workspace() as work:
        for path in tmp_path.iterdir():
            (work / path.name).write_bytes(path.read_bytes())
        plain = store.open(store.publish(work, Content(kind="labeler", stage="train_labeler"), Record()))
    with store.workspace() as work, pytest.raises(InputError, match=r"train_labeler\.fpga=true"):
        annotate(plain, dataset, fpga, writer=DatasetWriter(work, classes=dataset.classes), on_progress=silent)


def test_a_patient_config_leaves_nothing_out(publish: Publish, scene: MakeScene, run: Annotate) -> None:
    row, payload = scene(101, **SYNTHETIC)
    report, _, _ = run(publish([(moved(row), payload)]), CONFIG.model_copy(update={"max_bad_share": 1.0}))
    assert report.left_out == ()
    assert report.left_out_share == 0


def test_other_classes_are_refused(publish: Publish, scene: MakeScene, run: Annotate) -> None:
    with pytest.raises(InputError, match="class lists differ"):
        run(publish([scene(1)], classes=("disk", "ring")))


def test_the_same_twice_is_the_same_bytes(publish: Publish, scene: MakeScene, run: Annotate) -> None:
    dataset = publish([scene(seed, **SYNTHETIC) for seed in (301, 302)])
    assert run(dataset)[2].ref == run(dataset)[2].ref


@pytest.mark.parametrize(
    ("decision", "ignore", "source", "confidence"),
    [
        (Decision.KEEP, False, "constructed", 0.4),
        (Decision.CORRECT, False, "corrected", 0.8),  # how sure the labeler is of its own box
        (Decision.REVIEW, True, "review", 0.4),
        (Decision.DROP, True, "dropped", 0.4),
        (Decision.MISSED, True, "dropped", 0.4),
        (Decision.UNJUDGED, False, "constructed", 1.0),  # nothing was said about it
    ],
)
def test_what_becomes_of_a_label(decision: Decision, ignore: bool, source: str, confidence: float) -> None:
    hidden = Label(0, 0, (0.0, 0.0, 2.0, 2.0), ignore=True, source="constructed")
    own = Label(1, 1, (0.0, 0.0, 9.0, 9.0), source="constructed", mask="0 81")
    seen = Boxes.of([[50, 50, 60, 60], [0, 0, 9, 5]], class_id=[0, 1], score=[0.7, 0.8])
    agreement = Agreement((Judgment(decision, iou=0.5, score=0.8, at=1),), (0,))
    row = Row(id="a", sha256="", labels=(hidden, own))
    untouched, label, phantom = relabel(row, agreement, seen=seen, model="m")
    assert untouched == hidden
    assert (label.ignore, label.source, label.confidence) == (ignore, source, pytest.approx(confidence))
    corrected = decision is Decision.CORRECT
    assert label.xyxy == ((0, 0, 9, 5) if corrected else own.xyxy)
    assert (label.replaced_xyxy, label.mask) == ((own.xyxy, "") if corrected else ((), own.mask))
    assert (phantom.instance_id, phantom.ignore, phantom.source, phantom.model) == (2, True, "phantom", "m")


def test_small_objects_and_unlearnt_classes_are_not_judged() -> None:
    spec = LabelerSpec(("a", "b"), (True, False), image_px=32, width=8, temperature=1.0)
    labels = (
        Label(0, 0, (0.0, 0.0, 20.0, 20.0)),
        Label(1, 0, (0.0, 0.0, 20.0, 7.0)),  # 3.5 px high where the labeler looks
        Label(2, 1, (0.0, 0.0, 20.0, 20.0)),
    )
    row = Row(id="a", sha256="", width=64, height=32, labels=labels)
    assert judgeable(row.boxes, row, spec=spec, config=LabelConfig(min_object_px=4)).tolist() == [True, False, False]


def test_it_looks_with_one_thread_whatever_the_machine_has(
    publish: Publish, scene: MakeScene, labeler: Artifact, store: Store
) -> None:
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        with store.workspace() as work:
            writer = DatasetWriter(work, classes=("disk", "bar"))
            dataset = publish([scene(1, **SYNTHETIC)])
            annotate(
                labeler, dataset, CONFIG, writer=writer, on_progress=lambda *_: seen.append(torch.get_num_threads())
            )
        assert (set(seen), torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


def test_photographs_of_another_data_set_are_labeled_too(
    publish: Publish, scene: MakeScene, labeler: Artifact, store: Store
) -> None:
    """Those that nobody labeled, of train; the others are not taken over."""
    unlabeled = {"state": "unlabeled", "labels": ()}
    photographs = publish(
        [scene(1), scene(2, split="train", **unlabeled), scene(3, split="test", **unlabeled)],
        quarantined=[Row(id="lost", sha256="", quarantine="truncated")],
    )
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("disk", "bar"))
        synthetic = publish([scene(4, **SYNTHETIC)])
        report = annotate(
            labeler, synthetic, CONFIG, writer=writer, photographs=photographs, on_progress=lambda *_: None
        )
        states = {row.id: row.state for row in writer.finish()}
    assert states == {"scene-002": "model", "scene-004": "constructed"}
    assert (report.judged_images, report.pseudo_labeled_images) == (1, 1)


def test_helpers_change_no_byte(
    publish: Publish,
    scene: MakeScene,
    labeler: Artifact,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Judged, reviewed, labeled and left alone: by this process, and with a helper that looked at some of them."""
    monkeypatch.setattr("edgewright.label.annotate.SHARD_ROWS", 1)
    synthetic = [scene(seed, **SYNTHETIC) for seed in range(60, 76)]
    dataset = publish([*synthetic, (replace(moved(synthetic[5][0]), id="bad"), synthetic[5][1]), scene(2)])
    photographs = publish([scene(seed, state="unlabeled", labels=(), split="train") for seed in (91, 92)])
    reviewed = publish([(replace(row, state="reviewed"), payload) for row, payload in synthetic[:2]])
    folders: list[Path] = []

    def helps() -> bool:
        return any(thread.name.startswith("helper-") for thread in threading.enumerate())

    def wait_for_the_helper(done: int, total: int, what: str) -> None:
        deadline = time.monotonic() + 60
        while helps() and len(list(tmp_path.glob("helped/*/*.parquet"))) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def run(name: str, hands: Hands) -> tuple[AnnotateReport, dict[str, bytes]]:
        writer = DatasetWriter(tmp_path / f"{name}-out", classes=dataset.classes)
        report = annotate(
            labeler,
            dataset,
            CONFIG,
            writer=writer,
            photographs=photographs,
            reviewed=reviewed,
            on_progress=wait_for_the_helper,
            hands=hands,
            scratch=tmp_path / name,
            helpers_after_s=0.0,
        )
        writer.finish()
        folders.extend((tmp_path / name).iterdir())
        return report, {path.name: path.read_bytes() for path in (tmp_path / f"{name}-out").rglob("*.*")}

    alone, helped = run("alone", ALONE), run("helped", ProcessHands(2))
    assert helped == alone
    assert (alone[0].judged_images, alone[0].reviewed_images, alone[0].pseudo_labeled_images) == (15, 2, 2)
    assert folders[0].name == folders[1].name and (folders[1] / "helper-0.log").exists()
