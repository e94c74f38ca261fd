"""Pascal VOC: one XML file an image, `Annotations/x.xml` for `JPEGImages/x.jpg`.

Decides: the class list is sorted by name unless the recipe gives one; `difficult` objects are ignore regions, as in the
VOC evaluation; corners are taken as they stand (tools differ on whether they count from 0 or 1). An XML file whose own
name finds no picture may name one (`<filename>`). Refuses a DOCTYPE, so that no entity is ever expanded, and a set
whose corners are shares instead of px. Segmentation masks are not read.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from edgewright.data.dataset import Dataset
from edgewright.data.findings import Findings
from edgewright.data.formats.annotation import (
    MAX_LABEL_BYTES,
    NOWHERE,
    Annotation,
    Labels,
    RawBox,
    class_list,
    class_names,
    named_by,
    without_repeats,
)
from edgewright.data.formats.frames import refuse_shares
from edgewright.data.formats.pairing import pair_by_name, require_a_pair
from edgewright.data.formats.safe_xml import first_tag, parse_xml
from edgewright.data.rows import LabelState, Row, Split
from edgewright.data.sources import Source, Unusable

_MASK_FOLDERS = frozenset({"segmentationclass", "segmentationobject"})
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_HEAD_BYTES = 4096


def detect(source: Source) -> bool:
    return any(_is_annotation(source, name) for name in source.named(".xml"))


def read(source: Source, configured: tuple[str, ...]) -> Labels:
    masks = frozenset(name for name in source.images if _MASK_FOLDERS & {p.lower() for p in PurePosixPath(name).parts})
    photographs = [name for name in source.images if name not in masks]
    told = Findings()
    pairs = pair_by_name(
        photographs, source.named(".xml"), told=told, named_in=lambda file: _picture_named_in(source, file)
    )
    unpaired = {file: why for file, why in pairs.unpaired.items() if _is_annotation(source, file)}
    require_a_pair(pairs.taken, photographs, unpaired, where=source.where)
    by_image = {image: Annotation(reason=reason) for image, reason in pairs.refused.items()}
    by_image |= {image: _annotation(source, file, told) for image, file in pairs.label_of.items()}
    _refuse_shares(by_image, source.where)
    return Labels(
        class_list(class_names(by_image), configured, where=source.where),
        by_image,
        frozenset(pairs.label_of.values()),
        unpaired,
        masks,
        class_source=named_by(configured),
        findings=tuple(told),
    )


def parse(payload: bytes) -> Annotation:
    """One XML file. Raises Unusable where it is not an annotation."""
    root = parse_xml(payload)
    if root.tag != "annotation":
        raise Unusable("not a VOC annotation", expected="<annotation>", got=f"<{root.tag[:40]}>")
    wh = (_whole(root, "size/width"), _whole(root, "size/height"))
    return Annotation(
        boxes=tuple(_box(node) for node in root.findall("object")),
        wh=wh if min(wh) > 0 else None,  # several tools write 0 where they did not look
    )


def write(dataset: Dataset, named: Sequence[tuple[str, Row]], out: Path) -> None:
    """`JPEGImages/`, `Annotations/`, `ImageSets/Main/<split>.txt`; corners rounded to whole px, as VOC has them."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (out / folder).mkdir(parents=True)
    for split in Split:
        stems = [PurePosixPath(name).stem for name, row in named if row.split == split]
        (out / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
    for name, row in named:
        (out / "JPEGImages" / name).write_bytes(dataset.payload(row))
        if row.state != LabelState.UNLABELED:
            tree = ET.ElementTree(_document(name, row, dataset.classes))
            ET.indent(tree)
            tree.write(out / "Annotations" / f"{PurePosixPath(name).stem}.xml", encoding="utf-8")


def _annotation(source: Source, file: str, told: Findings) -> Annotation:
    try:
        annotation = parse(source.read(file, max_bytes=MAX_LABEL_BYTES))
    except Unusable as error:
        return Annotation(reason=f"{file}: {error}")
    return replace(annotation, boxes=without_repeats(annotation.boxes, told, where=file))


def _is_annotation(source: Source, file: str) -> bool:
    return first_tag(source.head(file, max_bytes=_HEAD_BYTES)) == "annotation"


def _picture_named_in(source: Source, file: str) -> str:
    """What `<filename>` says; empty where it says nothing."""
    try:
        root = parse_xml(source.read(file, max_bytes=MAX_LABEL_BYTES))
    except Unusable:
        return ""
    return (root.findtext("filename") or "").strip() if root.tag == "annotation" else ""


def _refuse_shares(by_image: Mapping[str, Annotation], where: str) -> None:
    """Raises SourceError where most corners are shares of the picture."""
    corners = [box.xyxy for annotation in by_image.values() for box in annotation.boxes if not box.reason]
    refuse_shares(np.array(corners, dtype=np.float64).reshape(-1, 4), where=where)


def _box(node: ET.Element) -> RawBox:
    name = (node.findtext("name") or "").strip()
    ignore = (node.findtext("difficult") or "").strip() == "1"
    try:
        x1, y1, x2, y2 = (float(node.findtext(f"bndbox/{corner}") or "") for corner in _CORNERS)
    except ValueError:
        return RawBox(name, NOWHERE, ignore, reason="a corner is missing or not a number")
    return RawBox(name, (x1, y1, x2, y2), ignore)


def _whole(root: ET.Element, path: str) -> int:
    text = (root.findtext(path) or "0").strip().removesuffix(".0")
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _document(name: str, row: Row, classes: tuple[str, ...]) -> ET.Element:
    root = ET.Element("annotation")
    ET.SubElement(root, "folder").text = "JPEGImages"
    ET.SubElement(root, "filename").text = name
    size = ET.SubElement(root, "size")
    for tag, value in (("width", row.width), ("height", row.height), ("depth", 3)):
        ET.SubElement(size, tag).text = str(value)
    for label in row.labels:
        node = ET.SubElement(root, "object")
        ET.SubElement(node, "name").text = classes[label.class_id]
        ET.SubElement(node, "difficult").text = str(int(label.ignore))
        box = ET.SubElement(node, "bndbox")
        x1, y1, x2, y2 = (round(value) for value in label.xyxy)
        for tag, corner in zip(_CORNERS, (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)), strict=True):
            ET.SubElement(box, tag).text = str(corner)
    return root
