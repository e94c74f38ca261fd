"""Teachers: tiny real checkpoints of ultralytics, made here, and the gate that they must pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewright.artifacts import Artifact, Store, sha256_file
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Row
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.errors import ArtifactCorrupt, InputError, MissingExtra
from edgewright.label.annotate import annotate
from edgewright.label.train import train_labeler
from edgewright.label.trust.evidence import ClassEvidence, Evidence
from edgewright.label.trust.pseudo import Annotator, PseudoLabeler, TrustedScore, trusted_score, why_refused
from edgewright.label.trust.teacher import Examined, Teacher
from edgewright.recipe.label import LabelConfig, TrainLabelerConfig
from edgewright.runtime.boxes import Boxes

CLASSES = ("disk", "bar")
GRAPHS = {"DetectionModel": "yolo11n.yaml", "WorldModel": "yolov8-worldv2.yaml", "YOLOEModel": "yoloe-11.yaml"}


def save_network(path: Path, kind: str, names: list[str]) -> Path:
    """A small network with random weights, as ultralytics saves one; its scores are raised, so that it finds things."""
    tasks = open_ultralytics("nn.tasks")
    torch.manual_seed(0)
    network = getattr(tasks, kind)(GRAPHS[kind], ch=3, nc=len(names), verbose=False).eval()
    network.names = dict(enumerate(names))
    network.task, network.args = "detect", {"task": "detect", "imgsz": 64}
    for name, parameter in network.named_parameters():
        if ".cv3." in name and name.endswith("2.bias"):
            parameter.data += 8.0
    torch.save({"model": network, "epoch": -1, "train_args": {"imgsz": 64}}, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("weights") / "tiny.pt", "DetectionModel", ["Cat", "Bar", "disk "])


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)


def test_a_detector_is_asked_for_the_classes_it_shares_with_us(weights: Path, image: np.ndarray) -> None:
    teacher = Teacher.open(weights, classes=("disk", "bar", "ring"))
    assert teacher.learned == (True, True, False)
    seen = teacher.find(image)
    assert len(seen) > 0
    assert set(seen.class_id.tolist()) <= {0, 1}
    assert (np.diff(seen.score) <= 0).all()
    assert (seen.xyxy >= 0).all() and (seen.xyxy <= [80, 48, 80, 48]).all()
    assert np.array_equal(teacher.find(image).xyxy, seen.xyxy)


@pytest.mark.parametrize("kind", ["WorldModel", "YOLOEModel"])
def test_a_detector_whose_classes_were_set_needs_no_text_encoder(tmp_path: Path, image: np.ndarray, kind: str) -> None:
    teacher = Teacher.open(save_network(tmp_path / "set.pt", kind, list(CLASSES)), classes=CLASSES)
    assert teacher.learned == (True, True)
    teacher.find(image)


@pytest.mark.parametrize("kind", ["WorldModel", "YOLOEModel"])
def test_without_a_text_encoder_one_sentence_says_what_to_do(tmp_path: Path, kind: str) -> None:
    with pytest.raises(MissingExtra, match=r"text encoder is not on this machine.*set_classes"):
        Teacher.open(save_network(tmp_path / "open.pt", kind, ["person"]), classes=CLASSES)


def test_weights_that_are_not_there_or_no_weights_are_refused(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(InputError, match=r"not on this machine.*download"):
        Teacher.open(tmp_path / "yoloe-11s-seg.pt", classes=CLASSES)
    (tmp_path / "text.pt").write_bytes(b"not weights")
    with pytest.raises(InputError, match="loaded safely"):
        Teacher.open(tmp_path / "text.pt", classes=CLASSES)
    with pytest.raises(InputError, match=r"knows none of the classes.*Cat"):
        Teacher.open(weights, classes=("wheel",))


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.write_text, (Path("/tmp/edgewright-teacher-was-here"), "x"))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="loaded safely"):
        Teacher.open(tmp_path / "evil.pt", classes=CLASSES)
    assert not Path("/tmp/edgewright-teacher-was-here").exists()


def test_what_is_known_of_a_teacher_survives_its_file(weights: Path, tmp_path: Path) -> None:
    evidence = Evidence("teacher", {"bar": ClassEvidence(1, (0.5,), (True,))})
    known = Examined(str(weights), sha256_file(weights), evidence)
    assert Examined.from_bytes(known.to_bytes()) == known
    assert known.open(CLASSES).sha256 == known.sha256
    with pytest.raises(InputError, match="not those that were examined"):
        replace(known, sha256="0" * 64).open(CLASSES)
    with pytest.raises(ArtifactCorrupt, match="teacher"):
        Examined.from_bytes(b"{}")


CONFIG = LabelConfig(pseudo_precision=0.8, pseudo_min_found=2, teacher_min_recall=0.5, pseudo_ignore_score=0.2)


@pytest.mark.parametrize(
    ("evidence", "trusted", "said"),
    [
        (ClassEvidence(4, (0.9, 0.8, 0.3), (True, True, False)), TrustedScore(0.8, 0.5), ""),  # good enough
        (ClassEvidence(5, (0.9, 0.8, 0.3), (True, True, False)), TrustedScore(0.8, 0.4), "finds 0.40 of the objects"),
        (ClassEvidence(4, (0.9, 0.8, 0.3), (False, True, False)), TrustedScore(None, 0.0), "no score keeps"),
        (ClassEvidence(4, (0.9,), (True,)), TrustedScore(None, 0.0), "no score keeps"),  # too little to know
        (ClassEvidence(0), TrustedScore(None, 0.0), "no score keeps"),
    ],
)
def test_a_teacher_must_be_right_and_find_enough(evidence: ClassEvidence, trusted: TrustedScore, said: str) -> None:
    found = trusted_score(Evidence("teacher", {"a": evidence}), "a", CONFIG)
    assert found == trusted
    assert why_refused(found, CONFIG).startswith(said) and bool(why_refused(found, CONFIG)) == bool(said)


class Fixed:
    """Sees the same boxes everywhere."""

    def __init__(self, *rows: tuple[tuple[int, ...], int, float]) -> None:
        self.rows = rows

    def find(self, image: np.ndarray) -> Boxes:
        return Boxes.of([r[0] for r in self.rows], class_id=[r[1] for r in self.rows], score=[r[2] for r in self.rows])


GOOD, WEAK = ClassEvidence(2, (0.9, 0.5), (True, True)), ClassEvidence(4, (0.9, 0.8), (True, True))
A, B = (0, 0, 9, 9), (20, 20, 29, 29)


def test_each_class_is_labeled_by_whoever_finds_more_of_it(image: np.ndarray) -> None:
    strong_weak, weak_strong = ({"disk": a, "bar": b} for a, b in ((GOOD, WEAK), (WEAK, GOOD)))
    sees, also_sees = Fixed((A, 0, 0.95), (A, 1, 0.95)), Fixed((B, 0, 0.6), (B, 1, 0.6), (A, 1, 0.3))
    own = Annotator(sees, Evidence("val", strong_weak), (True, True), "labeler", "l")
    other = Annotator(also_sees, Evidence("teacher", weak_strong), (True, True), "teacher", "t")
    pseudo = PseudoLabeler(own, other, CONFIG, classes=CLASSES)
    assert pseudo.taught == ("bar",)
    assert pseudo.refused == {}
    assert pseudo.thresholds == {"disk": 0.5, "bar": 0.5}
    labels = pseudo.label(image)
    assert [(each.class_id, each.source, each.model, each.ignore) for each in labels] == [
        (0, "labeler", "l", False),
        (1, "teacher", "t", False),
        (1, "teacher", "t", True),  # too faint: an ignore region
    ]
    assert [each.instance_id for each in labels] == [0, 1, 2]


def test_a_class_nobody_learned_gets_nothing(image: np.ndarray) -> None:
    own = Annotator(Fixed((A, 1, 0.95)), Evidence("val", {"disk": GOOD}), (True, False), "labeler", "l")
    pseudo = PseudoLabeler(own, None, CONFIG, classes=CLASSES)
    assert pseudo.thresholds == {"disk": 0.5, "bar": None}
    assert pseudo.label(image) == ()


def test_a_teacher_is_examined_with_the_labeler_and_refused_when_it_is_bad(
    weights: Path,
    publish: Callable[..., Dataset],
    scene: Callable[..., tuple[Row, bytes]],
    store: Store,
    publish_labeler: Callable[[Path], Artifact],
    tmp_path: Path,
) -> None:
    out = tmp_path / "labeler"
    out.mkdir()
    photographs = publish([scene(seed, split="train") for seed in range(8)])
    config = TrainLabelerConfig(image_px=32, steps=4, batch=4, width=8, folds=1, teacher=str(weights))
    report = train_labeler(
        photographs, config, out=out, scratch=tmp_path, seed=0, threads=1, on_progress=lambda *_: None
    )
    assert {name: score.n for name, score in report.teacher.items()} == {
        name: sum(label.class_id == index for row in photographs.rows for label in row.labels)
        for index, name in enumerate(CLASSES)
    }
    assert json.loads((out / "teacher.json").read_text())["sha256"] == sha256_file(weights)
    unlabeled = publish([scene(seed, state="unlabeled", labels=(), split="train") for seed in (50, 51)])
    labeler = publish_labeler(out)
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=CLASSES)
        said = annotate(labeler, unlabeled, LabelConfig(), writer=writer, on_progress=lambda *_: None)
    assert said.taught == ()
    assert set(said.teacher_refused) == set(CLASSES)
    assert all("no score keeps a precision" in reason for reason in said.teacher_refused.values())
