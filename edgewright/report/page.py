"""The page that a run ends with: one file, no script, no request to anywhere.

Decides the order: what was refused, what came out, pictures, verdicts with their numbers, curves, the table of float
against INT8, the device, the run. Refuses nothing; whatever is missing is left out. Every text is escaped.

    html = render(data)
    Path("report.html").write_text(html, encoding="utf-8")
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from edgewright.gates.verdict import Outcome, Verdict
from edgewright.report.data import Curve, ModelFigures, Picture, ReportData
from edgewright.report.markup import Child, Markup, join, raw, tag
from edgewright.report.pictures import Gallery
from edgewright.report.svg import draw_curve, draw_swatch
from edgewright.report.tables import (
    badge,
    checks_table,
    facts_list,
    format_bytes,
    models_table,
    quarantine_table,
    stages_table,
    thresholds_table,
)

MAX_BYTES = 3_000_000
_PICTURE_BYTES, _PAIR_BYTES = 2_100_000, 300_000
_HERO_PICTURES, _GRID_PICTURES, _PAIRS = 3, 8, 20
_OPEN_IN_BROWSER = ("http://", "https://", "file://")
_GATE_NAMES = {"gate_data": "Data gate", "gate_model": "Model gate"}
_WORST_FIRST = (Outcome.REFUSE, Outcome.NOT_EVALUABLE, Outcome.PASS)


def render(data: ReportData) -> str:
    """The whole page as HTML, under MAX_BYTES."""
    gallery = Gallery(data.classes, _PICTURE_BYTES, _count_pictures(data))
    sections = (
        _pictures(data, gallery),
        _verdicts(data),
        _models(data.models, data.classes),
        _curves(data.curves),
        _device(data, gallery),
        _run(data),
    )
    title = f"{data.project}: edgewright report"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", raw(files("edgewright.report").joinpath("page.css").read_text(encoding="utf-8"))),
    )
    body = tag("body", _header(data), tag("main", _hero(data, gallery), sections), _footer(data))
    return raw("<!doctype html>\n") + tag("html", head, body, lang="en")


def _header(data: ReportData) -> Markup:
    origin = tag("span", "simulated camera", class_="simulated") if data.simulated else None
    line = (tag("b", "edgewright"), tag("span", data.project), tag("span", data.created_at), origin)
    refused = any(verdict.outcome is not Outcome.PASS for verdict in data.verdicts)
    outcomes = [tag("li", badge(verdict.outcome), " ", _gate_name(verdict)) for verdict in _worst_first(data.verdicts)]
    return tag(
        "header",
        tag("p", line, class_="over"),
        tag("h1", data.headline),
        tag("ul", outcomes, class_="outcomes", aria_label="Gates") if outcomes else None,
        _big_figures(data),
        class_="refused" if refused else None,
    )


def _big_figures(data: ReportData) -> Markup | None:
    """What a reader takes away: accuracy, size, speed, and whether it runs on a device."""
    figures = _model_figures(data.models[-1], data.models) if data.models else []
    if data.device:
        label, value = data.device[0]
        figures.append(("On the device", value, label))
    items = [
        tag("div", tag("dt", name), tag("dd", value), tag("dd", note, class_="note")) for name, value, note in figures
    ]
    return tag("dl", items, class_="figures") if items else None


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


def _hero(data: ReportData, gallery: Gallery) -> Markup | None:
    """The first pictures: what the device saw, or else what there was to learn from."""
    pictures = data.device_pictures or data.real
    if not pictures:
        return None
    what = "What the device detected" if data.device_pictures else "Labeled photographs"
    where = " on frames of the simulated camera" if data.simulated else ""
    return tag(
        "section",
        tag("h2", f"{what}{where}", class_="quiet"),
        tag("div", [gallery.figure(picture, labeled=True) for picture in pictures[:_HERO_PICTURES]], class_="hero"),
        gallery.legend(),
        class_="wide",
    )


def _pictures(data: ReportData, gallery: Gallery) -> Markup | None:
    real = "Simulated photographs" if data.simulated else "Photographs"
    real_note = (
        "Taken by the simulated camera; the boxes are its exact truth." if data.simulated else "With their labels."
    )
    made = "simulated photographs" if data.simulated else "photographs"
    grids = (
        (real, real_note, data.real),
        ("Synthetic", f"Made from the {made} of the training split; labels by construction.", data.synthetic),
        ("Rejected", "Made, and kept away from training.", data.rejected),
    )
    shown = [_grid(title, note, pictures, gallery) for title, note, pictures in grids if pictures]
    if not shown and not data.counts:
        return None
    return _section("Pictures", "What the detector could learn from.", facts_list(data.counts), shown)


def _grid(title: str, note: str, pictures: Sequence[Picture], gallery: Gallery) -> Markup:
    shown = [gallery.figure(picture, labeled=False) for picture in pictures[:_GRID_PICTURES]]
    extra = f" {len(shown)} of {len(pictures)} shown." if len(pictures) > len(shown) else ""
    return join(tag("h3", title), tag("p", note + extra, class_="note"), tag("div", shown, class_="grid"))


def _verdicts(data: ReportData) -> Markup | None:
    if not data.verdicts:
        return None
    note = "A gate passes only where every deciding check passes. No option lets through what it refused."
    articles = [_verdict(verdict, data) for verdict in _worst_first(data.verdicts)]
    return _section("Verdicts", note, articles)


def _data_details(verdict: Verdict, data: ReportData) -> Markup:
    """Behind the data gate's table: where its thresholds come from, and what it found most like a copy."""
    summary = tag("summary", "Thresholds and their sources")
    return join(tag("details", summary, thresholds_table(verdict.checks)), _near_pairs(data))


def _near_pairs(data: ReportData) -> Markup | None:
    pairs = data.near_pairs[:_PAIRS]
    if not pairs:
        return None
    gallery = Gallery(data.classes, _PAIR_BYTES, len(pairs))
    note = (
        "Synthetic on the left, its nearest training photograph on the right. 1: as far apart as a held-out "
        "photograph and its own nearest one; 0: the same picture."
    )
    shown = [gallery.figure(picture, labeled=False) for picture in pairs]
    summary = tag("summary", f"The {len(pairs)} pictures nearest to a training photograph")
    return tag("details", summary, tag("p", note, class_="note"), tag("div", shown, class_="grid"))


def _verdict(verdict: Verdict, data: ReportData) -> Markup:
    name = _gate_name(verdict)
    decided = f"Decided by {verdict.decided_by}: {verdict.why}" if verdict.decided_by else None
    return tag(
        "article",
        tag("h3", name, " ", badge(verdict.outcome)),
        tag("p", verdict.sentence),
        tag("p", verdict.beside, class_="note") if verdict.beside else None,
        tag("p", "Decision: ", tag("b", verdict.decision.replace("_", " ")), class_="note")
        if verdict.decision
        else None,
        tag("p", decided, class_="note") if decided else None,
        checks_table(verdict.checks, title=f"{name}: checks") if verdict.checks else None,
        _data_details(verdict, data) if verdict.gate == "gate_data" else None,
        class_=f"verdict {verdict.outcome.value}",
    )


def _models(models: Sequence[ModelFigures], classes: Sequence[str]) -> Markup | None:
    if not models:
        return None
    return _section("Float and INT8", "One evaluator, the same test pictures.", models_table(models, classes=classes))


def _curves(curves: Sequence[Curve]) -> Markup | None:
    drawn = [figure for figure in map(_curve, curves) if figure]
    return _section("Curves", None, tag("div", drawn, class_="curves")) if drawn else None


def _curve(curve: Curve) -> Markup | None:
    picture = draw_curve(curve)
    if not picture:
        return None
    names = [tag("li", draw_swatch(number), series.name) for number, series in enumerate(curve.series)]
    return tag(
        "figure",
        tag("h3", curve.title),
        tag("p", curve.y_label, class_="note"),
        picture,
        tag("ul", names, class_="legend") if len(names) > 1 else None,
    )


def _device(data: ReportData, gallery: Gallery) -> Markup | None:
    rest = data.device_pictures[_HERO_PICTURES : _HERO_PICTURES + _GRID_PICTURES]
    if not data.device and not rest:
        return None
    where = "Frames of the simulated camera that nothing was trained on." if data.simulated else "Frames of its feed."
    pictures = tag("div", [gallery.figure(picture, labeled=False) for picture in rest], class_="grid") if rest else None
    return _section("Device", where if data.device_pictures else None, facts_list(data.device), pictures)


def _run(data: ReportData) -> Markup | None:
    quarantined = (tag("h3", "Quarantined"), quarantine_table(data.quarantined)) if data.quarantined else None
    recipe = (
        tag("details", tag("summary", "Recipe"), tag("pre", data.recipe_yaml, tabindex=0)) if data.recipe_yaml else None
    )
    links = (
        tag("ul", [tag("li", _link(label, url)) for label, url in data.links], class_="links") if data.links else None
    )
    stages = stages_table(data.stages) if data.stages else None
    if not (stages or quarantined or recipe or links):
        return None
    return _section("Run", f"Run {data.run_id}", stages, links, quarantined, recipe)


def _footer(data: ReportData) -> Markup:
    simulated = " Its photographs and its feed come from the simulated camera." if data.simulated else ""
    return tag("footer", tag("p", f"edgewright, run {data.run_id}, {data.created_at}.{simulated}"))


def _section(title: str, note: str | None, *content: Child) -> Markup:
    """A margin with the section's name, and its content beside it."""
    margin = tag("div", tag("h2", title), tag("p", note, class_="note") if note else None, class_="margin")
    return tag("section", margin, tag("div", *content, class_="content"))


def _link(label: str, url: str) -> Markup:
    """A link where the address is one; text where it might be a script."""
    if url.startswith(_OPEN_IN_BROWSER):
        return tag("a", label, href=url, rel="noreferrer")
    return join(label, ": ", tag("code", url))


def _gate_name(verdict: Verdict) -> str:
    return _GATE_NAMES.get(verdict.gate, verdict.gate)


def _worst_first(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return sorted(verdicts, key=lambda verdict: _WORST_FIRST.index(verdict.outcome))


def _count_pictures(data: ReportData) -> int:
    """How many pictures the page shows, which share its bytes."""
    hero = 0 if data.device_pictures else min(len(data.real), _HERO_PICTURES)
    grids = sum(min(len(pictures), _GRID_PICTURES) for pictures in (data.real, data.synthetic, data.rejected))
    return hero + grids + min(len(data.device_pictures), _HERO_PICTURES + _GRID_PICTURES)
