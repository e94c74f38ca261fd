"""The segmenter: its file, and picture → class probabilities and cores.

labeler = Labeler.open(artifact, threads=2)
labeler.find(image)                                 # Boxes in source px, score = calibrated confidence
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from edgewright.artifacts import Artifact
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.label.instances import find_instances
from edgewright.label.network.graph import network_named
from edgewright.label.outline.masks import picture_area
from edgewright.learning.device import best_device
from edgewright.runtime.boxes import Boxes, FloatArray, Image
from edgewright.runtime.preprocess import Letterbox, letterbox

WEIGHTS_FILE = "labeler.safetensors"
SPEC_FILE = "labeler.json"
MOST_LOST = 0.1
"""Of a class's pixel IoU on `val`, between float and an FPGA's numbers."""


def device_of(net: nn.Module) -> torch.device:
    """Where its weights lie; one that is computed elsewhere is fed from the CPU."""
    return next((each.device for each in net.parameters()), torch.device("cpu"))


@dataclass(frozen=True)
class LabelerSpec:
    """What the weights do not say of themselves. Law: `LabelerSpec.from_json(s.to_json()) == s`.

    Attributes:
        classes: names by class id.
        learned: per class, whether it had a label to learn from.
        image_px: side of the square letterbox.
        width: channels at half resolution.
        network: `unet` or `efficientnet` (see graph.py); a description that does not say it is of a `unet`.
        temperature: divides the logits, so that confidence means frequency (Guo et al. 2017).
    """

    classes: tuple[str, ...]
    learned: tuple[bool, ...]
    image_px: int
    width: int
    temperature: float
    network: str = "unet"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "classes": list(self.classes), "learnt": list(self.learned)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> LabelerSpec:
        """Reads its own fields of a larger document. Raises ArtifactCorrupt."""
        try:
            return cls(
                classes=tuple(str(name) for name in value["classes"]),
                learned=tuple(bool(known) for known in value["learnt"]),
                image_px=int(value["image_px"]),
                width=int(value["width"]),
                temperature=float(value["temperature"]),
                network=str(value.get("network", "unet")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactCorrupt("not a labeler's description", got=error, where=SPEC_FILE) from error


@dataclass(frozen=True)
class PixelProbabilities:
    """Probabilities in a letterboxed picture.

    Attributes:
        classes: (1 + C, S, S) float32, background first; sums to 1 at each pixel.
        core: (S, S) float32: the pixel lies in the inside of an object.
    """

    classes: FloatArray
    core: FloatArray
    geometry: Letterbox


@dataclass(frozen=True)
class Labeler:
    """A segmenter that is ready to look at pictures."""

    spec: LabelerSpec
    net: nn.Module

    @classmethod
    def open(cls, artifact: Artifact) -> Labeler:
        return cls.read(artifact.path(SPEC_FILE), artifact.path(WEIGHTS_FILE))

    @classmethod
    def open_for_fpga(cls, artifact: Artifact) -> Labeler:
        """The same in an FPGA's number format.

        Its temperature and the evidence for thresholds are the float network's: so it must see on `val` what that sees.

        Raises:
            InputError: it was not written, or sees much less on `val`, or nothing is known of that.
        """
        from edgewright.label.network.fpga import FPGA_FILE, FpgaNet

        if FPGA_FILE not in artifact.files:
            raise InputError(
                "the labeler was not written for an FPGA",
                expected=FPGA_FILE,
                where=artifact.ref.uri,
                next_step="train_labeler.fpga=true beside label.number_format=fpga",
            )
        described = json.loads(artifact.path(SPEC_FILE).read_bytes())
        spec = LabelerSpec.from_json(described)
        lost = {
            name: score["iou"] - (described["fpga"]["val"][name]["iou"] or 0.0)
            for name, score in described["val"].items()
            if score["iou"] is not None
        }
        worst = max(lost, key=lambda name: lost[name], default="")
        if not worst or lost[worst] > MOST_LOST:
            raise InputError(
                "the labeler in an FPGA's numbers is not the one that was examined",
                expected=f"pixel IoU on val lower by at most {MOST_LOST:g}",
                got=f"{lost[worst]:.2f} for {worst}" if worst else "nothing labeled in val to know it by",
                where=artifact.ref.uri,
                next_step="label.number_format=float",
            )
        return cls(spec, FpgaNet.open(artifact.path(FPGA_FILE)))

    @classmethod
    def read(cls, spec_file: Path, weights_file: Path) -> Labeler:
        """Raises ArtifactCorrupt where weights and description do not fit."""
        spec = LabelerSpec.from_json(json.loads(spec_file.read_bytes()))
        net = network_named(spec.network, n_classes=len(spec.classes), width=spec.width)
        try:
            net.load_state_dict(load_file(weights_file))
        except RuntimeError as error:
            raise ArtifactCorrupt("the weights do not fit the labeler", got=error, where=weights_file) from error
        return cls(spec, net.to(best_device()).eval())

    def segment(self, image: Image) -> PixelProbabilities:
        """What it makes of every pixel of the letterboxed picture; the letterbox's border is background."""
        tensor, geometry = letterbox(image, size_px=self.spec.image_px)
        with torch.inference_mode():
            logits = self.net(torch.from_numpy(tensor).to(device_of(self.net)))[0].float().cpu() / self.spec.temperature
        inside = picture_area(geometry, size_px=self.spec.image_px)
        classes = np.where(inside, torch.softmax(logits[:-1], dim=0).numpy(), 0)
        classes[0] += ~inside
        return PixelProbabilities(classes, torch.sigmoid(logits[-1]).numpy() * inside, geometry)

    def find(self, image: Image) -> Boxes:
        """Every object it finds, in source px, best first; the score is its calibrated confidence."""
        pixels = self.segment(image)
        return pixels.geometry.to_source(find_instances(pixels.classes, pixels.core))
