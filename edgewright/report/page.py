"""The page that a run ends with: one file, no script, no request to anywhere.

Decides what of the data is shown and how it is named; the order stands in `templates/run.html`: what was refused, what
came out, float against INT8 and what it gets wrong, pictures, verdicts, curves, the device, the run, what to do next.
Refuses nothing; whatever is missing is left out. Every text is escaped.

    html = render(data)
    Path("report.html").write_text(html, encoding="utf-8")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.gates.verdict import Outcome, Verdict
from edgewright.report.charts import draw_curves
from edgewright.report.data import ModelFigures, Picture, ReportData
from edgewright.report.mistakes import confusion_head, confusion_rows
from edgewright.report.pictures import Gallery
from edgewright.report.quality import quality_rows, reliability_curve
from edgewright.report.shell import render_page
from edgewright.report.tables import form_rows, format_bytes, model_rows, tier_rows

MAX_BYTES = 3_000_000
MAX_QUARANTINE_ROWS = 200
_PICTURE_BYTES, _PAIR_BYTES = 2_100_000, 300_000
_LEAK_BYTES = 200_000
_HERO_PICTURES, _GRID_PICTURES, _PAIRS, _LEAK_PAIRS = 3, 8, 20, 8
_WORST_FIRST = (Outcome.REFUSE, Outcome.NOT_EVALUABLE, Outcome.PASS)


@dataclass(frozen=True)
class Grid:
    """Pictures of one kind; `rest` of them are not shown."""

    title: str
    note: str
    shown: Sequence[Picture]
    rest: int


def render(data: ReportData) -> str:
    """The whole page as HTML, under MAX_BYTES."""
    pairs = data.near_pairs[:_PAIRS]
    return render_page(
        "run.html",
        data=data,
        gallery=Gallery(data.classes, _PICTURE_BYTES, _count_pictures(data)),
        hero=(data.device_pictures or data.real)[:_HERO_PICTURES],
        device_rest=data.device_pictures[_HERO_PICTURES : _HERO_PICTURES + _GRID_PICTURES],
        grids=_grids(data),
        pairs=pairs,
        pair_gallery=Gallery(data.classes, _PAIR_BYTES, len(pairs)),
        leak_pairs=data.leak_pairs[:_LEAK_PAIRS],
        leak_gallery=Gallery(data.classes, _LEAK_BYTES, min(len(data.leak_pairs), _LEAK_PAIRS)),
        gates=sorted(data.verdicts, key=_badness),
        refused=any(verdict.outcome is not Outcome.PASS for verdict in data.verdicts),
        figures=_big_figures(data),
        model_rows=model_rows(data.models, classes=data.classes),
        quality_rows=quality_rows(data.models),
        reliability=draw_curves([curve]) if (curve := reliability_curve(data.models)) else (),
        form_rows=form_rows(data.files),
        tier_rows=tier_rows(data.tiers),
        confusion_head=confusion_head(data.mistakes.mistakes) if data.mistakes else (),
        confusion_rows=confusion_rows(data.mistakes.mistakes) if data.mistakes else (),
        curves=draw_curves(data.curves),
        quarantined=data.quarantined[:MAX_QUARANTINE_ROWS],
        seconds_together=sum(stage.seconds for stage in data.stages if not stage.cached),
    )


def _badness(verdict: Verdict) -> int:
    return _WORST_FIRST.index(verdict.outcome)


def _big_figures(data: ReportData) -> list[tuple[str, str, str]]:
    """What a reader takes away: accuracy, size, speed, and whether it runs on a device; (name, value, note)."""
    figures = _model_figures(data.models[-1], data.models) if data.models else []
    if data.device:
        label, value = data.device[0]
        figures.append(("On the device", value, label))
    return figures


def _model_figures(model: ModelFigures, models: Sequence[ModelFigures]) -> list[tuple[str, str, str]]:
    before = models[0] if len(models) > 1 else None
    figures = []
    if model.map50 is not None:
        note = f"float {before.map50:.3f}" if before and before.map50 is not None else "on the test pictures"
        figures.append((f"{model.precision} mAP50", f"{model.map50:.3f}", note))
    note = f"float {format_bytes(before.bytes)}" if before else "the file that the device loads"
    figures.append((f"{model.precision} file", format_bytes(model.bytes), note))
    if model.p50_ms is not None:
        note = f"99 % within {model.p99_ms:.1f} ms" if model.p99_ms is not None else "median"
        figures.append(("Median latency", f"{model.p50_ms:.1f} ms", note))
    return figures


def _grids(data: ReportData) -> list[Grid]:
    made = "simulated photographs" if data.simulated else "photographs"
    note = "Taken by the simulated camera; the boxes are its exact truth." if data.simulated else "With their labels."
    kinds = (
        (made.capitalize(), note, data.real),
        ("Synthetic", f"Made from the {made} of the training split; labels by construction.", data.synthetic),
        ("Rejected", "Made, and kept away from training.", data.rejected),
    )
    return [
        Grid(title, note, pictures[:_GRID_PICTURES], max(0, len(pictures) - _GRID_PICTURES))
        for title, note, pictures in kinds
        if pictures
    ]


def _count_pictures(data: ReportData) -> int:
    """How many pictures the page shows, which share its bytes."""
    hero = 0 if data.device_pictures else min(len(data.real), _HERO_PICTURES)
    grids = sum(min(len(pictures), _GRID_PICTURES) for pictures in (data.real, data.synthetic, data.rejected))
    mistakes = len(data.mistakes.misses) + len(data.mistakes.false_alarms) if data.mistakes else 0
    return hero + grids + mistakes + min(len(data.device_pictures), _HERO_PICTURES + _GRID_PICTURES)
