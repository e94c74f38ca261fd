"""What every label format is read into, and what they share: names of pairs, class lists, YAML.

Decides which folders only say what a file is: `JPEGImages/a/x.jpg` and `Annotations/a/x.xml` have one key, so have
`train/images/x.jpg` and `train/labels/x.txt`. Refuses class lists with empty or repeated names, and YAML that could
grow or run.

>>> pair_key("VOC2012/JPEGImages/a/x.jpg") == pair_key("VOC2012/Annotations/a/x.xml") == "VOC2012/a/x"
True
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import yaml

from edgewright.data.findings import Finding, Findings
from edgewright.errors import SourceError

MAX_LABEL_BYTES = 5_000_000
MAX_YAML_BYTES = 256_000
MAX_YAML_DEPTH = 20
NOWHERE = (math.nan,) * 4
"""The corners of a box that could not be read."""
_ROLE_FOLDERS = frozenset({"images", "jpegimages", "labels", "annotations"})


@dataclass(frozen=True)
class RunLengths:
    """COCO's run lengths: `counts` as text or numbers, over a picture of `shape` (H, W)."""

    counts: str | tuple[int, ...]
    shape: tuple[int, int]


@dataclass(frozen=True)
class RawBox:
    """One box as its file says it, not yet checked against the picture.

    Attributes:
        name: the class name.
        xyxy: px of the annotation's frame, or shares of the picture (see `Annotation.relative`).
        ignore: a crowd or a difficult object: neither trained on nor counted.
        reason: why the reader could not read it; empty where it could.
        polygons: x, y, x, y… of each part, in the frame of the corners; the object is their union.
        runs: the object's pixels instead.
    """

    name: str
    xyxy: tuple[float, float, float, float]
    ignore: bool = False
    reason: str = ""
    polygons: tuple[tuple[float, ...], ...] = ()
    runs: RunLengths | None = None


@dataclass(frozen=True)
class Annotation:
    """The labels of one image.

    Attributes:
        wh: what the label file says the picture measures in px; None where it does not say.
        relative: corners are shares of the upright picture, not px.
        reason: why none of it can be used; the image is then quarantined.
    """

    boxes: tuple[RawBox, ...] = ()
    wh: tuple[int, int] | None = None
    relative: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Labels:
    """What a format's reader found.

    Attributes:
        by_image: image name => annotation; an image that is absent has no label file.
        files: label files that were used.
        unpaired: label file or entry => why it belongs to no image.
        not_photographs: pictures that are part of the format (segmentation masks).
        class_source: where the class list came from, for a person: `data.yaml`, `names in the labels`.
        class_files: the files that hold class lists.
        listed_in: image name => the file that annotates it, where one file annotates many (COCO).
        findings: what the reader understood otherwise than it stands there.
    """

    classes: tuple[str, ...]
    by_image: Mapping[str, Annotation] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    unpaired: Mapping[str, str] = field(default_factory=dict)
    not_photographs: frozenset[str] = frozenset()
    class_source: str = ""
    class_files: frozenset[str] = frozenset()
    listed_in: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def pair_key(name: str) -> str:
    """The path without its suffix and without the folders that only say what a file is."""
    path = PurePosixPath(name)
    folders = [part for part in path.parts[:-1] if part.lower() not in _ROLE_FOLDERS]
    return "/".join([*folders, path.stem])


def without_repeats(boxes: Iterable[RawBox], told: Findings, *, where: str) -> tuple[RawBox, ...]:
    """The same object twice is one object, which is told; what could not be read stays, each with its reason.

    Two outlines in one box are two objects; an outline and its box alone are one.
    """
    boxes = list(boxes)
    outlined = {replace(box, polygons=(), runs=None) for box in boxes if box.polygons or box.runs is not None}
    kept: dict[object, RawBox] = {}
    for number, box in enumerate(boxes):
        key = number if box.reason else box
        if key in kept or (box in outlined and not box.reason):
            told.add("objects that stand twice in one label file, each taken once", example=where)
        else:
            kept[key] = box
    return tuple(kept.values())


def class_list(found: Sequence[str], configured: tuple[str, ...], *, where: str) -> tuple[str, ...]:
    """The configured list where there is one. Raises SourceError on an empty or repeated name."""
    names = tuple(configured or found)
    bad = [name for name in names if not name.strip() or not name.isprintable()]
    if bad or len(set(names)) != len(names):
        raise SourceError(
            "not a class list", expected="distinct, printable names", got=ascii(list(names))[:200], where=where
        )
    return names


def class_names(by_image: Mapping[str, Annotation]) -> list[str]:
    """The names that stand in the labels themselves, sorted."""
    return sorted({box.name for annotation in by_image.values() for box in annotation.boxes if box.name})


def named_by(configured: tuple[str, ...]) -> str:
    """Where the class list of a format without one comes from, for a person."""
    return "ingest.classes" if configured else "the names in the labels"


def read_yaml(payload: bytes, *, where: str) -> object:
    """YAML without aliases (an alias bomb grows a billionfold) and without tags. Raises SourceError."""
    if len(payload) > MAX_YAML_BYTES:
        raise SourceError("YAML file too large", expected=f"<= {MAX_YAML_BYTES} bytes", got=len(payload), where=where)
    try:
        _check_tokens(payload, where)
        document: object = yaml.safe_load(payload)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SourceError("not YAML", got=str(error)[:200], where=where) from error
    return document


def read_yaml_as_written(payload: bytes, *, where: str) -> object:
    """The same, every value as the text that stands there: `names: [on, off, 007]` are names. Raises SourceError."""
    read_yaml(payload, where=where)
    document: object = yaml.load(payload, Loader=_AsWritten)  # noqa: S506 - a safe loader, without guesses at types
    return document


class _AsWritten(yaml.SafeLoader):
    """YAML 1.1 takes `on` and `no` for truth values and `007` for 7."""


_AsWritten.yaml_implicit_resolvers = {}


def _check_tokens(payload: bytes, where: str) -> None:
    depth = 0
    for token in yaml.scan(payload):
        if isinstance(token, yaml.AliasToken):
            raise SourceError("YAML aliases are not read", where=where, next_step="write the values out")
        depth += isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken)
        depth -= isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken)
        if depth > MAX_YAML_DEPTH:  # the scanner takes quadratic time in the depth
            raise SourceError("YAML nested too deeply", expected=f"<= {MAX_YAML_DEPTH}", where=where)
