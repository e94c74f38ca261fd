"""What the labeler's training begins with, and how an encoder that knows something moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edgewright.data.dataset import Dataset
from edgewright.errors import InputError
from edgewright.label.network import fit as fitting
from edgewright.label.network.batches import load_examples
from edgewright.label.network.fit import begin, fit_segmenter
from edgewright.label.outline.outlines import leave_boxes
from edgewright.label.train import trusted_rows
from edgewright.learning.device import seeded
from edgewright.learning.provenance import Provenance
from edgewright.recipe.label import TrainLabelerConfig

TINY: dict[str, Any] = {"image_px": 32, "steps": 4, "batch": 4, "width": 8}


def config(**fields: Any) -> TrainLabelerConfig:
    return TrainLabelerConfig(**{**TINY, **fields})


def backbone_of(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.named_parameters() if name.startswith("backbone.")}


def test_auto_is_the_package_where_the_network_has_one() -> None:
    _, provenance = begin(config(network="efficientnet"), n_classes=2)
    assert (provenance.name, provenance.license) == ("EfficientNet-lite0", "Apache-2.0")
    assert 0.4 < provenance.share < 1
    assert "ImageNet" in provenance.note
    assert begin(config(network="unet"), n_classes=2)[1] == Provenance()


def test_none_begins_with_random_numbers() -> None:
    with seeded(3):
        net, provenance = begin(config(network="efficientnet", init="none"), n_classes=2)
    with seeded(3):
        packaged, _ = begin(config(network="efficientnet", init="package"), n_classes=2)
    assert provenance == Provenance()
    assert not all(torch.equal(a, b) for a, b in zip(net.parameters(), packaged.parameters(), strict=True))


def test_a_file_of_the_same_network_is_taken_whole(tmp_path: Path) -> None:
    first, _ = begin(config(), n_classes=2)
    save_file(
        {name: value.contiguous() for name, value in first.state_dict().items()}, tmp_path / "labeler.safetensors"
    )
    net, provenance = begin(config(init=str(tmp_path / "labeler.safetensors")), n_classes=2)
    assert provenance.share == 1
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), net.parameters(), strict=True))


def test_weights_that_cannot_be_had_are_never_silently_none(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(3)}, tmp_path / "other.safetensors")
    for fields, sentence in (
        ({"network": "unet", "init": "package"}, "no pretrained weights are packaged for train_labeler.network=unet"),
        ({"init": str(tmp_path / "absent.safetensors")}, "a file of weights cannot be read"),
        ({"init": str(tmp_path / "other.safetensors")}, "weights of another network"),
    ):
        with pytest.raises(InputError, match=sentence):
            begin(config(**fields), n_classes=2)


@pytest.mark.parametrize("init", ["package", "none"])
def test_an_encoder_that_knows_something_waits_for_the_rest(
    init: str, photographs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "_FROZEN_SHARE", 1.0)
    chosen = config(network="efficientnet", init=init)
    with seeded(0):
        before = backbone_of(begin(chosen, n_classes=2)[0])
    rows = trusted_rows(photographs, "train")
    examples = load_examples(photographs, rows, image_px=32, shape="ellipse", outliner=leave_boxes)
    ignore: Callable[[int, float], None] = lambda _done, _loss: None  # noqa: E731
    fit = fit_segmenter(
        examples, chosen, n_classes=2, origin=["test"], checkpoint=tmp_path / "c", seed=0, on_loss=ignore
    )
    after = backbone_of(fit.net)
    assert all(torch.equal(before[name], after[name]) for name in before) is (init == "package")
