"""Segment Anything, with random weights in a real file of ultralytics' own format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewright.data.rows import Label
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.errors import InputError
from edgewright.label.outline.outlines import fills_box
from edgewright.label.outline.sam import open_sam


def test_weights_that_are_not_there_or_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not on this machine.*mobile_sam.pt.*sam_weights"):
        open_sam(tmp_path / "mobile_sam.pt")
    (tmp_path / "mine.pt").write_bytes(b"x")
    with pytest.raises(InputError, match="a file named"):
        open_sam(tmp_path / "mine.pt")
    (tmp_path / "sam_b.pt").write_bytes(b"not weights")
    with pytest.raises(InputError, match="loaded safely"):
        open_sam(tmp_path / "sam_b.pt")


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.write_text, (Path("/tmp/edgewright-sam-was-here"), "x"))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": Evil()}, tmp_path / "sam_b.pt")
    with pytest.raises(InputError, match="loaded safely"):
        open_sam(tmp_path / "sam_b.pt")
    assert not Path("/tmp/edgewright-sam-was-here").exists()


@pytest.mark.parametrize(
    ("xyxy", "good"),
    [
        ((10, 10, 30, 20), True),  # exactly its box
        ((9, 9, 31, 21), True),  # loosely drawn
        ((0, 0, 40, 40), False),  # a small part of the box
        ((10, 10, 20, 20), False),  # leaks out of the box
        ((35, 35, 38, 38), False),  # elsewhere
    ],
)
def test_a_mask_must_fill_the_box(xyxy: tuple[int, ...], good: bool) -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:30] = True
    assert fills_box(mask, xyxy) == good
    assert not fills_box(np.zeros((40, 40), bool), xyxy)


@pytest.mark.slow  # MobileSAM looks at 1024 px: seconds a picture without a GPU
def test_every_box_is_asked_about_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = open_ultralytics("models.sam.build").sam_model_map["mobile_sam.pt"](None)
    torch.save(network.state_dict(), tmp_path / "mobile_sam.pt")
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    labels = (
        Label(0, 0, (4.0, 4.0, 20.0, 20.0)),
        Label(1, 0, (30.0, 8.0, 50.0, 28.0), mask="3072"),
        Label(2, 0, (10.0, 20.0, 40.0, 44.0)),
        Label(3, 0, (0.0, 0.0, 9.0, 9.0), ignore=True),
    )
    outlined = open_sam(tmp_path / "mobile_sam.pt")(image, labels)
    assert [label.xyxy for label in outlined.labels] == [label.xyxy for label in labels]
    assert outlined.labels[1] == labels[1] and outlined.labels[3] == labels[3]
    assert outlined.fallbacks == sum(not outlined.labels[index].mask for index in (0, 2))
