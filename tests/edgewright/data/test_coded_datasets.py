"""A dataset whose pictures lie in a codec is, but for its bytes, the dataset that it would have been."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.artifacts import LocalStore, sha256_bytes
from edgewright.data import looking
from edgewright.data.codec import JPEG_STAYS, JXL, JXL_OF_JPEG, coded
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.export import export_dataset
from edgewright.data.ingest_report import IngestReport
from edgewright.data.reingest import reingest
from edgewright.data.rows import Row, rows_from_table, rows_to_table
from edgewright.errors import ArtifactCorrupt, MissingExtra
from edgewright.fanout.processes import ProcessHands
from edgewright.recipe.data import IngestConfig
from edgewright.runtime.pictures import decode_picture
from tests.scenes import publish_filled

pytest.importorskip("imagecodecs")
Take = Callable[..., tuple[IngestReport, Dataset]]
LIES = ("codec", "stored_sha256", "shard_digest", "offset", "bytes")
"""Of a row: how and where its bytes lie."""


def photograph(seed: int) -> bytes:
    """A JPEG with as much in it as a camera's: of an empty one there is nothing to save."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


@pytest.fixture
def mixed(voc_folder: Path, picture: Callable[..., bytes]) -> Path:
    """JPEGs, of which one lies on its side, PNGs, a WebP, and one twice."""
    folder = voc_folder / "JPEGImages"
    for index, (kind, suffix) in enumerate([("PNG", "png"), ("PNG", "png"), ("WEBP", "webp"), ("BMP", "bmp")]):
        old = folder / f"p{index:02d}.jpg"
        (folder / f"p{index:02d}.{suffix}").write_bytes(picture(index, kind=kind))
        old.unlink()
    for index in range(5, 14):
        (folder / f"p{index:02d}.jpg").write_bytes(photograph(index))
    (folder / "p04.jpg").write_bytes(picture(4, wh=(48, 64), exif=6))
    (folder / "again.png").write_bytes(picture(1, kind="PNG"))
    return voc_folder


def taken(take: Take, source: Path, codec: str) -> tuple[IngestReport, Dataset]:
    return take(source, IngestConfig.model_validate({"min_images": 1, "codec": codec}))


@pytest.mark.parametrize("codec", ["jpegls", "jxl"])
def test_rows_splits_digests_and_pixels_are_the_same(mixed: Path, take: Take, codec: str) -> None:
    plain_report, plain = taken(take, mixed, "source")
    report, dataset = taken(take, mixed, codec)
    pairs = zip(dataset.rows, plain.rows, strict=True)
    same = [replace(row, **{name: getattr(other, name) for name in LIES}) for row, other in pairs]
    assert same == list(plain.rows)
    assert (report.ledger, report.duplicates, report.splits) == (
        plain_report.ledger,
        plain_report.duplicates,
        plain_report.splits,
    )
    for row, other in zip(dataset.usable, plain.usable, strict=True):
        assert np.array_equal(dataset.image(row), plain.image(other)), row.id
        file = dataset.payload(row)
        assert np.array_equal(decode_picture(file).pixels, plain.image(other)), "a file that any reader reads"
        if file.startswith(b"\xff\xd8"):
            assert file == plain.payload(other) and sha256_bytes(file) == row.sha256
    used = {row.id.rpartition(".")[2]: row.codec for row in dataset.usable if "p04" not in row.id}
    assert used["jpg"] == (JXL_OF_JPEG if codec == JXL else "")
    assert next(row.codec for row in dataset.usable if "p04" in row.id) == codec, "turned upright, a PNG before"
    assert {used[suffix] for suffix in ("png", "webp", "bmp")} == {codec}
    assert sum(row.bytes for row in dataset.rows) < sum(row.bytes for row in plain.rows)
    told = [finding.what for finding in report.findings]
    assert any(JPEG_STAYS in what for what in told) == (codec == "jpegls")


def test_hands_bring_the_same_bytes(mixed: Path, take: Take, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgewright.data.sources import Source

    names = {path.name: path for path in sorted((mixed / "JPEGImages").iterdir())}
    source = Source("", names)
    monkeypatch.setattr(looking, "MANY", 1)
    alone = [looking.look_at(source, name, max_pixels=10_000, codec="jxl") for name in names]
    assert list(looking.looks(source, list(names), max_pixels=10_000, codec="jxl", hands=ProcessHands(2))) == alone
    assert {look.picture.codec for look in alone if look.picture} == {JXL, JXL_OF_JPEG}


def test_what_is_derived_exported_or_taken_in_again_holds_the_same_pictures(
    mixed: Path, take: Take, tmp_path: Path
) -> None:
    _, plain = taken(take, mixed, "source")
    _, dataset = taken(take, mixed, "jxl")
    store = LocalStore(tmp_path / "store")

    def link(writer: DatasetWriter) -> None:
        for row in dataset.usable:
            writer.link(row, dataset)

    derived = publish_filled(store, link, classes=dataset.classes)
    assert [derived.payload(row) for row in derived.rows] == [dataset.payload(row) for row in dataset.usable]
    export_dataset(dataset, tmp_path / "out", layout="yolo")
    files = sorted((tmp_path / "out" / "images").rglob("*.*"))
    assert {path.suffix for path in files} == {".jpg", ".png"}
    assert len(files) == len(plain.usable)
    for path in files:
        assert decode_picture(path.read_bytes()).plain
    with store.workspace() as work:
        report = reingest(dataset, IngestConfig(min_images=1), workspace=work)
    assert report.images == len(plain.usable)


def test_a_shard_whose_bytes_changed_is_refused(mixed: Path, take: Take, tmp_path: Path) -> None:
    _, dataset = taken(take, mixed, "jxl")
    row = next(row for row in dataset.rows if row.codec == JXL)
    path = dataset._shard(row)
    os.chmod(path, 0o600)
    payload = bytearray(path.read_bytes())
    payload[row.offset + row.bytes // 2] ^= 1
    path.write_bytes(payload)
    for read in (dataset.image, dataset.payload):
        with pytest.raises(ArtifactCorrupt, match="differs from its index row"):
            read(row)


def test_an_index_that_lies_about_a_jpegs_file_is_refused(tmp_path: Path) -> None:
    stored = coded(photograph(1), JXL)

    def fill(writer: DatasetWriter) -> None:
        writer.add(Row("a.jpg", "0" * 64, codec=stored.codec), stored.payload)

    dataset = publish_filled(LocalStore(tmp_path / "store"), fill, classes=("bolt",))
    with pytest.raises(ArtifactCorrupt, match="differs from its index row"):
        dataset.payload(dataset.rows[0])


def test_without_the_extra_nothing_is_read_and_the_next_step_is_said(
    mixed: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, dataset = taken(take, mixed, "jxl")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    for read in (dataset.image, dataset.payload):
        with pytest.raises(MissingExtra, match=r"pip install 'edgewright\[codec\]'"):
            read(dataset.usable[0])
    with pytest.raises(MissingExtra, match="codec"):
        taken(take, mixed, "jpegls")


def test_an_index_without_such_pictures_is_what_it_was() -> None:
    plain, other = Row("a", "0"), Row("b", "1", codec=JXL, stored_sha256="2")
    assert {"codec", "stored_sha256"} & set(rows_to_table([plain]).column_names) == set()
    assert rows_from_table(rows_to_table([plain, other])) == [plain, other]
