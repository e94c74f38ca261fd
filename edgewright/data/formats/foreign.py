"""Labels that are recognized and not read: what they are, and what converts them.

Decides by names and first bytes alone. Refuses a source in which no layout that is read was found and one of these was,
or in which most pictures have a file of their name beside them that nothing here knows: without this its pictures would
pass for unlabeled ones. Beside labels that are read, such files are told of.

    refuse_foreign(source)      # SourceError: labels in a format that is not read: KITTI (…). Next: convert with …
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from edgewright.data.findings import Finding, Findings
from edgewright.data.formats.json_head import top_keys
from edgewright.data.formats.pairing import pair_by_name
from edgewright.data.formats.safe_xml import first_tag
from edgewright.data.formats.text import decode_text
from edgewright.data.sources import Source, Unusable
from edgewright.errors import SourceError

_HEAD_BYTES = 16_384
_MAX_FILES = 500
"""Of each suffix: the formats below put labels into every file, or into few."""
MIN_NAMED_SHARE = 0.5
"""Of the pictures: fewer have a file of their name by chance."""
_NUMBER = r"[+-]?[\d.]+(?:[eE][+-]?\d+)?"
_IN_PX = r"(?=.*[ ,](?:\d{2,}|[2-9])(?:[ ,.]|$))"
"""A number of 2 or more: with shares of the picture the line is YOLO's, its class written as a name."""
_DATUMARO = "convert with Datumaro to COCO"
_BY_HAND = "write it as COCO or Pascal VOC"


@dataclass(frozen=True)
class Foreign:
    """A format that is not read. Attributes: is_one: (text of a head) => whether it is this format."""

    name: str
    suffixes: tuple[str, ...]
    is_one: Callable[[str], bool]
    converter: str


def _begins(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(r"\s*" + pattern, re.IGNORECASE)
    return lambda head: compiled.match(head) is not None


def _has_line(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda head: any(compiled.fullmatch(line.strip()) for line in head.splitlines()[:20])


def _has_keys(opened: str, *keys: str) -> Callable[[str], bool]:
    def is_one(head: str) -> bool:
        bracket, found = top_keys(head.encode())
        return bracket == opened and found >= set(keys)

    return is_one


def _names(*words: str) -> Callable[[str], bool]:
    return lambda head: all(f'"{word}"' in head for word in words)


FOREIGN = (
    Foreign("KITTI", (".txt",), _has_line(rf"{_IN_PX}[A-Za-z_]\w*(?:\s+{_NUMBER}){{14,15}}"), _DATUMARO),
    Foreign("DOTA", (".txt",), _has_line(rf"(?:{_NUMBER}[ ,]+){{8}}[A-Za-z][\w-]*(?:[ ,]+\d)?"), "convert with "
            "`ultralytics.data.converter.convert_dota_to_yolo_obb`, with `task: obb` in data.yaml"),
    Foreign("boxes as text, `class x1 y1 x2 y2` in px", (".txt",),
            _has_line(rf"{_IN_PX}[A-Za-z_][\w-]*(?:[ ,]{_NUMBER}){{4,5}}"), _BY_HAND),
    Foreign("a YOLOv3/v4 annotation list, `picture x1,y1,x2,y2,class`", (".txt",),
            _has_line(r"\S.*\.\w{3,4}(?: \d+,\d+,\d+,\d+,\d+)+"), "export as YOLO or COCO instead"),
    Foreign("MOT", (".txt", ".csv"), _has_line(rf"\d+, ?-?\d+(?:, ?{_NUMBER}){{4,8}}"), _DATUMARO),
    Foreign("WIDER FACE", (".txt",), _has_line(r"\d+--\w+/\S+\.jpg"), _DATUMARO),
    Foreign("CVAT XML", (".xml",), lambda head: first_tag(head.encode()) == "annotations",
            "export from CVAT as COCO 1.0 or YOLO"),
    Foreign("Open Images CSV", (".csv",), _begins(r"\"?ImageID\"?,"), _DATUMARO),
    Foreign("VIA CSV", (".csv",), _begins(r"#?\"?filename\"?,.*region_shape_attributes"), "export from VIA as COCO"),
    Foreign("TensorFlow CSV", (".csv",), _begins(r"\"?filename\"?,.*xmin"), _BY_HAND),
    Foreign("RetinaNet CSV", (".csv",), _has_line(r"[^,]+\.\w{3,4},\d+,\d+,\d+,\d+,[^,]+"), _BY_HAND),
    Foreign("CSV with boxes", (".csv",), _begins(r"[^\n]*(xmin|x_min|bbox)"), _BY_HAND),
    Foreign("VIA JSON", (".json",), _names("regions", "shape_attributes"), "export from VIA as COCO"),
    Foreign("Supervisely", (".json",), _has_keys("{", "objects", "size"), "export from Supervisely as COCO or YOLO"),
    Foreign("Datumaro", (".json",), _has_keys("{", "categories", "items"), _DATUMARO),
    Foreign("Cityscapes", (".json",), _has_keys("{", "imgHeight", "objects"), _DATUMARO),
    Foreign("BDD100K", (".json",), _names("labels", "box2d"), "convert with `bdd100k.label.to_coco`"),
    Foreign("VoTT", (".json",), _names("asset", "regions"), "export from VoTT as Pascal VOC"),
    Foreign("Label Studio", (".json",), _names("annotations", "from_name"), "export from Label Studio as COCO or YOLO"),
    Foreign("Labelbox", (".json", ".ndjson"), _names("data_row", "projects"), "export from Labelbox as COCO"),
    Foreign("SageMaker Ground Truth", (".manifest", ".json", ".jsonl"), _names("source-ref", "annotations"),
            _BY_HAND),
    Foreign("Ultralytics NDJSON", (".ndjson",), _names("type", "dataset"), "export as YOLO instead"),
    Foreign("TFRecord", (".tfrecord", ".record"), lambda _: True, _DATUMARO),
)  # fmt: skip


def refuse_foreign(source: Source) -> None:
    """Raises SourceError where labels stand there in a format that is not read."""
    for file, foreign in _foreign_files(source):
        raise SourceError(
            f"labels in a format that is not read: {foreign.name}",
            expected="YOLO, COCO, Pascal VOC, LabelMe or CreateML",
            got=file,
            where=source.where,
            next_step=f"{foreign.converter}; or --set ingest.layout=unlabeled",
        )


def foreign_beside(source: Source, used: Collection[str]) -> tuple[Finding, ...]:
    """Such files beside the label files that are used: what they say of their pictures is not taken."""
    told = Findings()
    for file, foreign in _foreign_files(source, but_for=used):
        what = f"files of labels in a format that is not read, left out: {foreign.name}"
        told.add(what, example=file, next_step=foreign.converter)
    return tuple(told)


def _foreign_files(source: Source, *, but_for: Collection[str] = ()) -> Iterator[tuple[str, Foreign]]:
    for suffix in sorted({suffix for foreign in FOREIGN for suffix in foreign.suffixes}):
        for file in [name for name in source.named(suffix) if name not in but_for][:_MAX_FILES]:
            foreign = foreign_format(suffix, source.head(file, max_bytes=_HEAD_BYTES))
            if foreign is not None:
                yield file, foreign


def foreign_format(suffix: str, head: bytes) -> Foreign | None:
    """What a file of this suffix is by its first bytes; None where it is none of these formats."""
    try:
        text = decode_text(head)
    except Unusable:
        text = head.decode("utf-8", "replace")
    return next((one for one in FOREIGN if suffix in one.suffixes and one.is_one(text)), None)


def refuse_unknown(source: Source) -> None:
    """Raises SourceError where files of unknown content are named as most pictures are."""
    for suffix in (".txt", ".xml", ".json", ".csv"):
        paired = pair_by_name(source.images, source.named(suffix)).label_of
        if paired and len(paired) >= MIN_NAMED_SHARE * len(source.images):
            image, file = min(paired.items())
            raise SourceError(
                "files named as the pictures hold no labels that are read",
                expected="YOLO, COCO, Pascal VOC, LabelMe or CreateML",
                got=f"{file} for {image}, and {len(paired) - 1} more",
                where=source.where,
                next_step="write the labels in one of these formats; if they are none, --set ingest.layout=unlabeled",
            )
