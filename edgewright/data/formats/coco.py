"""COCO: JSON files with `images`, `annotations` and `categories`.

Decides: classes are the categories in order of their id, over all files by name; `iscrowd` is an ignore region; an
image that is listed without annotations is a background picture. A file name is looked up beside its JSON file, then as
it stands, then by as much of its end as is unique. Of files that list the same pictures the boxes are taken, keypoints,
captions and panoptic segments left out, which is told. `segmentation` is read as a mask, be it polygons or run lengths
(plain or compressed), and written as plain run lengths, which lose nothing. Refuses an image that two files annotate
differently.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgewright.data.dataset import Dataset
from edgewright.data.findings import Findings
from edgewright.data.formats.annotation import Annotation, Labels, class_list
from edgewright.data.formats.coco_document import Content, Document, read_document
from edgewright.data.formats.json_head import HEAD_BYTES, json_head
from edgewright.data.formats.pairing import Lookup, require_a_pair
from edgewright.data.rle import decode_mask, encode_coco
from edgewright.data.rows import LabelState, Row, Split
from edgewright.data.sources import Source
from edgewright.errors import SourceError

_KEYS = frozenset({"images", "annotations", "categories"})
_OTHERS = frozenset({"items", "shapes"})
"""Keys beside which `images` or `categories` are another format's."""


def detect(source: Source) -> bool:
    return any(_is_coco(source, file) for file in source.named(".json"))


def read(source: Source, configured: tuple[str, ...]) -> Labels:
    told = Findings()
    files = [file for file in source.named(".json") if _is_coco(source, file)]
    found = _Found(Lookup.over(source.images))
    documents = _with_boxes([read_document(source, file, told) for file in files], told, source.where)
    for document in sorted(
        documents, key=lambda document: len(document.images)
    ):  # a split's own file before one of all
        found.enter(document, told)
    require_a_pair(found.by_image, source.images, found.unpaired, where=source.where)
    names = list(dict.fromkeys(name for document in documents for name in document.classes))
    return Labels(
        class_list(names, configured, where=source.where),
        found.by_image,
        frozenset(files),
        found.unpaired,
        class_source=", ".join(document.file for document in documents),
        listed_in=found.listed_in,
        findings=tuple(told),
    )


def write(dataset: Dataset, named: Sequence[tuple[str, Row]], out: Path) -> None:
    """`images/<split>/`, `annotations/instances_<split>.json`; unlabeled pictures are not listed in it."""
    (out / "annotations").mkdir(parents=True)
    for split in Split:
        (out / "images" / split).mkdir(parents=True)
        chosen = [(name, row) for name, row in named if row.split == split]
        for name, row in chosen:
            (out / "images" / split / name).write_bytes(dataset.payload(row))
        listed = [(name, row) for name, row in chosen if row.state != LabelState.UNLABELED]
        text = json.dumps(_instances(dataset.classes, listed), indent=1, ensure_ascii=False)
        (out / "annotations" / f"instances_{split}.json").write_text(text)


@dataclass
class _Found:
    """What the entries of all files come to."""

    lookup: Lookup
    by_image: dict[str, Annotation] = field(default_factory=dict)
    listed_in: dict[str, str] = field(default_factory=dict)
    unpaired: dict[str, str] = field(default_factory=dict)

    def enter(self, document: Document, told: Findings) -> None:
        for entry in document.images:
            name = self.lookup.find(entry.file_name, beside=document.file)
            if name is None:
                self.unpaired[f"{document.file}#{entry.file_name}"] = "an entry without an image, or with several"
                continue
            if self.by_image.get(name) == entry.annotation:
                told.add("pictures that two files annotate alike", example=f"{name} in {document.file}")
            elif name in self.by_image:
                self.by_image[name] = Annotation(reason=f"annotated twice, once in {document.file}")
            else:
                self.by_image[name] = entry.annotation
            self.listed_in.setdefault(name, document.file)


def _is_coco(source: Source, file: str) -> bool:
    """By the head of the file: all three keys, or in a file that goes on any of them and none of another format."""
    opened, keys = json_head(source, file)
    if opened != "{":
        return False
    whole = len(source.head(file, max_bytes=HEAD_BYTES)) < HEAD_BYTES
    return keys >= _KEYS if whole else bool(keys & _KEYS) and not keys & _OTHERS


def _with_boxes(documents: Sequence[Document], told: Findings, where: str) -> list[Document]:
    """The files to take. Raises SourceError where none holds boxes."""
    kept = [document for document in documents if document.content is Content.INSTANCES]
    listed = {entry.file_name for document in kept for entry in document.images}
    for document in documents:
        if document.content is Content.INSTANCES:
            continue
        again = any(entry.file_name in listed for entry in document.images)
        if document.content is Content.KEYPOINTS and not again:
            kept.append(document)
        else:
            told.add(f"COCO files with {document.content}, left out", example=document.file)
    if not kept:
        contents = ", ".join(f"{document.file}: {document.content}" for document in documents[:5])
        raise SourceError("COCO files without boxes", got=contents, where=where, next_step="bring the instances file")
    return sorted(kept, key=lambda document: document.file)


def _instances(classes: tuple[str, ...], listed: Sequence[tuple[str, Row]]) -> dict[str, object]:
    annotations: list[dict[str, object]] = []
    for image_id, (_, row) in enumerate(listed, 1):
        for label in row.labels:
            x1, y1, x2, y2 = label.xyxy
            mask = decode_mask(label.mask, shape=(row.height or 0, row.width or 0)) if label.mask else None
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": label.class_id + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1) if mask is None else int(mask.sum()),
                    "iscrowd": int(label.ignore),
                    "segmentation": [] if mask is None else {"counts": encode_coco(mask), "size": list(mask.shape)},
                }
            )
    return {
        "info": {"description": "written by edgewright"},
        "images": [
            {"id": image_id, "file_name": f"images/{row.split}/{name}", "width": row.width, "height": row.height}
            for image_id, (name, row) in enumerate(listed, 1)
        ],
        "annotations": annotations,
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(classes)],
    }
