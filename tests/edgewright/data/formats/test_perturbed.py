"""Whatever a stranger's label files look like, they are read as they were meant or refused: never as something else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgewright.data.checks import CheckedPicture, check_boxes
from edgewright.data.formats import Annotation, detect_layout, layout_named
from edgewright.data.formats.frames import MIN_OUTSIDE, MIN_OUTSIDE_SHARE, OUTSIDE_SHARE, Frame, Xyxy, as_corners
from edgewright.data.sources import Unusable
from edgewright.errors import SourceError
from tests.sources import source_of
from tests.strangers import FORMATS
from tests.strangers.scene import Box, Scene, Way, draw_scene, picture_names

EQUAL, REFUSED = "equal", "refused"
TOLERANCE_PX = 0.01


def outcome(root: Path, scene: Scene, way: Way, layout: str) -> str:
    """`equal`, `refused`, or what was read otherwise."""
    write, _ = FORMATS[layout]
    source = source_of(root, write(scene, way))
    try:
        detected = detect_layout(source)
        if detected != layout and scene.objects:
            return f"taken for {detected}"
        labels = layout_named(detected).read(source, ())
    except SourceError:
        return REFUSED
    images = picture_names(scene, way)
    orphans = " ".join(labels.unpaired)
    verdicts = {
        _of_picture(
            labels.by_image.get(images[stem]), wh, boxes, labels.classes, orphan=stem in orphans or "/n" in orphans
        )
        for stem, (wh, boxes) in scene.pictures.items()
    }
    return next(iter(verdicts - {EQUAL, REFUSED}), REFUSED if REFUSED in verdicts else EQUAL)


def _of_picture(
    annotation: Annotation | None,
    wh: tuple[int, int],
    truth: tuple[Box, ...],
    classes: tuple[str, ...],
    *,
    orphan: bool,
) -> str:
    if annotation is None:
        return REFUSED if orphan or not truth else "labels lost"
    try:
        checked = check_boxes(annotation, CheckedPicture(b"", wh, wh, 1, "", 1, wh, wh, ()), classes=classes)
    except Unusable:
        return REFUSED
    missing = list(truth)
    for label in checked.labels:
        same = [box for box in missing if box[0] == classes[label.class_id] and _alike(box, label.xyxy)]
        if not same:
            return f"{classes[label.class_id]} at {label.xyxy} in {wh}, true are {truth}"
        missing.remove(same[0])
    if len(missing) > len(checked.refused):
        return f"lost: {missing}"
    return REFUSED if checked.refused else EQUAL


def _alike(box: Box, xyxy: tuple[float, ...]) -> bool:
    return all(abs(one - other) <= TOLERANCE_PX for one, other in zip(box[1:], xyxy, strict=True))


def bears_witness(scene: Scene, way: Way, layout: str) -> bool:
    """What nothing in the files shows cannot be noticed.

    Ids from 1 show where the last class occurs; another frame shows where a box leaves its picture as it is read; a
    name that an encoding does not know is lost when it is written.
    """
    if any(name.encode(way.encoding, "replace").decode(way.encoding) != name for name in scene.names):
        return False
    if way.ids == "from 1":
        return any(box[0] == scene.names[-1] for _, box in scene.objects)
    written = {"corners": Frame.CORNERS, "top left": Frame.TOP_LEFT, "center": Frame.CENTER}.get(way.frame)
    if written is None:
        return True
    read_as = Frame.CENTER if layout == "yolo" else Frame.TOP_LEFT
    leaving = sum(leaves(as_corners(_in_frame(box, written), read_as), wh) for wh, box in scene.objects)
    return leaving >= (1 if written is Frame.CORNERS else max(MIN_OUTSIDE, MIN_OUTSIDE_SHARE * len(scene.objects)))


def _in_frame(box: Box, frame: Frame) -> Xyxy:
    _, x1, y1, x2, y2 = box
    first = ((x1 + x2) / 2, (y1 + y2) / 2) if frame is Frame.CENTER else (x1, y1)
    return (*first, x2, y2) if frame is Frame.CORNERS else (*first, x2 - x1, y2 - y1)


def leaves(xyxy: Xyxy, wh: tuple[int, int]) -> bool:
    """By clearly more than a careless hand."""
    slack = [1.5 * OUTSIDE_SHARE * side for side in wh]
    low = xyxy[0] < -slack[0] or xyxy[1] < -slack[1]
    return low or xyxy[2] > wh[0] + slack[0] or xyxy[3] > wh[1] + slack[1]


def draw_case(seed: int) -> tuple[str, Scene, Way]:
    """One or two ways of one format, on a scene that shows them."""
    rng = np.random.default_rng(seed)
    layout = list(FORMATS)[int(rng.choice(len(FORMATS), p=(0.4, 0.25, 0.15, 0.1, 0.1)))]
    ways = FORMATS[layout][1]
    chosen = rng.choice(len(ways), size=int(rng.integers(1, 3)), replace=False)
    changes: dict[str, object] = {}
    for index in chosen:
        changes |= ways[int(index)]
    if changes.get("frame", "own") != "own":
        changes["other"] = ""  # one of the two says what the numbers are
    way = Way(**changes)  # type: ignore[arg-type]
    scene = draw_scene(rng)
    while not bears_witness(scene, way, layout):
        scene = draw_scene(rng)
    return layout, scene, way


def count_outcomes(root: Path, seeds: range) -> Counter[str]:
    counted: Counter[str] = Counter()
    for seed in seeds:
        layout, scene, way = draw_case(seed)
        found = outcome(root / str(seed), scene, way, layout)
        kept = found in (EQUAL, REFUSED)
        counted[found if kept else f"seed {seed}, {layout}, {way}: {found}"] += 1
    return counted


def test_nothing_is_read_otherwise(tmp_path: Path) -> None:
    counted = count_outcomes(tmp_path, range(200))
    assert set(counted) == {EQUAL, REFUSED}, counted
    assert counted[EQUAL] > 100  # to refuse everything would be easy


@pytest.mark.slow
def test_nothing_is_read_otherwise_in_many_cases(tmp_path: Path) -> None:
    counted = count_outcomes(tmp_path, range(1000, 3400))
    print(counted)
    assert set(counted) == {EQUAL, REFUSED}, counted


@pytest.mark.parametrize("layout", list(FORMATS))
def test_as_its_own_tools_write_it_every_format_is_read(tmp_path: Path, layout: str) -> None:
    for seed in range(10):
        scene = draw_scene(np.random.default_rng(seed))
        assert outcome(tmp_path / str(seed), scene, Way(), layout) == EQUAL
