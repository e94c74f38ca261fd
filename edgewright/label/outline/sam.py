"""A person's box → the pixels of the object in it, by a Segment Anything model of ultralytics (arXiv 2304.02643).

Decides that weights are a file on this machine that holds numbers alone: ultralytics reads them by a loader that would
run code of the file, so the file is read without it first. Its name says which model it is (`sam2.1_t.pt`). What SAM
finds must fill the person's box, as GrabCut's must; else the ellipse stands in.

    outliner = open_sam(Path("mobile_sam.pt"))
    outliner(image, row.labels).fallbacks
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from edgewright.data.rle import encode_mask
from edgewright.data.rows import Label
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.errors import InputError
from edgewright.label.outline.outlines import Outlined, Outliner, fills_box
from edgewright.learning.device import best_device
from edgewright.runtime.boxes import Image


def open_sam(path: Path) -> Outliner:
    """Raises InputError: no such file, one that is not numbers alone, or of a name that is no model of ultralytics."""
    known = open_ultralytics("models.sam.build").sam_model_map
    if path.name not in known or not path.is_file():
        raise InputError(
            "the weights of SAM are not on this machine",
            expected="a file named " + ", ".join(known),
            got=path,
            next_step="download one and name it in train_labeler.sam_weights, or set mask_from_box=grabcut",
        )
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError("not a weights file that can be loaded safely", got=error, where=path) from error
    try:
        model = open_ultralytics().SAM(str(path.resolve()))
    except RuntimeError as error:
        raise InputError("the weights do not fit the model that their name says", got=error, where=path) from error
    return lambda image, labels: _outline(model, image, labels)


def _outline(model: Any, image: Image, labels: Sequence[Label]) -> Outlined:
    """All boxes of a picture at once: the picture is what costs."""
    bare = [index for index, label in enumerate(labels) if not label.mask and not label.ignore]
    if not bare:
        return Outlined(tuple(labels), 0)
    (result,) = model.predict(
        image[..., ::-1],  # RGB => BGR, as OpenCV reads files
        bboxes=[list(labels[index].xyxy) for index in bare],
        device=str(best_device()),
        conf=0.0,
        verbose=False,
        save=False,
    )
    masks = result.masks.data.cpu().numpy() > 0 if result.masks is not None else []
    asked = result.boxes.cls.cpu().numpy().astype(int).tolist()  # masks of no score at all are left out
    found = {bare[number]: mask for number, mask in zip(asked, masks, strict=True)}
    good = {index for index, mask in found.items() if fills_box(mask, labels[index].xyxy)}
    outlined = [
        replace(label, mask=encode_mask(found[index])) if index in good else label for index, label in enumerate(labels)
    ]
    return Outlined(tuple(outlined), len(bare) - len(good))
