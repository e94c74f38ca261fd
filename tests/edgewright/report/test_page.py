"""The page: escaped, self-contained, well-formed, honest about what was refused and what is simulated."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from edgewright.data.findings import Finding
from edgewright.gates.verdict import Outcome, Verdict, combine, compare
from edgewright.report.data import (
    Curve,
    FormFigures,
    ModelFigures,
    Picture,
    ReportData,
    Series,
    StageFigures,
    TierFigures,
)
from edgewright.report.page import MAX_BYTES, MAX_QUARANTINE_ROWS, render
from edgewright.report.pictures import beside
from edgewright.report.shell import render_page
from edgewright.report.tables import harm_of, sparsity_rows
from edgewright.report.understood import Understood
from edgewright.runtime.boxes import Boxes

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>&amp;{{}}"""
VOID = {"meta", "img", "wbr"}


class Document(HTMLParser):
    """Every element with its attributes; raises on an element that is closed twice or never."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: ReportData) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == name]


def picture(caption: str = "a.jpg", wh: tuple[int, int] = (64, 48), seed: int = 0) -> Picture:
    noise = np.random.default_rng(seed).integers(0, 255, (wh[1], wh[0], 3), dtype=np.uint8)
    return Picture(noise, Boxes.of([[4, 4, 40, 30], [60, 40, 90, 70]], class_id=[0, 1], score=[1, 0.5]), caption)


def verdict(outcome: Outcome) -> Verdict:
    value = {Outcome.PASS: 0.95, Outcome.REFUSE: 0.2, Outcome.NOT_EVALUABLE: None}[outcome]
    checks = (compare("coverage <ratio>", value, at_least=0.85, n=40, set_at="gate_data.min_coverage_ratio"),)
    return Verdict("gate_data", combine(checks), checks, "What was found.", "real_only", "ada", "looked at it")


FULL = ReportData(
    project="demo",
    run_id="run-1",
    created_at="2026-03-01 10:15 UTC",
    headline="Synthetic data was refused. A detector runs.",
    simulated=True,
    classes=("nut", "screw"),
    counts=[("Photographs", "260")],
    real=[picture()] * 3,
    synthetic=[picture()] * 20,
    rejected=[picture("too blurred")],
    quarantined=[("b.jpg", "zero-area box")],
    verdicts=[
        Verdict("gate_model", Outcome.PASS, (), "Fits.", "release"),
        verdict(Outcome.REFUSE),
    ],
    curves=[Curve("Training", "epoch", "mAP", [Series("a", [1, 2, 3], [0, 0.5, 0.7]), Series("b", [1, 2], [0, 1])])],
    models=[
        ModelFigures("Float", 6_100_000, 0.82, 0.5, 9.0, 11.0, {"nut": 0.9, "screw": 0.7}),
        ModelFigures("INT8", 1_823_456, 0.81, 0.49, 4.5, 6.0, {"nut": 0.9, "screw": 0.69}),
    ],
    stages=[
        StageFigures("train_detector", "gpu", "inline, cpu", 187.0, False),
        StageFigures("ingest", "cpu", "", 9, True),
    ],
    device=[("self-test", "verified"), ("Slot", "a")],
    device_pictures=[picture("frame")] * 5,
    links=[("MLflow run", "http://127.0.0.1:5000/#/runs/1"), ("Odd", "javascript:alert(1)")],
    recipe_yaml="seed: 0\n",
)
PAIRS = [replace(picture(f"0.{number}: a.png, b.jpg"), boxes=Boxes.empty()) for number in range(30)]
BARE = ReportData("p", "r", "t", "Nothing was made.", simulated=False, classes=())


@pytest.mark.parametrize("data", [FULL, BARE], ids=["full", "bare"])
def test_one_document_that_asks_for_nothing(data: ReportData) -> None:
    html = render(data)
    document = Document(html)
    assert len(document.all("h1")) == 1
    assert document.all("html") == [{"lang": "en"}]
    assert document.all("script") == document.all("link") == document.all("iframe") == []
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in document.all("img"))
    assert not re.search(r"url\(|@import", html)


def test_what_int8_harms_and_what_was_taken_stand_there() -> None:
    layers = [{"names": ["/head <1>", "/head <2>"], "error": 0.051, "in_float": True}] + [
        {"names": [f"/layer {number}"], "error": 0.01, "in_float": number == 9} for number in range(10)
    ]
    facts = {"searched": {"model.onnx": {"drop": 0.0041, "met": True, "layers": layers}}}
    sparsity = {
        **dict.fromkeys(("parameters_before", "multiplications_before"), 2_000_000),
        **dict.fromkeys(("parameters_after", "multiplications_after"), 1_234_567),
        "zeros": 0.25,
        "stored_bytes": 4_000_000,
        "compressed_bytes": 3_000_000,
        "map50_before": 0.8,
        "map50": 0.79,
        "map50_95_before": 0.5,
        "map50_95": None,
    }
    harm = harm_of(facts, n=3)
    assert [name for name, _, _ in harm[0].rows] == ["/head <1> and 1 more", "/layer 0", "/layer 1", "/layer 9"]
    files = [FormFigures("model.onnx", "as written", 1_800_000, 0.6, 0.4, decides=True)]
    text = " ".join(Document(render(replace(FULL, files=files, harm=harm, sparsity=sparsity_rows(sparsity)))).text)
    assert "0.004 lost on val by model.onnx" in text
    assert re.search(r"/head <1> and 1 more\s+5.10%\s+float", text)
    assert re.search(r"Weights\s+2,000,000\s+1,234,567", text)
    assert re.search(r"val mAP50–95\s+0.5\s+–", text)
    assert "3.00 MB of 4.00 MB" in text
    assert harm_of({"searched": None}, n=3) == harm_of({}, n=3) == []


def test_each_int8_file_stands_there_in_each_form() -> None:
    forms = [
        FormFigures("model.onnx", "with saturation", 1_800_000, 0.412, 0.278, decides=False),
        FormFigures("model-safe.onnx", "with saturation", 1_900_000, 0.59, None, decides=True),
    ]
    html = render(replace(FULL, files=forms))
    assert "Each file, on each kind of processor" not in render(FULL)
    for cell in (
        "model.onnx, with saturation",
        "1,800,000",
        "0.412",
        "0.278",
        "model-safe.onnx, with saturation",
        "0.590",
    ):
        assert cell in html


def test_headings_never_skip_a_level() -> None:
    levels = [int(name[1]) for name, _ in Document(render(FULL)).elements if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_picture_says_in_words_what_it_shows() -> None:
    images = Document(render(FULL)).all("img")
    assert len(images) == 3 + 8 + 1 + 5
    assert {"a.jpg: 1 nut, 1 screw", "too blurred: 1 nut, 1 screw"} <= {image["alt"] for image in images}


def test_an_empty_section_is_left_out() -> None:
    text = " ".join(Document(render(BARE)).text)
    for title in ("Pictures", "Verdicts", "Curves", "Float and INT8", "Device", "Recipe", "Quarantined"):
        assert title not in text


def test_the_data_gate_shows_its_thresholds_with_their_sources() -> None:
    from edgewright.gates.thresholds import THRESHOLDS

    document = Document(render(FULL))
    text = "".join(document.text)
    assert all(each.source in text for each in THRESHOLDS)
    row = "min coverage ratio" + "0.85" + "0.85"  # this run's and the default
    assert row in text.replace("\n", "")
    assert "Thresholds and their sources" not in "".join(
        Document(render(replace(FULL, verdicts=FULL.verdicts[:1]))).text
    )


def test_the_pictures_nearest_to_training_photographs_are_shown() -> None:
    html = render(replace(FULL, near_pairs=PAIRS, synthetic=[], real=[], rejected=[], device_pictures=[]))
    assert [image["alt"] for image in Document(html).all("img")] == [f"{pair.caption}: no boxes" for pair in PAIRS[:20]]
    assert len(html.encode()) < MAX_BYTES
    both = beside(np.zeros((40, 60, 3), np.uint8), np.full((80, 80, 3), 9, np.uint8), height_px=20)
    assert both.shape == (20, 30 + 4 + 20, 3)
    assert (both[:, :30].max(), both[0, 31, 0], both[:, -20:].min()) == (0, 255, 9)


def test_what_ingest_understood_stands_on_the_page() -> None:
    told = Understood(
        facts=(("labels", "voc, in annots/"), ("split by", "the source: data.yaml")),
        left_out=(Finding("labels left out: a label file without an image", 163, HOSTILE, "share a name"),),
        findings=(Finding("pictures of train that also stand in test", 2, "a.jpg = b.jpg"),),
        warnings=("test is empty",),
    )
    data = replace(FULL, understood=told, leak_pairs=[picture("train and test: a.jpg, b.jpg")] * 20)
    document = Document(render(data))
    text = " ".join(" ".join(document.text).split())
    assert "163 labels left out: a label file without an image, e.g. " + " ".join(HOSTILE.split()) in text
    for sentence in ("voc, in annots/", "2 pictures of train that also stand in test", "share a name", "test is empty"):
        assert sentence in text
    assert text.count("train and test: a.jpg, b.jpg") == 8
    assert "<script" not in render(data)


def test_what_was_refused_comes_first() -> None:
    html = render(FULL)
    body = html[html.index("<body") :]
    assert body.index("✕") < body.index("✓")
    assert body.index("refused") < body.index("INT8 mAP50")
    assert body.index("Data gate", body.index("Verdicts")) < body.index("Model gate", body.index("Verdicts"))


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.PASS, ("✓", " pass", "0.95", "≥ 0.85")),
        (Outcome.REFUSE, ("✕", " refused", "0.2", "≥ 0.85")),
        (Outcome.NOT_EVALUABLE, ("?", " not evaluable", "–", "≥ 0.85")),
    ],
)
def test_a_verdict_shows_number_threshold_place_and_outcome_in_words(outcome: Outcome, words: tuple[str, ...]) -> None:
    text = "".join(Document(render(replace(BARE, verdicts=[verdict(outcome)]))).text)
    for word in (*words, "gate_data.min_coverage_ratio", "40", "real only", "Decided by ada: looked at it"):
        assert word in text


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_is_said_where_and_only_where_it_is(simulated: bool) -> None:
    text = "".join(Document(render(replace(FULL, simulated=simulated))).text)
    assert text.count("imulated") >= 5 if simulated else "imulated" not in text


def test_the_table_of_models() -> None:
    text = "".join(Document(render(FULL)).text)
    for word in ("1,823,456", "1.82 MB", "0.810", "−0.010", "3.3× less", "2.0× less", "0.690", "0.000"):
        assert word in text


def test_only_addresses_become_links() -> None:
    document = Document(render(FULL))
    assert [link["href"] for link in document.all("a")] == ["http://127.0.0.1:5000/#/runs/1"]
    assert "javascript:alert(1)" in "".join(document.text)


def test_hostile_text_stays_text() -> None:
    data = replace(
        FULL,
        project=HOSTILE,
        run_id=HOSTILE,
        created_at=HOSTILE,
        headline=HOSTILE,
        classes=(HOSTILE, HOSTILE),
        counts=[(HOSTILE, HOSTILE)],
        real=[picture(HOSTILE)],
        quarantined=[(HOSTILE, HOSTILE)],
        verdicts=[replace(verdict(Outcome.PASS), gate=HOSTILE, sentence=HOSTILE, decision=HOSTILE, why=HOSTILE)],
        curves=[Curve(HOSTILE, HOSTILE, HOSTILE, [Series(HOSTILE, [1, 2], [1, 2]), Series(HOSTILE, [1, 2], [2, 1])])],
        models=[replace(FULL.models[0], precision=HOSTILE, map50_by_class={HOSTILE: 0.1})],
        stages=[StageFigures(HOSTILE, HOSTILE, HOSTILE, 1, False)],
        device=[(HOSTILE, HOSTILE)],
        device_pictures=[picture(HOSTILE)],
        links=[(HOSTILE, "http://x/" + HOSTILE)],
        recipe_yaml=HOSTILE,
    )
    document = Document(render(data))
    assert document.all("script") == []
    assert all(set(image) == {"src", "alt", "width", "height"} for image in document.all("img"))
    assert not any(name.startswith("on") for _, attributes in document.elements for name in attributes)


@given(st.text())
@settings(max_examples=60)
def test_text_survives_escaping(text: str) -> None:
    """As an element's content and as an attribute's."""
    html = render(replace(BARE, headline=text, real=[replace(PAIRS[0], caption=text)]))
    [content] = re.findall(r"<h1>(.*?)</h1>", html, re.DOTALL)
    attributes = re.findall(r' alt="([^"]*)"', html)  # in the first row and in its grid
    words = f"{text}: no boxes" if text else "no boxes"
    assert [unescape(one) for one in (content, *attributes)] == [text, words, words]


def test_a_name_that_nobody_gave_is_no_gap_in_the_page() -> None:
    with pytest.raises(UndefinedError):
        render_page("experiment.html", project="p")


def test_every_value_in_an_attribute_is_quoted() -> None:
    """Escaping keeps a quote from ending an attribute; without quotes a space would."""
    for template in files("edgewright.report").joinpath("templates").iterdir():
        assert not re.search(r"=\s*\{\{", template.read_text()), template.name


def test_noisy_pictures_keep_the_page_small() -> None:
    large = [picture(wh=(800, 600), seed=seed) for seed in range(3)] * 8
    data = replace(
        FULL,
        real=large,
        synthetic=large,
        rejected=large,
        near_pairs=large,
        device_pictures=large,
        quarantined=[("n", "w" * 90)] * 9999,
    )
    html = render(data)
    assert len(html.encode()) < MAX_BYTES
    assert html.count('<td class="code">n</td>') == MAX_QUARANTINE_ROWS
    assert f"and {9999 - MAX_QUARANTINE_ROWS} more" in html


def test_numbers_that_are_none_or_not_finite_are_dashes_or_gone() -> None:
    data = replace(
        BARE,
        models=[ModelFigures("Float", 10, None, None), ModelFigures("INT8", 0, None, 0.1)],
        curves=[Curve("c", "x", "y", [Series("s", [1, 2], [math.nan, math.inf])])],
    )
    html = render(data)
    assert "nan" not in "".join(Document(html).text).lower()
    assert "Curves" not in html
    assert "–" in html


def test_each_tier_stands_with_its_size_accuracy_latency_and_gate() -> None:
    tiers = [
        TierFigures("full", 320, 1_823_456, 0.9, 0.6, 20.0, 25.0, 21.5, "pass"),
        TierFigures("basic", 160, 420_000, 0.75, None, 6.0, 7.25, None, "refuse"),
    ]
    text = " ".join(Document(render(replace(FULL, tiers=tiers))).text)
    shown = " ".join(text.split())
    assert "full, 320 px 1.82 MB 0.900 0.600 20.0 25.0 21.5 pass" in shown
    assert "basic, 160 px 420.0 kB 0.750 – 6.0 7.2 – refused" in shown
    judged = replace(FULL, verdicts=[replace(verdict(Outcome.REFUSE), gate="gate_model@basic")])
    assert "Model gate, basic" in render(judged)
    assert "p50 ms on a device" not in render(FULL)
