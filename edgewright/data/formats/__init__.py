"""Label formats, one file each: `detect`, `read` and `write`. Decides which layout a source has.

Refuses labels in several layouts, and labels in a format that is recognized and not read.

>>> sorted(LAYOUTS)
['coco', 'createml', 'labelme', 'unlabeled', 'voc', 'yolo']
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.data.dataset import Dataset
from edgewright.data.formats import coco, createml, labelme, unlabeled, voc, yolo
from edgewright.data.formats.annotation import Annotation, Labels, RawBox
from edgewright.data.formats.foreign import refuse_foreign, refuse_unknown
from edgewright.data.rows import Row
from edgewright.data.sources import Source
from edgewright.errors import InputError, SourceError

__all__ = ["LAYOUTS", "Annotation", "Labels", "Layout", "RawBox", "detect_layout", "layout_named"]


@dataclass(frozen=True)
class Layout:
    """What is done with a layout.

    Attributes:
        read: (source, configured classes) => labels.
        write: (dataset, (file name, row)…, folder); None where it is only read.
    """

    detect: Callable[[Source], bool]
    read: Callable[[Source, tuple[str, ...]], Labels]
    write: Callable[[Dataset, Sequence[tuple[str, Row]], Path], None] | None = None


LAYOUTS: dict[str, Layout] = {
    "coco": Layout(coco.detect, coco.read, coco.write),
    "createml": Layout(createml.detect, createml.read),
    "labelme": Layout(labelme.detect, labelme.read),
    "voc": Layout(voc.detect, voc.read, voc.write),
    "yolo": Layout(yolo.detect, yolo.read, yolo.write),
    "unlabeled": Layout(unlabeled.detect, unlabeled.read, unlabeled.write),
}


def detect_layout(source: Source) -> str:
    """The one layout whose labels stand in the source; `unlabeled` where none does.

    Raises:
        SourceError: labels in more than one layout: guessing would lose some; or in a format that is not read.
    """
    found = [name for name, layout in LAYOUTS.items() if layout.detect(source)]
    if len(found) > 1:
        raise SourceError(
            "labels in more than one layout",
            got=", ".join(found),
            where=source.where,
            next_step=f"--set ingest.layout={found[0]}",
        )
    if not found:
        refuse_foreign(source)
        refuse_unknown(source)
    return found[0] if found else "unlabeled"


def layout_named(name: str) -> Layout:
    """Raises InputError for an unknown name."""
    if name not in LAYOUTS:
        raise InputError("unknown layout", expected=", ".join(LAYOUTS), got=name)
    return LAYOUTS[name]
