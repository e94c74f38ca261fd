"""Small real pictures and label files in the layouts that people have."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from edgewright.artifacts import Content, LocalStore, Record
from edgewright.data.dataset import Dataset
from edgewright.data.ingest import ingest
from edgewright.data.ingest_report import IngestReport
from edgewright.data.splits import SplitLedger
from edgewright.recipe.data import IngestConfig

PictureMaker = Callable[..., bytes]


@pytest.fixture(scope="session")
def picture() -> PictureMaker:
    """(seed, wh, kind) => the bytes of a picture of smooth random blobs; other seeds look different to a hash."""

    def make(seed: int, *, wh: tuple[int, int] = (64, 48), kind: str = "JPEG", exif: int = 1) -> bytes:
        small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = PillowImage.fromarray(small).resize(wh, PillowImage.Resampling.BICUBIC)
        tags = PillowImage.Exif()
        tags[0x0112] = exif
        buffer = io.BytesIO()
        image.save(buffer, kind, **({"exif": tags} if exif != 1 else {}))
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def voc_xml() -> Callable[..., str]:
    """(name, corners…)… => a VOC file for a 64×48 picture."""

    def make(boxes: Sequence[tuple[str, Sequence[object]]], *, wh: tuple[int, int] = (64, 48)) -> str:
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{c[0]}</xmin><ymin>{c[1]}</ymin><xmax>{c[2]}</xmax>"
            f"<ymax>{c[3]}</ymax></bndbox></object>"
            for name, c in boxes
        )
        return f"<annotation><size><width>{wh[0]}</width><height>{wh[1]}</height></size>{objects}</annotation>"

    return make


@pytest.fixture
def voc_folder(tmp_path: Path, picture: PictureMaker, voc_xml: Callable[..., str]) -> Path:
    """14 pictures, two classes; `bolt` is in every one, `nut` in every other."""
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "Annotations"):
        (root / folder).mkdir(parents=True)
    for index in range(14):
        boxes = [("bolt", (2, 3, 20, 30))] + ([("nut", (30, 10, 60, 40))] if index % 2 else [])
        (root / "JPEGImages" / f"p{index:02d}.jpg").write_bytes(picture(index))
        (root / "Annotations" / f"p{index:02d}.xml").write_text(voc_xml(boxes))
    return root


Taken = tuple[IngestReport, Dataset]


@pytest.fixture
def take(tmp_path: Path) -> Iterator[Callable[..., Taken]]:
    """Ingest a source, publish it to a real store and open it again."""
    store = LocalStore(tmp_path / "store")

    def run(
        source: Path, config: IngestConfig | None = None, *, seed: int = 0, ledger: SplitLedger | None = None
    ) -> Taken:
        chosen = config or IngestConfig(min_images=1)
        with store.workspace() as work:
            report = ingest(source, chosen, workspace=work, scratch=store.scratch, seed=seed, ledger=ledger)
            ref = store.publish(work, Content(kind="dataset_real", stage="ingest"), Record())
        return report, Dataset.open(store, ref)

    yield run
    left = sorted(path.name for path in store.scratch.iterdir()) if store.scratch.exists() else []
    assert left == [], "an ingest leaves nothing in the scratch folder, whatever happens"
