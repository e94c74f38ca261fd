"""From a folder of photographs to a dataset: what is taken, what is not, and that both are said."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.artifacts import LocalStore
from edgewright.data.dataset import Dataset
from edgewright.data.ingest import ingest
from edgewright.data.ingest_report import IngestReport
from edgewright.data.rows import Split
from edgewright.errors import RecipeError, SourceError
from edgewright.recipe import validate
from edgewright.recipe.data import IngestConfig

Take = Callable[..., tuple[IngestReport, Dataset]]


def test_a_folder_becomes_a_dataset(voc_folder: Path, take: Take, picture: Callable[..., bytes]) -> None:
    report, dataset = take(voc_folder)
    assert (report.layout, report.classes, report.images, report.quarantined) == ("voc", ("bolt", "nut"), 14, ())
    assert sum(count.images for count in report.splits.values()) == 14
    assert all(count.objects["nut"] for count in report.splits.values())
    assert [dataset.payload(row) for row in dataset.rows] == [picture(index) for index in range(14)]
    row = dataset.rows[1]
    assert (row.id, row.state, row.width, row.height) == ("JPEGImages/p01.jpg", "human", 64, 48)
    assert [(label.class_id, label.xyxy) for label in row.labels] == [(0, (2, 3, 20, 30)), (1, (30, 10, 60, 40))]


def test_the_files_say_what_the_report_says(voc_folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    seen: list[tuple[int, int]] = []
    report = ingest(
        voc_folder,
        IngestConfig(),
        workspace=work,
        scratch=tmp_path / "scratch",
        seed=0,
        on_progress=lambda done, total, _: seen.append((done, total)),
    )
    assert json.loads((work / "ingest.json").read_bytes()) == json.loads(json.dumps(report.to_json()))
    assert json.loads((work / "splits.json").read_bytes()) == report.ledger.to_json()
    assert seen[-1] == (14, 14)


def test_the_same_input_gives_the_same_artifact_and_another_seed_another_split(voc_folder: Path, take: Take) -> None:
    (first, one), (_, again) = take(voc_folder), take(voc_folder)
    assert again.ref == one.ref
    assert len({tuple(take(voc_folder, seed=seed)[0].ledger.splits.items()) for seed in range(4)}) > 1
    kept, _ = take(voc_folder, seed=3, ledger=first.ledger)
    assert kept.ledger == first.ledger


def test_an_archive_gives_the_same_dataset(voc_folder: Path, tmp_path: Path, take: Take) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in voc_folder.rglob("*.*"):
            archive.write(path, path.relative_to(voc_folder))
    assert take(tmp_path / "photos.zip")[1].ref == take(voc_folder)[1].ref


def test_everything_left_out_is_listed_by_name(
    voc_folder: Path, take: Take, picture: Callable[..., bytes], voc_xml: Callable[..., str]
) -> None:
    images, labels = voc_folder / "JPEGImages", voc_folder / "Annotations"
    (images / "p00.jpg").write_bytes(picture(0)[:300])  # truncated
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    head = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\0IDAT"
    (images / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + bytes(4))
    (images / "phone.heic").write_bytes(b"not read")
    (images / "link.jpg").symlink_to("/etc/hostname")
    (labels / "p01.xml").write_text(voc_xml([("bolt", (5, 5, 5, 5)), ("bolt", (1, 1, 9, 9))]))
    (labels / "p02.xml").write_text("<!DOCTYPE a><annotation/>")
    (labels / "p03.xml").write_text(voc_xml([("bolt", (5, 5, 5, 5))]))  # its only box
    (labels / "p04.xml").write_text(voc_xml([]))  # looked at, and empty
    (labels / "p05.xml").unlink()  # not looked at
    (labels / "orphan.xml").write_text(voc_xml([]))
    (voc_folder / "README.md").write_text("x")
    report, dataset = take(voc_folder)
    reasons = dict(report.quarantined)
    assert {name: reason.split(" (")[0] for name, reason in reasons.items()} == {
        "Annotations/orphan.xml": "a label file without an image",
        "JPEGImages/bomb.png": "picture too large",
        "JPEGImages/link.jpg": "a link that leaves the source folder",
        "JPEGImages/p00.jpg": "corrupt or truncated picture",
        "JPEGImages/p01.jpg#box0": "zero-area box [5, 5, 5, 5]",
        "JPEGImages/p02.jpg": "Annotations/p02.xml: a DOCTYPE, which could define entities, is not read",
        "JPEGImages/p03.jpg#box0": "zero-area box [5, 5, 5, 5]",
        "JPEGImages/phone.heic": "not a picture",
    }
    assert {row.id: row.quarantine for row in dataset.quarantined} == reasons
    states = {row.id[-7:-4]: row.state for row in dataset.usable}
    assert [states[name] for name in ("p01", "p03", "p04", "p05")] == ["human", "unlabeled", "background", "unlabeled"]
    assert (report.quarantined_boxes, report.unlabeled, report.background) == (2, 2, 1)
    assert report.passed_over == {".md": 1}
    by_id = {row.id: row for row in dataset.rows}
    assert by_id["JPEGImages/p01.jpg#box0"].split == by_id["JPEGImages/p01.jpg"].split


@pytest.mark.parametrize("missing", ["unlabeled", "background"])
def test_what_an_image_without_a_label_file_is(voc_folder: Path, take: Take, missing: str) -> None:
    (voc_folder / "Annotations" / "p05.xml").unlink()
    _, dataset = take(voc_folder, IngestConfig(missing_label=missing, min_images=1))
    assert dataset.rows[5].state == missing


def test_a_configured_class_list_decides(voc_folder: Path, take: Take) -> None:
    report, dataset = take(voc_folder, IngestConfig(classes=("screw", "bolt"), min_images=1))
    assert dataset.classes == ("screw", "bolt")
    assert {reason for _, reason in report.quarantined} == {"unknown class 'nut'"}
    assert "class 'screw' has no object at all" in report.warnings


def test_a_set_that_is_too_small_says_why(voc_folder: Path, take: Take) -> None:
    for path in (voc_folder / "JPEGImages").glob("p0[0-8].jpg"):
        path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(SourceError, match=r"at least 10, got 5, quarantined: 9 × .*picture") as caught:
        take(voc_folder, IngestConfig())
    assert caught.value.exit_code == 2


def test_a_full_disk_leaves_no_artifact(voc_folder: Path, tmp_path: Path) -> None:
    """A file-size limit of the operating system stands for the disk: the write fails in the middle of a shard."""
    import resource
    import signal

    store = LocalStore(tmp_path / "store")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"), store.workspace() as work:
            ingest(voc_folder, IngestConfig(), workspace=work, scratch=store.scratch, seed=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(store.digests()) == []
    assert list(store.scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "sentence"), [("../p.jpg", "climbs out"), ("/p.jpg", "absolute"), ("p.zip", "inside the archive")]
)
def test_a_harmful_archive_leaves_nothing(tmp_path: Path, take: Take, name: str, sentence: str) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr(name, b"x")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(SourceError, match=sentence):
        take(tmp_path / "photos.zip")
    assert set(os.listdir(tmp_path)) - set(before) <= {"store"}


def test_a_bomb_of_zeros_is_refused_with_the_real_limits(tmp_path: Path, take: Take) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(60):
            archive.writestr(f"{index}.jpg", bytes(1_000_000))
    with pytest.raises(SourceError, match="a bomb"):
        take(tmp_path / "photos.zip")


def test_near_duplicates_share_a_group_and_a_split(voc_folder: Path, take: Take, picture: Callable[..., bytes]) -> None:
    for index in range(4):
        (voc_folder / "JPEGImages" / f"copy{index}.jpg").write_bytes(picture(index, wh=(128, 96)))
    report, dataset = take(voc_folder)
    rows = {row.id[11:-4]: row for row in dataset.rows}
    assert all(rows[f"copy{i}"].group == rows[f"p{i:02d}"].group for i in range(4))
    assert all(rows[f"copy{i}"].split == rows[f"p{i:02d}"].split for i in range(4))
    assert report.merged_images == 8
    assert "44% of the images were joined into groups by near-duplicates: look at the pairs" in report.warnings
    assert len(report.to_json()["duplicates"]["pairs"]) == 4


def test_later_ingests_keep_the_ledger(voc_folder: Path, take: Take, picture: Callable[..., bytes]) -> None:
    first, _ = take(voc_folder)
    for index in range(20, 30):
        (voc_folder / "JPEGImages" / f"p{index}.jpg").write_bytes(picture(index))
    second, dataset = take(voc_folder, seed=5, ledger=first.ledger)
    assert second.ledger.version == 2
    assert {group: second.ledger.splits[group] for group in first.ledger.splits} == dict(first.ledger.splits)
    assert {row.group: row.split for row in dataset.usable} == dict(second.ledger.splits)


@pytest.mark.parametrize(
    ("change", "groups"),
    [
        ({"group_by": "image"}, 14),
        ({"group_by": "folder"}, 1),
        ({"group_by": "pattern", "group_pattern": "p([0-9])"}, 2),
    ],
)
def test_groups_are_never_split(voc_folder: Path, take: Take, change: dict[str, str], groups: int) -> None:
    report, dataset = take(voc_folder, IngestConfig(**change, min_images=1))
    assert len({row.group for row in dataset.usable}) == groups
    assert len({(row.group, row.split) for row in dataset.usable}) == groups
    assert sum("is empty" in warning for warning in report.warnings) == max(0, 3 - groups)


def test_images_that_the_pattern_misses_are_counted(voc_folder: Path, take: Take) -> None:
    report, _ = take(voc_folder, IngestConfig(group_by="pattern", group_pattern="p(1[0-9])", min_images=1))
    assert "10 images do not match ingest.group_pattern: each is a group of its own" in report.warnings


def test_shares_that_leave_no_test_split_are_refused() -> None:
    with pytest.raises(RecipeError, match="leave nothing for test"):
        validate({"ingest": {"train_share": 0.8, "val_share": 0.2}})


@pytest.mark.real
def test_the_blood_cells(take: Take) -> None:
    """BCCD: two zero-area boxes, one near-duplicate pair, everything else is taken."""
    folder = os.environ.get("EDGEWRIGHT_REAL_DATA")
    if not folder:
        pytest.skip("EDGEWRIGHT_REAL_DATA does not name a folder")
    report, dataset = take(Path(folder), IngestConfig(splits="new"))
    assert (report.layout, report.classes, report.images) == ("voc", ("Platelets", "RBC", "WBC"), 292)
    assert report.quarantined == (
        ("JPEGImages/BloodImage_00338.jpg#box12", "zero-area box [504, 337, 504, 337]"),
        ("JPEGImages/BloodImage_00343.jpg#box3", "zero-area box [181, 329, 181, 329]"),
    )
    assert len(report.duplicates.pairs) == 1
    assert report.warnings == ()
    shares = [report.splits[split].images / 292 for split in Split]
    assert shares == pytest.approx([0.6, 0.15, 0.25], abs=0.03)
    assert len(dataset.usable) == 292


@pytest.mark.real
def test_the_blood_cells_by_their_own_lists(take: Take, real_data: Path) -> None:
    """They bring train and val; test is drawn from train, and the near-duplicate pair lies between the two."""
    report, _ = take(real_data, IngestConfig())
    assert report.split_source.endswith("val.txt; test drawn from train")
    assert [count.images for count in report.splits.values()] == [143, 87, 62]
    assert [(leak.split, leak.twin_split, leak.why) for leak in report.leaks] == [("train", "val", "a near-duplicate")]
