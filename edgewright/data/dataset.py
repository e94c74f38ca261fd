"""The dataset artifact: an index of rows (`index/part-*.parquet`), shards of images (`shards/*.tar`), a class list.

Decides how images are stored: encoded bytes in uncompressed tar shards in WebDataset layout, read by offset; how they
are encoded there, `codec.py` decides. A derived dataset writes a new index and points at its parents' shards. Refuses a
shard or an index whose bytes changed.

    writer = DatasetWriter(workspace, classes=("RBC", "WBC"))
    writer.add(Row(id="a.jpg", …), payload)        # a new image
    writer.link(row, parent)                       # an image that stands in a parent's shards
    writer.finish()
    dataset = Dataset.open(store, ref)
    dataset.image(dataset.select(split=Split.TRAIN)[0])
"""

from __future__ import annotations

import itertools
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from edgewright.artifacts import ArtifactRef, Manifest, Store, canonical_json, sha256_bytes, sha256_file
from edgewright.data.codec import JXL_OF_JPEG, SUFFIXES, as_file, pixels
from edgewright.data.rows import LabelState, Origin, Row, Split, rows_from_table, rows_to_table
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.runtime.boxes import Image

_INDEX = "index/part-00000.parquet"
DATASET_FILE = "dataset.json"
MAX_MAPPED_CLASSES = 254
MAX_SHARD_BYTES = 256_000_000


@dataclass(frozen=True)
class ShardPlace:
    """Which file of which artifact holds a shard. An empty artifact digest means the dataset's own."""

    artifact: str
    name: str


class Dataset:
    """Rows in memory, images read on demand."""

    def __init__(
        self,
        *,
        ref: ArtifactRef,
        manifest: Manifest,
        classes: tuple[str, ...],
        rows: Sequence[Row],
        shards: dict[str, ShardPlace],
        locate: Callable[[str, str], Path],
    ) -> None:
        self.ref = ref
        self.manifest = manifest
        self.classes = classes
        self.rows = tuple(rows)
        self.shards = shards
        self._locate = locate
        self._paths: dict[str, Path] = {}

    @classmethod
    def open(cls, store: Store, ref: ArtifactRef) -> Dataset:
        """Raises ArtifactMissing or ArtifactCorrupt."""
        manifest = store.manifest(ref.sha256)
        meta = json.loads(store.file(ref.sha256, DATASET_FILE).read_bytes())
        rows = rows_from_table(pq.read_table(store.file(ref.sha256, _INDEX)))
        places = {
            digest: ShardPlace(place["artifact"] or ref.sha256, place["name"])
            for digest, place in meta["shards"].items()
        }
        return cls(
            ref=ref,
            manifest=manifest,
            classes=tuple(meta["classes"]),
            rows=rows,
            shards=places,
            locate=store.file,
        )

    @property
    def usable(self) -> list[Row]:
        """Every row that is not quarantined."""
        return [row for row in self.rows if not row.quarantine]

    @property
    def quarantined(self) -> list[Row]:
        return [row for row in self.rows if row.quarantine]

    def select(self, *, split: Split | None = None, origin: Origin | None = None, labeled: bool = False) -> list[Row]:
        """Usable rows of a split and an origin; with `labeled`, those whose labels are known (background included)."""
        return [
            row
            for row in self.usable
            if (split is None or row.split == split)
            and (origin is None or row.origin == origin)
            and not (labeled and row.state == LabelState.UNLABELED)
        ]

    def pseudo_labeled(self) -> list[Row]:
        """Photographs that a model labeled: those with an object. That it sees nothing does not make one background."""
        return [row for row in self.select(origin=Origin.REAL) if row.state == LabelState.MODEL and len(row.boxes)]

    def payload(self, row: Row) -> bytes:
        """The image as a file that any reader reads: as it came, or a PNG where its pixels alone lie in the shard.

        Raises ArtifactCorrupt where the bytes are not the row's; MissingExtra.
        """
        payload = as_file(self._stored(row), row.codec, where=row.id)
        if row.codec == JXL_OF_JPEG and sha256_bytes(payload) != row.sha256:
            raise self._differs(row)
        return payload

    def image(self, row: Row) -> Image:
        """(H, W, 3) uint8 RGB. Raises as `payload` does."""
        return pixels(self._stored(row), row.codec, where=row.id)

    def images(self, rows: Iterable[Row]) -> Iterator[Image]:
        return (self.image(row) for row in rows)

    def check_classes(self, classes: tuple[str, ...]) -> None:
        """Every consumer compares class lists before it trusts a class id. Raises InputError."""
        if self.classes != classes:
            raise InputError(
                "two class lists differ", expected=", ".join(classes), got=", ".join(self.classes), where=self.ref.uri
            )

    def require_class_map(self) -> None:
        """A map of classes is made of 8 bits a pixel, 0 being background. Raises InputError for too many classes."""
        if len(self.classes) > MAX_MAPPED_CLASSES:
            raise InputError(
                "too many classes to learn pixel by pixel",
                expected=f"at most {MAX_MAPPED_CLASSES}",
                got=len(self.classes),
                where=self.ref.uri,
                next_step="join classes, or train a part of them",
            )

    def __getstate__(self) -> dict[str, Any]:
        """For another process of this machine: where each shard lies here, and no store."""
        paths = {digest: self._path(digest) for digest in self.shards}
        return {**self.__dict__, "_paths": paths, "_locate": None}

    def _stored(self, row: Row) -> bytes:
        """The row's bytes in the shard. Raises ArtifactCorrupt where they are not."""
        with self._shard(row).open("rb") as stream:
            stream.seek(row.offset)
            stored = stream.read(row.bytes)
        if sha256_bytes(stored) != (row.stored_sha256 or row.sha256):
            raise self._differs(row)
        return stored

    def _differs(self, row: Row) -> ArtifactCorrupt:
        return ArtifactCorrupt("an image differs from its index row", where=f"{self.ref.uri} {row.id}")

    def _shard(self, row: Row) -> Path:
        if row.shard_digest not in self.shards:
            raise ArtifactCorrupt("the row has no stored image", where=f"{self.ref.uri} {row.id}")
        return self._path(row.shard_digest)

    def _path(self, digest: str) -> Path:
        if digest not in self._paths:
            place = self.shards[digest]
            self._paths[digest] = self._locate(place.artifact, place.name)
        return self._paths[digest]


class DatasetWriter:
    """Writes a dataset's files into a workspace; the store publishes them.

    Rows are sorted by id, tar headers carry no time and no owner, so equal rows give equal bytes.
    """

    def __init__(self, workspace: Path, *, classes: Sequence[str]) -> None:
        self._root = workspace
        self._classes = tuple(classes)
        self._rows: list[Row] = []
        self._open_rows: list[Row] = []
        self._shards: dict[str, ShardPlace] = {}
        self._count = 0
        self._images = 0
        (workspace / "shards").mkdir(parents=True, exist_ok=True)
        (workspace / "index").mkdir(parents=True, exist_ok=True)

    def add(self, row: Row, payload: bytes) -> None:
        """Store an image's encoded bytes (JPEG, PNG, WebP) under a row; offset, bytes and sha256 are filled in.

        Where the row names a codec, the bytes are encoded by it, and its sha256 stays that of the picture as it came.
        """
        name = f"{self._images:08d}.{SUFFIXES.get(row.codec) or image_suffix(payload)}"
        digest = sha256_bytes(payload)
        row = replace(row, stored_sha256=digest) if row.codec else replace(row, sha256=digest)
        header = tarfile.TarInfo(name)
        header.size = len(payload)
        padding = b"\0" * (-len(payload) % tarfile.BLOCKSIZE)
        with (self._root / self._shard_name).open("ab") as stream:  # nothing stays open if the disk is full
            stream.write(header.tobuf(tarfile.USTAR_FORMAT))
            offset = stream.tell()
            stream.write(payload + padding)
            size_bytes = stream.tell()
        self._images += 1
        self._open_rows.append(replace(row, offset=offset, bytes=len(payload)))
        if size_bytes > MAX_SHARD_BYTES:
            self._close_shard()

    def link(self, row: Row, parent: Dataset) -> None:
        """A row whose image stays in a parent's shard (labels, split, scores may differ)."""
        place = parent.shards[row.shard_digest]
        self._shards[row.shard_digest] = place
        self._rows.append(row)

    def quarantine(self, row: Row) -> None:
        """A row without an image, with its reason."""
        if not row.quarantine:
            raise InputError("a quarantined row needs its reason", where=row.id)
        self._rows.append(replace(row, shard_digest="", offset=0, bytes=0))

    def carry(self, row: Row, parent: Dataset) -> None:
        """A parent's row as it stands there, with its image or without one."""
        if row.quarantine:
            self.quarantine(row)
        else:
            self.link(row, parent)

    def finish(self, *, revise: Callable[[Row], Row] | None = None) -> list[Row]:
        """Write the index and the class list; returns the rows in index order. Raises InputError on a repeated id.

        Args:
            revise: applied to every row before it is written: groups and splits are known only after the last image.
        """
        self._close_shard()
        rows = sorted(map(revise, self._rows) if revise else self._rows, key=lambda row: row.id)
        for before, after in itertools.pairwise(rows):
            if before.id == after.id:
                raise InputError("two images with one id", where=after.id)
        pq.write_table(rows_to_table(rows), self._root / _INDEX, compression="zstd", store_schema=True)
        meta = {
            "classes": list(self._classes),
            "classes_sha256": sha256_bytes(canonical_json(list(self._classes))),
            "shards": {
                digest: {"artifact": place.artifact, "name": place.name} for digest, place in self._shards.items()
            },
        }
        (self._root / DATASET_FILE).write_bytes(canonical_json(meta))
        return rows

    @property
    def _shard_name(self) -> str:
        return f"shards/{self._count:05d}.tar"

    def _close_shard(self) -> None:
        if not self._open_rows:
            return
        name = self._shard_name
        with (self._root / name).open("ab") as stream:
            stream.write(b"\0" * 2 * tarfile.BLOCKSIZE)
        digest = sha256_file(self._root / name)
        self._shards[digest] = ShardPlace("", name)
        self._rows += [replace(row, shard_digest=digest) for row in self._open_rows]
        self._open_rows, self._count = [], self._count + 1


def image_suffix(payload: bytes) -> str:
    """What encoded bytes are, by their first ones: a file suffix without its dot."""
    known = {b"\xff\xd8\xff": "jpg", b"\x89PN": "png", b"RIF": "webp", b"BM": "bmp"}
    return next((suffix for magic, suffix in known.items() if payload.startswith(magic)), "bin")
