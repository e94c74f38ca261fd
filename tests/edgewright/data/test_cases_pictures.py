"""Pictures as strangers bring them: read alike by factory and device, or left out by name with the reason."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgewright.data.dataset import Dataset, image_suffix
from edgewright.data.ingest_report import IngestReport
from edgewright.data.rows import LabelState
from edgewright.data.sources import PICTURE_SUFFIXES
from edgewright.errors import SourceError
from edgewright.recipe.data import IngestConfig
from edgewright.runtime import pictures
from edgewright.runtime.pictures import IMAGE_SUFFIXES, read_picture
from edgewright.runtime.preprocess import read_image
from tests.scenes import picture_kinds

Take = Callable[..., tuple[IngestReport, Dataset]]
Boxes = list[tuple[str, list[float]]]


def true_boxes(cases: Path, case: str) -> dict[str, Boxes]:
    """Image => (class, corners in px of the upright file)…"""
    truth: dict[str, list[Any]] = json.loads((cases / "truth" / f"{case}.json").read_text())["images"]
    return {name: [(box[0], box[1:]) for box in boxes] for name, boxes in truth.items()}


def held(dataset: Dataset, names: dict[str, Boxes] | None = None) -> dict[str, Boxes]:
    """The same of a data set; corners to the nearest px."""
    return {
        row.id: [(dataset.classes[label.class_id], [round(value) for value in label.xyxy]) for label in row.labels]
        for row in dataset.usable
        if names is None or row.id in names
    }


def same_pixels(dataset: Dataset, source: Path) -> None:
    """What was stored is what the device and `detect` see of the original file."""
    assert dataset.usable
    for row in dataset.usable:
        seen = read_image(source / row.id)
        assert (dataset.image(row) == seen).all(), row.id
        assert (row.width, row.height) == (seen.shape[1], seen.shape[0])


def write_pictures(folder: Path, kinds: dict[str, bytes]) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for name, payload in kinds.items():
        (folder / "images" / name).write_bytes(payload)
    return folder


def test_factory_and_device_see_the_same_pixels_of_every_kind(tmp_path: Path, take: Take) -> None:
    """And so does any other reader of what is stored and exported: OpenCV knows no alpha and turns nothing twice."""
    kinds = picture_kinds()
    source = write_pictures(tmp_path / "kinds", kinds)
    report, dataset = take(source)
    assert {row.id for row in dataset.usable} == {f"images/{name}" for name in kinds}
    assert report.quarantined == ()
    same_pixels(dataset, source)
    for row in dataset.usable:
        payload = dataset.payload(row)
        bgr = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
        furthest = np.abs(bgr[..., ::-1].astype(int) - dataset.image(row)).max()
        assert furthest <= (3 if image_suffix(payload) == "jpg" else 0), row.id
    assert {(finding.what.split(",")[0], finding.count) for finding in report.findings} == {
        ("pictures of several frames or pages", 3),
        ("CMYK pictures", 1),
        ("pictures of more than 8 bits a sample", 6),
        ("pictures that can be seen through", 2),
    }


def test_every_suffix_that_is_read_has_a_kind() -> None:
    assert {Path(name).suffix.lower() for name in picture_kinds()} >= set(IMAGE_SUFFIXES) - {".jpeg", ".pbm", ".pnm"}


def test_large_pictures_are_read_smaller_with_their_labels(
    tmp_path: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)  # 64 × 48 px are read at a half
    kinds = picture_kinds()
    source = write_pictures(tmp_path / "large", kinds)
    for name in kinds:
        (source / "labels" / f"{Path(name).stem}.txt").write_text("0 0.5 0.5 0.5 0.25\n")
    (source / "classes.txt").write_text("bolt\n")
    names = {Path(name).stem: name for name in kinds}  # a label belongs to one picture
    for name in set(kinds) - set(names.values()):
        (source / "images" / name).unlink()
    report, dataset = take(source)
    same_pixels(dataset, source)
    assert len(dataset.usable) == len(names)
    for row in dataset.usable:
        wh = (row.width or 0, row.height or 0)
        assert sorted(wh) == [24, 32]
        x1, y1, x2, y2 = row.labels[0].xyxy
        assert (x1, y1, x2, y2) == pytest.approx((wh[0] / 4, wh[1] * 0.375, wh[0] * 0.75, wh[1] * 0.625))
        assert read_picture(source / row.id).reduced == 2
    [finding] = [finding for finding in report.findings if "megapixels" in finding.what]
    assert finding.count == len(names)


def test_what_looks_like_a_picture_and_is_not_read_has_a_row(tmp_path: Path, take: Take) -> None:
    source = write_pictures(tmp_path / "mixed", picture_kinds())
    unread = {f"images/x{suffix}" for suffix in set(PICTURE_SUFFIXES) - set(IMAGE_SUFFIXES)}
    for name in unread:
        (source / name).write_bytes(b"GIF89a" if name.endswith(".gif") else b"\0\0\0\x18ftypheic" + bytes(64))
    report, _ = take(source)
    assert {name for name, _ in report.quarantined} == unread
    assert all("are not read. Next: convert it to JPEG or PNG" in reason for _, reason in report.quarantined)
    assert report.passed_over == {}


@pytest.mark.real
def test_kinds_of_pictures(cases: Path, take: Take) -> None:
    source, truth = cases / "src/i01_kinds", true_boxes(cases, "i01_kinds")
    report, dataset = take(source)
    assert held(dataset, truth) == truth
    same_pixels(dataset, source)
    reasons = {Path(name).name: reason for name, reason in report.quarantined}
    assert reasons.keys() == {"gif.gif", "phone.heic", "truncated.jpg"}
    assert "GIF pictures are not read. Next:" in reasons["gif.gif"]
    assert "HEIC pictures are not read. Next:" in reasons["phone.heic"]
    assert "truncated" in reasons["truncated.jpg"]
    [large] = [row for row in dataset.usable if row.id not in truth]
    assert (large.id, large.width, large.height) == ("images/fifty_megapixels.jpg", 4080, 3060)
    lines = [line.split() for line in (source / "labels/fifty_megapixels.txt").read_text().splitlines()]
    middles = [((box.xyxy[0] + box.xyxy[2]) / 2 / 4080, (box.xyxy[1] + box.xyxy[3]) / 2 / 3060) for box in large.labels]
    assert middles == [pytest.approx((float(x), float(y))) for _, x, y, _, _ in lines]
    assert any("40 megapixels" in finding.what and finding.example == large.id for finding in report.findings)


@pytest.mark.real
def test_jfif_and_ppm(cases: Path, take: Take) -> None:
    report, dataset = take(cases / "src/y16_jfif")
    assert (report.images, report.unlabeled, report.quarantined) == (18, 0, ())
    truth = true_boxes(cases, "y16_jfif")
    assert held(dataset, truth) == truth
    assert {Path(row.id).suffix for row in dataset.usable if row.id not in truth} == {".jfif", ".ppm"}
    same_pixels(dataset, cases / "src/y16_jfif")


@pytest.mark.real
@pytest.mark.parametrize("named", ["", "shots.zip"])  # the folder that holds nothing else, the archive itself
def test_a_narrow_space_in_a_zip(cases: Path, take: Take, named: str, tmp_path: Path) -> None:
    source = cases / "src/y17_nnbsp" / named
    report, dataset = take(source)
    assert held(dataset) == true_boxes(cases, "y17_nnbsp")
    assert (report.quarantined, [finding.count for finding in report.findings]) == ((), [] if named else [1])
    with zipfile.ZipFile(cases / "src/y17_nnbsp/shots.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    same_pixels(dataset, tmp_path / "unpacked")


@pytest.mark.real
def test_pictures_that_are_links_to_a_cache(cases: Path, take: Take, tmp_path: Path) -> None:
    source = cases / "src/y18_dvc_links"
    with pytest.raises(SourceError, match=r"16 links leave the folder.*Next: --set ingest\.follow_links=true"):
        take(source)
    report, dataset = take(source, IngestConfig(follow_links=True))
    assert held(dataset) == true_boxes(cases, "y18_dvc_links")
    assert report.quarantined == ()
    assert not [finding for finding in report.findings if "link" in finding.what]
    some = tmp_path / "some"
    shutil.copytree(source, some, symlinks=True)
    for link in sorted((some / "images").iterdir())[3:]:
        payload = link.read_bytes()
        link.unlink()
        link.write_bytes(payload)
    report, _ = take(some)
    assert str(report.findings[0]).startswith(
        "3 links leave the folder, e.g. images/p000.jpg. Next: --set ingest.follow"
    )


@pytest.mark.real
def test_a_broken_video_beside_good_pictures(cases: Path, take: Take) -> None:
    source = cases / "src/w01_videos/mix"
    report, dataset = take(source)
    assert report.quarantined == (
        ("broken.mp4", "no frame can be read from the video. Next: play it, or convert it to mp4"),
    )
    truth = true_boxes_of_mix(source)
    assert held(dataset, truth) == truth
    [frame] = [row for row in dataset.usable if row.id not in truth]
    assert (frame.id, frame.state) == ("live.mov/frame-00000000.png", LabelState.UNLABELED)


def true_boxes_of_mix(source: Path) -> dict[str, Boxes]:
    """The case's truth says nothing of its pictures: what their label files hold."""
    truth: dict[str, Boxes] = {}
    for path in sorted((source / "labels").iterdir()):
        boxes: Boxes = []
        for line in path.read_text().splitlines():
            kind, x, y, w, h = map(float, line.split())
            corners = [(x - w / 2) * 160, (y - h / 2) * 120, (x + w / 2) * 160, (y + h / 2) * 120]
            boxes.append((["bolt", "nut"][int(kind)], [round(value) for value in corners]))
        truth[f"images/{path.stem}.jpg"] = boxes
    return truth
