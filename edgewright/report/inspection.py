"""The page of `edgewright inspect`: what was understood, what looks wrong, what would cure it; one file, no script.

Decides the words and the charts; the order stands in `templates/inspection.html`. Refuses nothing.

    Path("inspect.html").write_text(render_inspection(found, source="photos/"), encoding="utf-8")
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgewright.data.inspection import Inspection, Shown
from edgewright.data.rows import Row, Split
from edgewright.report.charts import DrawnCurve, draw_curves, draw_points
from edgewright.report.data import Curve, Picture, Series
from edgewright.report.pictures import Gallery, beside
from edgewright.report.shell import render_page
from edgewright.report.understood import understood
from edgewright.runtime.boxes import Boxes

_PICTURE_BYTES = 2_400_000
_PAIR_PX = 200
_MAX_CURVES = 6
_MAX_POINTS = 1500
_SIDES = np.geomspace(0.005, 1.0, 25)
"""Ends of the bins of box sides, as shares of the picture's."""


def render_inspection(found: Inspection, *, source: str) -> str:
    """The whole page as HTML."""
    pairs = [Picture(beside(one.image, other.image, height_px=_PAIR_PX), Boxes.empty(), one.caption)
             for one, other in found.pairs]  # fmt: skip
    samples, odd = ([_picture(one) for one in shown] for shown in (found.samples, found.odd))
    return render_page(
        "inspection.html",
        source=source,
        headline=headline(found),
        would_end=found.would_end,
        told=understood(found.report.to_json()),
        suspects=[suspect.finding for suspect in found.suspects],
        command=proposed_command(found, source=source),
        class_rows=_class_rows(found),
        curves=_curves(found),
        gallery=Gallery(found.report.classes, _PICTURE_BYTES, len(pairs) + len(samples) + len(odd)),
        samples=samples,
        pairs=pairs,
        odd=odd,
    )


def headline(found: Inspection) -> str:
    """What a person takes away."""
    report = found.report
    if found.would_end:
        return f"A run would end at ingest: {found.would_end.partition(' (')[0]}."
    if not _is_labeled(found):
        return (
            f"{report.images} pictures and no labels: a detector needs some. Draw boxes in any tool that writes YOLO, "
            "COCO, Pascal VOC, LabelMe or CreateML, and inspect again."
        )
    objects = sum(sum(split.objects.values()) for split in report.splits.values())
    held = f"{report.splits[Split.VAL].images} to choose by and {report.splits[Split.TEST].images} to test on"
    leaks = f" Leaks between the source's own splits: {len(report.leaks)}." if report.leaks else ""
    return f"{report.images} pictures with {objects} objects of {len(report.classes)} classes; {held}.{leaks}"


def proposed_command(found: Inspection, *, source: str) -> str:
    """What to type next: the run, or where nothing is labeled yet, this again once something is."""
    settings = "".join(f" --set {shlex.quote(setting)}" for setting in found.proposals)
    if not found.would_end and not _is_labeled(found):
        return f"edgewright inspect {shlex.quote(source) if Path(source).is_dir() else 'FOLDER'}{settings}"
    return f"edgewright run laptop --source {shlex.quote(source)}{settings}"


def _is_labeled(found: Inspection) -> bool:
    return any(row.labels for row in found.rows)


def _picture(shown: Shown) -> Picture:
    return Picture(shown.image, shown.boxes, shown.caption)


def _class_rows(found: Inspection) -> list[tuple[str, ...]]:
    """Class, objects, pictures, objects of each split; most frequent first."""
    pictures = dict.fromkeys(found.report.classes, 0)
    for row in found.rows:
        for class_id in {label.class_id for label in row.labels}:
            pictures[found.report.classes[class_id]] += 1
    splits = [found.report.splits[split].objects for split in Split]
    rows = [(name, [objects[name] for objects in splits]) for name in found.report.classes]
    rows.sort(key=lambda row: -sum(row[1]))
    return [(name, str(sum(counts)), str(pictures[name]), *map(str, counts)) for name, counts in rows]


def _curves(found: Inspection) -> list[DrawnCurve]:
    """How large boxes are, and where they lie."""
    classes = [row[0] for row in _class_rows(found)][:_MAX_CURVES]
    geometry = {name: _geometry(found.rows, found.report.classes.index(name)) for name in classes}
    middles = np.sqrt(_SIDES[1:] * _SIDES[:-1]) * 100
    sizes = [
        Series(name, middles.tolist(), (np.histogram(values[:, 2], bins=_SIDES)[0] / len(values) * 100).tolist())
        for name, values in geometry.items()
        if len(values)
    ]
    places = [_thinned(name, values) for name, values in geometry.items() if len(values)]
    return [
        *draw_curves([Curve("Box sizes", "side of the box, % of the picture's", "% of the objects of a class", sizes)]),
        *draw_points([Curve("Box places", "middle of the box, % of the width", "% of the height, from below", places)]),
    ]


def _geometry(rows: Sequence[Row], class_id: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(N, 3): middle x, y and side as shares of the picture."""
    corners = [
        np.array(label.xyxy) / (row.width or 1, row.height or 1, row.width or 1, row.height or 1)
        for row in rows
        for label in row.labels
        if label.class_id == class_id
    ]
    xyxy = np.array(corners, dtype=np.float64).reshape(-1, 4)
    sides = np.sqrt((xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1).clip(0))
    return np.column_stack([(xyxy[:, 0] + xyxy[:, 2]) / 2, (xyxy[:, 1] + xyxy[:, 3]) / 2, sides])


def _thinned(name: str, values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Series:
    chosen = values[:: max(1, len(values) * _MAX_CURVES // _MAX_POINTS)] * 100
    return Series(name, chosen[:, 0].round(1).tolist(), (100 - chosen[:, 1]).round(1).tolist())
