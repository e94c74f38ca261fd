"""The bundle: what a release is on disk. A folder of plain files, each by its signed name.

    manifest.json       format, release, channel, specification, files with sha256 and bytes, expected detections
    model.onnx          one file
    golden/<name>.png   pictures whose detections are known

Decides which folder is a bundle. Refuses other names than these (so no path can leave the folder), links, other sizes
or digests than the manifest's, other formats, a bundle for a newer agent. Says nothing on who signed it: that is
TUF's part.

>>> parse_version("0.10.0") > parse_version("0.9.2")
True
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.session import MAX_MODEL_BYTES, ModelSpec

FORMAT_VERSION = 1
MIN_AGENT_VERSION = "0.1.0"
"""The first agent that reads this format."""
MANIFEST_FILE, MODEL_FILE = "manifest.json", "model.onnx"
MAX_MANIFEST_BYTES = 1_000_000
MAX_GOLDEN = 32
MAX_GOLDEN_BYTES = 16_000_000
GOLDEN_NAME = re.compile(r"golden/[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.png")
CHANNEL_NAME = re.compile(r"[a-z0-9-]{1,32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20


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
    """

    file: str
    expected: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, file: str, boxes: Boxes) -> Golden:
        """Rounded: 0.01 px and 0.0001 of a score are far inside every tolerance, and keep the manifest short."""
        rows = zip(boxes.xyxy.tolist(), boxes.score.tolist(), boxes.class_id.tolist(), strict=True)
        rounded = ((*(round(x, 2) for x in xyxy), round(score, 4), float(kind)) for xyxy, score, kind in rows)
        return cls(file, tuple(rounded))

    @property
    def boxes(self) -> Boxes:
        rows = self.expected
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
    """

    release: int
    channel: str
    spec: ModelSpec
    files: Mapping[str, FileEntry]
    golden: tuple[Golden, ...]
    latency_budget_ms: float
    tolerance: Tolerance = Tolerance()
    min_agent_version: str = MIN_AGENT_VERSION
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.release < 1 or not CHANNEL_NAME.fullmatch(self.channel):
            raise ValueError(f"not a release of a channel: {self.release!r}, {self.channel!r}")
        names = [golden.file for golden in self.golden]
        if (
            len(set(names)) != len(names)
            or set(self.files) != {MODEL_FILE, *names}
            or not 1 <= len(names) <= MAX_GOLDEN
        ):
            raise ValueError(f"files and golden pictures differ: {sorted(self.files)}, {names}")
        if not all(map(GOLDEN_NAME.fullmatch, names)):
            raise ValueError(f"not golden/<name>.png: {names}")
        caps = {name: MAX_MODEL_BYTES if name == MODEL_FILE else MAX_GOLDEN_BYTES for name in self.files}
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
    def total_bytes(self) -> int:
        return sum(entry.bytes for entry in self.files.values())

    def numbered(self, release: int) -> BundleManifest:
        return replace(self, release=release)

    def to_bytes(self) -> bytes:
        return _dumps(self._document())

    def _document(self) -> dict[str, Any]:
        return {**asdict(self), "spec": self.spec.to_json()}

    @classmethod
    def from_bytes(cls, payload: bytes, *, where: object = None) -> BundleManifest:
        """Raises ArtifactCorrupt where the bytes are no manifest that this version reads."""
        if len(payload) > MAX_MANIFEST_BYTES:
            raise ArtifactCorrupt("manifest too large", expected=MAX_MANIFEST_BYTES, got=len(payload), where=where)
        try:
            document = json.loads(payload, parse_constant=_no_constant)
            version = document["format_version"]
            if version != FORMAT_VERSION:
                raise ArtifactCorrupt("unknown bundle format", expected=FORMAT_VERSION, got=version, where=where)
            return cls(**{**document, **_parsed(document)})
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, InputError) as error:
            raise ArtifactCorrupt("not a bundle manifest", got=error, where=where) from error


@dataclass(frozen=True)
class Bundle:
    """A folder that was found to be a bundle, every file checked.

    Attributes:
        manifest_sha256: of the manifest's bytes; what TUF signs.
    """

    root: Path
    manifest: BundleManifest
    manifest_sha256: str

    @classmethod
    def load(cls, root: Path) -> Bundle:
        """Raises ArtifactCorrupt: a file is missing, a link, or of another size or digest than the manifest's."""
        payload = _read_plain(root / MANIFEST_FILE)
        manifest = BundleManifest.from_bytes(payload, where=root / MANIFEST_FILE)
        for name, entry in manifest.files.items():
            check_file(root / name, entry)
        return cls(root, manifest, hashlib.sha256(payload).hexdigest())

    @property
    def model(self) -> Path:
        return self.root / MODEL_FILE


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
    golden = Golden(str(item["file"]), tuple(tuple(map(float, row)) for row in item["expected"]))
    if any(len(row) != 6 for row in golden.expected):
        raise ValueError("a detection has six numbers")
    golden.boxes  # noqa: B018 - raises where they are not finite, not ordered, or a score is outside [0, 1]
    return golden


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
