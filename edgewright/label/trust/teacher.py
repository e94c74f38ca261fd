"""A detector of somebody else's that may label photographs too: YOLO-World, YOLOE, or any YOLO that knows the classes.

Decides nothing about its worth: a teacher looks at people's photographs first (`train_labeler`), and of its labels only
those of classes count whose precision and recall there are as asked (`pseudo.py`); zero-shot detectors are poor outside
of the photographs they know (RF100-VL, arXiv 2505.20612). Weights are a file on this machine, read by the loader that
runs no code of it; nothing is downloaded. A detector with a text encoder is asked for our class names; any other is
asked for those of its own classes that have our names.

    teacher = Teacher.open(Path("yoloe-11s-seg.pt"), classes=("bolt", "nut"))
    teacher.find(image)                                 # Boxes in source px, as a labeler's
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.artifacts import Artifact, canonical_json, sha256_file
from edgewright.detect.yolo.checkpoint import load_checkpoint
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.errors import ArtifactCorrupt, InputError, MissingExtra
from edgewright.label.trust.evidence import Evidence
from edgewright.learning.device import best_device
from edgewright.runtime.boxes import Boxes, Image

TEACHER_FILE = "teacher.json"
_MIN_SCORE = 0.05
"""Fainter boxes are not looked at; what a score is worth is measured."""
_OPEN_VOCABULARY = {"WorldModel": "YOLOWorld", "YOLOEModel": "YOLOE", "YOLOESegModel": "YOLOE"}
"""Class of the network in the checkpoint => how ultralytics opens it."""


@dataclass(frozen=True)
class Examined:
    """What is known of a teacher: which file it is, and what its boxes were worth on people's photographs.

    Law: `Examined.from_bytes(e.to_bytes()) == e`.
    """

    path: str
    sha256: str
    evidence: Evidence

    def to_bytes(self) -> bytes:
        return canonical_json({"path": self.path, "sha256": self.sha256, "evidence": self.evidence.to_json()})

    @classmethod
    def from_bytes(cls, payload: bytes) -> Examined:
        """Raises ArtifactCorrupt."""
        try:
            value = json.loads(payload)
            return cls(str(value["path"]), str(value["sha256"]), Evidence.from_json(value["evidence"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactCorrupt("not what is known of a teacher", got=error, where=TEACHER_FILE) from error

    @classmethod
    def of(cls, labeler: Artifact) -> Examined | None:
        """The teacher that was examined together with a labeler; None where there was none."""
        return cls.from_bytes(labeler.path(TEACHER_FILE).read_bytes()) if TEACHER_FILE in labeler.files else None

    def open(self, classes: Sequence[str]) -> Teacher:
        """Raises InputError where the weights are not the examined ones any more."""
        teacher = Teacher.open(Path(self.path), classes=classes)
        if teacher.sha256 != self.sha256:
            raise InputError(
                "the teacher's weights are not those that were examined",
                expected=self.sha256,
                got=teacher.sha256,
                where=self.path,
                next_step="train the labeler again: it examines the teacher (--from train_labeler)",
            )
        return teacher


class Teacher:
    """An opened teacher. `learned`: per class of ours, whether it can name it."""

    def __init__(self, model: Any, *, sha256: str, class_of: dict[int, int], n_classes: int) -> None:
        self._model, self._class_of, self.sha256 = model, class_of, sha256
        self.learned = tuple(index in class_of.values() for index in range(n_classes))

    @classmethod
    def open(cls, path: Path, *, classes: Sequence[str]) -> Teacher:
        """Ask the detector in a weights file for our classes.

        Raises:
            InputError: no such file, one that cannot be loaded safely, or a detector that knows none of the classes.
            MissingExtra: it has to read the class names, and its text encoder is not installed.
        """
        if path.suffix != ".pt" or not path.is_file():
            raise InputError(
                "the teacher's weights are not on this machine",
                expected="a .pt file of ultralytics",
                got=path,
                next_step="download the weights and give their path, or leave train_labeler.teacher empty",
            )
        checkpoint = load_checkpoint(path)
        network = checkpoint.get("ema") or checkpoint.get("model")
        opener = _OPEN_VOCABULARY.get(type(network).__name__, "YOLO")
        model = getattr(open_ultralytics(), opener)(str(path.resolve()))
        class_of = _known(model.names, classes)
        if len(class_of) < len(classes) and opener != "YOLO":
            _prompt(model, classes, path)
            class_of = _known(model.names, classes)
        if not class_of:
            known = ", ".join(map(str, list(_by_id(model.names).values())[:8]))
            what = "the teacher knows none of the classes"
            raise InputError(what, expected=", ".join(classes), got=known, where=path)
        return cls(model, sha256=sha256_file(path), class_of=class_of, n_classes=len(classes))

    def find(self, image: Image) -> Boxes:
        """Every object of ours that it finds, in px of the picture, best first."""
        (result,) = self._model.predict(
            image[..., ::-1],  # RGB => BGR, as OpenCV reads files
            conf=_MIN_SCORE,
            device=str(best_device()),
            verbose=False,
            save=False,
        )
        found = result.boxes.cpu().numpy()
        ours = np.array([self._class_of.get(int(number), -1) for number in found.cls], dtype=np.int64)
        score = np.clip(found.conf, 0, 1)
        boxes = Boxes.of(found.xyxy[ours >= 0], class_id=ours[ours >= 0], score=score[ours >= 0])
        boxes = boxes.clip((image.shape[1], image.shape[0]))
        return boxes[np.argsort(-boxes.score, kind="stable")]


def _prompt(model: Any, classes: Sequence[str], path: Path) -> None:
    """Let it read our class names."""
    try:
        model.set_classes(list(classes))
    except (ImportError, OSError, RuntimeError) as error:  # the encoder's package, its weights, a torn file of them
        raise MissingExtra(
            "the teacher cannot read the class names: its text encoder is not on this machine",
            got=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            where=path,
            next_step="install github.com/ultralytics/CLIP and its weights, or save the model after set_classes(…) "
            "on a machine that has them, and name that file",
        ) from error


def _known(names: Any, classes: Sequence[str]) -> dict[int, int]:
    """The detector's class number => ours, where the names are the same but for case and surrounding space."""
    ours = {name.strip().lower(): index for index, name in enumerate(classes)}
    by_id = _by_id(names)
    return {number: ours[key] for number, name in by_id.items() if (key := str(name).strip().lower()) in ours}


def _by_id(names: Any) -> dict[int, Any]:
    return dict(names) if isinstance(names, dict) else dict(enumerate(names))
