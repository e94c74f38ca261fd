"""The bundle: what a release is on disk. A folder of plain files, each by its signed name.

    manifest.json       format, release, channel, specification, files with sha256 and bytes, expected detections
    model.onnx          for processors that add 8-bit products in 32 bits; where it is alone, for all
    model-safe.onnx     for every other (`instruction_sets`)
    golden/<name>.png   pictures whose detections are known, by each model

Decides which folder is a bundle: a device needs the model for its processor alone. Refuses other names than these (so
no path can leave the folder), links, other sizes or digests than the manifest's, other formats, a bundle for a newer
agent. Says nothing on who signed it: that is TUF's part.

>>> parse_version("0.10.0") > parse_version("0.9.2")
True
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.instruction_sets import (
    MODEL_FILE,
    SAFE_MODEL_FILE,
    Choice,
    Processor,
    choose_model,
    this_processor,
)
from edgewright.runtime.session import MAX_MODEL_BYTES, ModelSpec

FORMAT_VERSION, TWO_MODELS_VERSION = 1, 2
"""With one model, and with two: what an agent that knows one format says of the other is that it is unknown to it."""
MIN_AGENT_VERSION = "0.1.0"
"""The first agent that reads this format."""
MANIFEST_FILE = "manifest.json"
MAX_MANIFEST_BYTES = 1_000_000
MAX_GOLDEN = 32
MAX_GOLDEN_BYTES = 16_000_000
GOLDEN_NAME = re.compile(r"golden/[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.png")
CHANNEL_NAME = re.compile(r"[a-z0-9-]{1,32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20
Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class FileEntry:
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256) or self.bytes < 1:
            raise ValueError(f"not a digest and a size: {self.sha256!r}, {self.bytes!r}")


@dataclass(frozen=True)
class Golden:
    """A picture and what the model finds on it.

    Attributes:
        file: `golden/<name>.png`.
        expected: rows x1 y1 x2 y2 (px of the picture), score, class id; best score first.
        expected_safe: the same by the model for every processor; None where there is one model.
    """

    file: str
    expected: Rows
    expected_safe: Rows | None = None

    @classmethod
    def of(cls, file: str, found: Mapping[str, Boxes]) -> Golden:
        """`found`: by each model."""
        safe = found.get(SAFE_MODEL_FILE)
        return cls(file, _rows(found[MODEL_FILE]), None if safe is None else _rows(safe))

    def boxes(self, model: str) -> Boxes:
        """What this model is expected to find."""
        rows = self.expected if model == MODEL_FILE or self.expected_safe is None else self.expected_safe
        return Boxes.of([row[:4] for row in rows], class_id=[row[5] for row in rows], score=[row[4] for row in rows])


@dataclass(frozen=True)
class Tolerance:
    """How far another processor may be from the detections of the factory's (INT8 kernels differ in rounding).

    Attributes:
        min_iou: of an expected detection and the one found for it.
        max_score_gap: between their scores; detections this close to the threshold may come and go.
    """

    min_iou: float = 0.8
    max_score_gap: float = 0.1


@dataclass(frozen=True)
class BundleManifest:
    """Law: `BundleManifest.from_bytes(m.to_bytes()) == m`.

    Attributes:
        release: the channel's release number, rising.
        files: every file but the manifest itself, by name.
        latency_budget_ms: what one picture may take on the device, letterbox to boxes, median.
        start: name, source, license, note and sha256 of the weights that training began with; empty where it began
            with random numbers, and in format 1.
    """

    release: int
    channel: str
    spec: ModelSpec
    files: Mapping[str, FileEntry]
    golden: tuple[Golden, ...]
    latency_budget_ms: float
    tolerance: Tolerance = Tolerance()
    min_agent_version: str = MIN_AGENT_VERSION
    start: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.release < 1 or not CHANNEL_NAME.fullmatch(self.channel):
            raise ValueError(f"not a release of a channel: {self.release!r}, {self.channel!r}")
        names = [golden.file for golden in self.golden]
        if (
            len(set(names)) != len(names)
            or set(self.files) - {SAFE_MODEL_FILE} != {MODEL_FILE, *names}
            or not 1 <= len(names) <= MAX_GOLDEN
        ):
            raise ValueError(f"files and golden pictures differ: {sorted(self.files)}, {names}")
        if not all(map(GOLDEN_NAME.fullmatch, names)):
            raise ValueError(f"not golden/<name>.png: {names}")
        if {golden.expected_safe is not None for golden in self.golden} != {SAFE_MODEL_FILE in self.files}:
            raise ValueError("a model without expected detections, or the other way round")
        if not all(isinstance(value, str) for value in self.start.values()):
            raise ValueError(f"not words on the weights' start: {self.start}")
        if self.start and self.format_version == FORMAT_VERSION:
            raise ValueError(f"format {FORMAT_VERSION} has no place for the weights' start")
        caps = {name: MAX_GOLDEN_BYTES if name in names else MAX_MODEL_BYTES for name in self.files}
        if any(self.files[name].bytes > cap for name, cap in caps.items()):
            raise ValueError("a file over its cap")
        numbers = (self.latency_budget_ms, self.tolerance.min_iou, self.tolerance.max_score_gap)
        if not all(math.isfinite(number) and number > 0 for number in numbers):
            raise ValueError(f"not a budget and tolerances: {numbers}")

    @property
    def digest(self) -> str:
        """sha256 of everything but the release number: equal bundles are equal whenever they are released."""
        document = {name: value for name, value in self._document().items() if name != "release"}
        return hashlib.sha256(_dumps(document)).hexdigest()

    @property
    def format_version(self) -> int:
        return TWO_MODELS_VERSION if SAFE_MODEL_FILE in self.files else FORMAT_VERSION

    @property
    def total_bytes(self) -> int:
        return sum(entry.bytes for entry in self.files.values())

    def choice(self, processor: Processor) -> Choice:
        """Which model is for this processor, and why."""
        return choose_model(processor, self.files)

    def files_for(self, processor: Processor) -> dict[str, FileEntry]:
        """What a device with this processor needs: every file but the model for others."""
        others = {MODEL_FILE, SAFE_MODEL_FILE} - {self.choice(processor).file}
        return {name: entry for name, entry in self.files.items() if name not in others}

    def numbered(self, release: int) -> BundleManifest:
        return replace(self, release=release)

    def to_bytes(self) -> bytes:
        return _dumps(self._document())

    def _document(self) -> dict[str, Any]:
        golden = [{name: value for name, value in asdict(each).items() if value is not None} for each in self.golden]
        facts = {"spec": self.spec.to_json(), "golden": golden, "format_version": self.format_version}
        document = {**asdict(self), **facts}
        if not self.start:
            del document["start"]
        return document

    @classmethod
    def from_bytes(cls, payload: bytes, *, where: object = None) -> BundleManifest:
        """Raises ArtifactCorrupt where the bytes are no manifest that this version reads."""
        if len(payload) > MAX_MANIFEST_BYTES:
            raise ArtifactCorrupt("manifest too large", expected=MAX_MANIFEST_BYTES, got=len(payload), where=where)
        try:
            document = json.loads(payload, parse_constant=_no_constant)
            version = document.pop("format_version")
            if version not in (FORMAT_VERSION, TWO_MODELS_VERSION):
                raise ArtifactCorrupt("unknown bundle format", expected=TWO_MODELS_VERSION, got=version, where=where)
            manifest = cls(**{**document, **_parsed(document)})
            if manifest.format_version != version:
                raise ValueError(f"files of format {manifest.format_version} in format {version}")
            return manifest
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, InputError) as error:
            raise ArtifactCorrupt("not a bundle manifest", got=error, where=where) from error


@dataclass(frozen=True)
class Bundle:
    """A folder that was found to be a bundle, every file checked that its processor needs.

    Attributes:
        manifest_sha256: of the manifest's bytes; what TUF signs.
        choice: which of the models runs, and why.
    """

    root: Path
    manifest: BundleManifest
    manifest_sha256: str
    choice: Choice

    @classmethod
    def load(cls, root: Path, *, processor: Processor | None = None) -> Bundle:
        """For this machine's processor, or another. The model for others may be missing.

        Raises:
            ArtifactCorrupt: a file is missing, a link, or of another size or digest than the manifest's.
        """
        payload = _read_plain(root / MANIFEST_FILE)
        manifest = BundleManifest.from_bytes(payload, where=root / MANIFEST_FILE)
        processor = processor or this_processor()
        for name, entry in manifest.files_for(processor).items():
            check_file(root / name, entry)
        return cls(root, manifest, hashlib.sha256(payload).hexdigest(), manifest.choice(processor))

    @classmethod
    def load_whole(cls, root: Path) -> Bundle:
        """As `load`, with the models of every processor checked: what may be published."""
        bundle = cls.load(root)
        for name, entry in bundle.manifest.files.items():
            check_file(root / name, entry)
        return bundle

    @property
    def model(self) -> Path:
        return self.root / self.choice.file


def check_file(path: Path, entry: FileEntry) -> None:
    """Raises ArtifactCorrupt where the file is not exactly this one."""
    try:
        if path.is_symlink() or not path.is_file():
            raise ArtifactCorrupt("a file of the bundle is missing or no plain file", where=path)
        if path.stat().st_size != entry.bytes:
            raise ArtifactCorrupt("wrong size", expected=entry.bytes, got=path.stat().st_size, where=path)
        with path.open("rb") as stream:
            digest = hashlib.sha256()
            while piece := stream.read(_CHUNK_BYTES):
                digest.update(piece)
    except OSError as error:
        raise ArtifactCorrupt("cannot read a file of the bundle", got=error.strerror, where=path) from error
    if digest.hexdigest() != entry.sha256:
        got = digest.hexdigest()
        raise ArtifactCorrupt("bytes differ from their digest", expected=entry.sha256, got=got, where=path)


def parse_version(text: str) -> tuple[int, ...]:
    """`"0.10.0"` => `(0, 10, 0)`. Raises ValueError where it is anything else than numbers and dots."""
    return tuple(int(part) for part in text.split("."))


def _parsed(document: Mapping[str, Any]) -> dict[str, Any]:
    parse_version(document["min_agent_version"])
    return {
        "release": int(document["release"]),
        "channel": str(document["channel"]),
        "spec": ModelSpec.from_json(document["spec"]),
        "files": {str(name): FileEntry(str(e["sha256"]), int(e["bytes"])) for name, e in document["files"].items()},
        "golden": tuple(map(_golden, document["golden"])),
        "latency_budget_ms": float(document["latency_budget_ms"]),
        "tolerance": Tolerance(**{name: float(value) for name, value in document["tolerance"].items()}),
    }


def _golden(item: Mapping[str, Any]) -> Golden:
    expected = {name: tuple(tuple(map(float, row)) for row in rows) for name, rows in item.items() if name != "file"}
    golden = Golden(str(item["file"]), **expected)
    for rows in expected.values():
        if any(len(row) != 6 for row in rows):
            raise ValueError("a detection has six numbers")
    for model in (MODEL_FILE, SAFE_MODEL_FILE):
        golden.boxes(model)  # raises where they are not finite, not ordered, or a score is outside [0, 1]
    return golden


def _rows(boxes: Boxes) -> Rows:
    """Rounded: 0.01 px and 0.0001 of a score are far inside every tolerance, and keep the manifest short."""
    rows = zip(boxes.xyxy.tolist(), boxes.score.tolist(), boxes.class_id.tolist(), strict=True)
    return tuple((*(round(x, 2) for x in xyxy), round(score, 4), float(kind)) for xyxy, score, kind in rows)


def _read_plain(path: Path) -> bytes:
    try:
        if path.is_symlink():
            raise ArtifactCorrupt("a link where a file is expected", where=path)
        with path.open("rb") as stream:
            return stream.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ArtifactCorrupt("no readable manifest", got=error.strerror, where=path) from error


def _dumps(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
