"""What the page says, without how it looks: a line a block, in the order of reading."""

from __future__ import annotations

from html.parser import HTMLParser

from edgewright.detect.mistakes import Mistakes
from edgewright.gates.verdict import Verdict, combine, compare
from edgewright.report.advice import Outcomes, next_steps
from edgewright.report.data import MistakesShown, ModelFigures, ReportData, StageFigures
from edgewright.report.page import render
from tests.goldens import Golden

SPACES = {"span": " "} | dict.fromkeys(("a", "b", "code", "em", "i", "small", "strong", "wbr", "abbr", "time"), "")
"""What an element inside a line puts around itself; any other begins a line."""
UNSAID = {"style", "script", "svg"}


class Said(HTMLParser):
    """The lines of a document; white space counts as in a browser."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._pieces: list[str] = []
        self._unsaid = 0
        self.feed(html)
        self.close()

    @property
    def lines(self) -> list[str]:
        joined = "".join(self._pieces).split("\0")
        return [line for line in (" ".join(words.split()) for words in joined) if line]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unsaid += tag in UNSAID
        self._pieces.append(SPACES.get(tag, "\0"))

    def handle_endtag(self, tag: str) -> None:
        self._unsaid -= tag in UNSAID
        self._pieces.append(SPACES.get(tag, "\0"))

    def handle_data(self, data: str) -> None:
        self._pieces += [] if self._unsaid else [data]


MISTAKES = Mistakes(
    ("bolt", "nut"), 0.25, ((40, 1, 4), (6, 20, 2), (3, 1, 0)), (), (), n_missed=6, n_missed_small=5, n_false=4
)


def a_run() -> ReportData:
    coverage = compare(
        "coverage ratio", 0.62, at_least=0.85, low=0.55, high=0.7, n=40, set_at="gate_data.min_coverage_ratio"
    )
    size = compare("bytes", 1_823_456, at_most=2_000_000, n=1, set_at="gate_model.max_bytes")
    return ReportData(
        project="bolts",
        run_id="20260301-101500-abcd",
        created_at="2026-03-01 10:15 UTC",
        headline="Synthetic data was refused; a detector of photographs alone runs on the device.",
        simulated=True,
        classes=("bolt", "nut"),
        counts=[("Photographs", "260"), ("Labels", "1,204")],
        quarantined=[("b.jpg", "zero-area box")],
        verdicts=[
            Verdict("gate_model", combine([size]), (size,), "Fits the device.", "release"),
            Verdict("gate_data", combine([coverage]), (coverage,), coverage.sentence, "real_only", "ada", "I looked."),
        ],
        models=[
            ModelFigures("Float", 6_100_000, 0.82, 0.5, 9.0, 11.0, {"bolt": 0.9, "nut": 0.74}),
            ModelFigures("INT8", 1_823_456, 0.81, 0.49, 4.5, 6.0, {"bolt": 0.9, "nut": 0.72}),
        ],
        stages=[
            StageFigures("ingest", "cpu", "", 9, True),
            StageFigures("train_detector", "gpu", "inline, cpu", 187.0, False),
        ],
        device=[("self-test", "verified"), ("Slot", "a")],
        links=[("MLflow run", "http://127.0.0.1:5000/#/runs/1"), ("Odd", "javascript:alert(1)")],
        recipe_yaml="seed: 0\n",
        mistakes=MistakesShown(MISTAKES),
        next_steps=next_steps(Outcomes(mistakes=MISTAKES, image_px=192)),
    )


def test_what_the_page_says(golden: Golden) -> None:
    golden("page.txt", "".join(f"{line}\n" for line in Said(render(a_run())).lines))
