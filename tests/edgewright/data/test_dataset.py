"""The dataset artifact: what is written is what is read, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.artifacts import LocalStore
from edgewright.data import dataset as dataset_module
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset, DatasetWriter, image_suffix
from edgewright.data.rows import Label, Row
from edgewright.errors import ArtifactCorrupt, InputError
from tests.scenes import publish_filled

CLASSES = ("bolt", "nut")
LABELS = (Label(0, 1, (1, 2, 3, 4)),)


def published(store: LocalStore, fill: Callable[[DatasetWriter], None]) -> Dataset:
    return publish_filled(store, fill, classes=CLASSES)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def parent(store: LocalStore, picture: Callable[..., bytes]) -> Dataset:
    def fill(writer: DatasetWriter) -> None:
        writer.add(Row(id="b.jpg", sha256="", split="test", state="background"), picture(2))
        writer.add(Row(id="a.png", sha256="", labels=LABELS, state="human"), picture(1, kind="PNG"))
        writer.quarantine(Row(id="c.jpg", sha256="00", quarantine="corrupt"))

    return published(store, fill)


@settings(max_examples=10, deadline=None)  # each example publishes to a real store, which syncs the disk
@given(st.lists(st.binary(min_size=1, max_size=2000), min_size=1, max_size=6))
def test_every_payload_is_read_back_from_its_offset(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes]
) -> None:
    def fill(writer: DatasetWriter) -> None:
        for index, payload in enumerate(payloads):
            writer.add(Row(id=f"{index}", sha256=""), payload)

    made = published(LocalStore(tmp_path_factory.mktemp("store")), fill)
    assert [made.payload(row) for row in made.rows] == payloads


def test_rows_are_in_id_order_and_equal_content_has_one_digest(
    parent: Dataset, store: LocalStore, picture: Callable[..., bytes]
) -> None:
    def again(writer: DatasetWriter) -> None:
        writer.quarantine(Row(id="c.jpg", sha256="00", quarantine="corrupt"))
        writer.add(Row(id="b.jpg", sha256="", split="test", state="background"), picture(2))
        writer.add(Row(id="a.png", sha256="", labels=LABELS, state="human"), picture(1, kind="PNG"))

    assert [row.id for row in parent.rows] == ["a.png", "b.jpg", "c.jpg"]
    assert published(store, again).ref == parent.ref


def test_selection_leaves_quarantined_rows_out(parent: Dataset) -> None:
    assert [row.id for row in parent.select()] == ["a.png", "b.jpg"]
    assert [row.id for row in parent.select(split="test", labeled=True)] == ["b.jpg"]
    assert [row.id for row in parent.quarantined] == ["c.jpg"]
    assert [image.shape for image in parent.images(parent.usable)] == [(48, 64, 3), (48, 64, 3)]


def test_a_derived_dataset_points_at_its_parents_shards(parent: Dataset, store: LocalStore) -> None:
    def relabel(writer: DatasetWriter) -> None:
        for row in parent.usable:
            writer.link(replace(row, labels=(), state="unlabeled"), parent)
        writer.add(Row(id="new.png", sha256="", origin="synthetic"), encode_png(np.zeros((4, 4, 3), np.uint8)))

    child = published(store, relabel)
    grandchild = published(store, lambda writer: [writer.link(row, child) for row in child.usable] and None)
    assert child.payload(child.rows[0]) == parent.payload(parent.rows[0])
    assert [grandchild.payload(row) for row in grandchild.rows] == [child.payload(row) for row in child.rows]
    assert not list(store.file(grandchild.ref.sha256, "dataset.json").parent.glob("shards/*.tar"))


def test_images_go_on_in_a_new_shard(
    store: LocalStore, picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_module, "MAX_SHARD_BYTES", 1500)
    made = published(store, lambda w: [w.add(Row(id=str(i), sha256=""), picture(i)) for i in range(5)] and None)
    assert len(made.shards) > 1
    assert [made.payload(row) for row in made.rows] == [picture(i) for i in range(5)]


def test_a_changed_shard_is_found(parent: Dataset, store: LocalStore) -> None:
    shard = store.root / "artifacts" / parent.ref.sha256 / "shards" / "00000.tar"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactCorrupt, match="differ"):
        parent.payload(parent.rows[0])


def test_a_quarantined_row_has_no_image(parent: Dataset) -> None:
    with pytest.raises(ArtifactCorrupt, match="no stored image"):
        parent.payload(parent.quarantined[0])


def test_class_lists_are_compared(parent: Dataset) -> None:
    parent.check_classes(CLASSES)
    with pytest.raises(InputError, match="two class lists differ"):
        parent.check_classes(("nut", "bolt"))


def test_a_repeated_id_and_a_reasonless_quarantine_are_refused(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path, classes=CLASSES)
    with pytest.raises(InputError, match="needs its reason"):
        writer.quarantine(Row(id="a", sha256=""))
    writer.add(Row(id="a", sha256=""), b"1")
    writer.add(Row(id="a", sha256=""), b"2")
    with pytest.raises(InputError, match="two images with one id"):
        writer.finish()


@pytest.mark.parametrize(("head", "suffix"), [(b"\xff\xd8\xff\xe0", "jpg"), (b"\x89PNG", "png"), (b"?", "bin")])
def test_suffix_by_content(head: bytes, suffix: str) -> None:
    assert image_suffix(head) == suffix
