"""What ultralytics trains on: images and labels in YOLO layout in a scratch folder.

Decides how a training picture is written: see `shown_pictures` for what it shows.

    scratch/images/{train,val}/00000000.png
    scratch/labels/{train,val}/00000000.txt
    scratch/files.json                        written when they are complete
    scratch/{shown,photographs}.txt           which pictures an epoch shows, some more than once
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Row, Split
from edgewright.detect.shown_pictures import hide_ignored, shrink
from edgewright.runtime.boxes import Boxes, Image

TRAIN_LIST, REAL_LIST = "shown.txt", "photographs.txt"
_DONE = "files.json"


def write_training_files(dataset: Dataset, rows: dict[Split, list[Row]], *, folder: Path, image_px: int) -> None:
    """Write every image and label file; does nothing where the same files stand there complete."""
    plan: dict[str, list[str]] = {split: [row.id + row.sha256 for row in chosen] for split, chosen in rows.items()}
    plan["labels"] = [str(row.labels) for chosen in rows.values() for row in chosen]
    done = canonical_json({"plan": sha256_bytes(canonical_json(plan)), "image_px": image_px})
    if (folder / _DONE).is_file() and (folder / _DONE).read_bytes() == done:
        return
    for split, chosen in rows.items():
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for index, row in enumerate(chosen):
            _write_pair(dataset.image(row), row, folder=folder, name=f"{split}/{index:08d}", image_px=image_px)
    (folder / _DONE).write_bytes(done)


def write_lists(folder: Path, indices: Sequence[int], *, synthetic: Sequence[bool]) -> None:
    """Write which train images an epoch shows (indices, repeats allowed), and which of those are photographs.

    The list of photographs is as long as the other one, so that an epoch of photographs alone has as many batches.
    """
    real = [index for index in indices if not synthetic[index]]
    again = [real[position % len(real)] for position in range(len(indices))] if real else []
    for name, chosen in ((TRAIN_LIST, indices), (REAL_LIST, again)):
        lines = [str((folder / "images" / Split.TRAIN / f"{index:08d}.png").resolve()) for index in chosen]
        (folder / name).write_text("\n".join(lines), encoding="utf-8")


def read_list(path: Path) -> list[str]:
    """The files that a list names, in order."""
    return path.read_text(encoding="utf-8").splitlines()


def yolo_lines(boxes: Boxes, *, wh: tuple[int, int]) -> str:
    """`class x y w h` a line, center and size as shares of the picture; boxes without area are left out."""
    inside = boxes.clip(wh)
    inside = inside[inside.area > 0]
    center, size = (inside.xyxy[:, :2] + inside.xyxy[:, 2:]) / 2 / wh, inside.wh / wh
    lines = [
        " ".join([str(class_id), *(f"{value:.6f}" for value in (*xy, *box_wh))])
        for class_id, xy, box_wh in zip(inside.class_id.tolist(), center.tolist(), size.tolist(), strict=True)
    ]
    return "\n".join(lines)


def _write_pair(image: Image, row: Row, *, folder: Path, name: str, image_px: int) -> None:
    hidden = hide_ignored(image, ignored=row.ignored, counted=row.boxes)
    small, _ = shrink(hidden, longer_px=image_px)
    (folder / "images" / f"{name}.png").write_bytes(encode_png(small))
    lines = yolo_lines(row.boxes, wh=(image.shape[1], image.shape[0]))
    (folder / "labels" / f"{name}.txt").write_text(lines, encoding="ascii")
