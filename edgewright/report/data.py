"""What the report shows, as plain data. Decides nothing; `page.py` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edgewright.detect.evaluate import Evaluation
from edgewright.detect.mistakes import Mistakes
from edgewright.gates.verdict import Verdict
from edgewright.report.understood import Understood
from edgewright.runtime.boxes import Boxes, Image


@dataclass(frozen=True)
class Picture:
    """An image with the boxes to draw on it, in px of that image."""

    image: Image
    boxes: Boxes
    caption: str = ""


@dataclass(frozen=True)
class Series:
    """One line; `low` and `high` are the ends of an interval at each of its points, where it has any."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Curve:
    """A chart of lines over one axis, before anybody has drawn it."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]


@dataclass(frozen=True)
class ModelFigures:
    """One column of the float-against-INT8 table. None: not measured. `evaluation`: everything that is known of it."""

    precision: str
    bytes: int
    map50: float | None
    map50_95: float | None
    p50_ms: float | None = None
    p99_ms: float | None = None
    map50_by_class: dict[str, float] = field(default_factory=dict)
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class TierFigures:
    """The INT8 file of one tier of devices. None: not measured.

    Attributes:
        p50_ms, p99_ms: of a frame where the gate measured. device_p50_ms: on a device of the tier.
        outcome: what its gate said.
    """

    tier: str
    input_px: int
    bytes: int
    map50: float | None
    map50_95: float | None
    p50_ms: float | None
    p99_ms: float | None
    device_p50_ms: float | None
    outcome: str


@dataclass(frozen=True)
class FormFigures:
    """An INT8 file in one form in which some processor computes it. None: not measured.

    Attributes:
        decides: whether the gate asks it to hold there.
    """

    file: str
    form: str
    bytes: int
    map50: float | None
    map50_95: float | None
    decides: bool


@dataclass(frozen=True)
class Harm:
    """What INT8 does to one file. `rows`: the worst convolutions: name, error with it alone in INT8, how it is kept."""

    file: str
    drop: float
    rows: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class StageFigures:
    name: str
    pool: str
    ran_on: str
    seconds: float
    cached: bool


@dataclass(frozen=True)
class MistakesShown:
    """What INT8 gets wrong on the test photographs, with close-ups of the worst."""

    mistakes: Mistakes
    misses: Sequence[Picture] = ()
    false_alarms: Sequence[Picture] = ()


@dataclass(frozen=True)
class ReportData:
    """Everything on the page; an empty sequence or None leaves its section out.

    Attributes:
        headline: the first line: what came out, and first of all what was refused.
        counts: facts about the data set, in order (label, value).
        harm: what INT8 does to each file.
        start: what the detector's training began with.
        sparsity: what was taken from it afterwards: name, before, after.
        near_pairs: synthetic pictures beside the training photographs that they are nearest to, nearest first.
        quarantined: (image, reason).
        next_steps: what to do now, one sentence each.
        understood: how ingest read the source.
        tiers: of each tier its INT8 file, the best first; none where there is one tier.
        leak_pairs: photographs that the source has on two sides of its split, each beside its twin.
    """

    project: str
    run_id: str
    created_at: str
    headline: str
    simulated: bool
    classes: tuple[str, ...]
    counts: Sequence[tuple[str, str]] = ()
    real: Sequence[Picture] = ()
    synthetic: Sequence[Picture] = ()
    rejected: Sequence[Picture] = ()
    near_pairs: Sequence[Picture] = ()
    quarantined: Sequence[tuple[str, str]] = ()
    understood: Understood | None = None
    leak_pairs: Sequence[Picture] = ()
    verdicts: Sequence[Verdict] = ()
    curves: Sequence[Curve] = ()
    models: Sequence[ModelFigures] = ()
    start: str = ""
    sparsity: Sequence[tuple[str, str, str]] = ()
    files: Sequence[FormFigures] = ()
    harm: Sequence[Harm] = ()
    stages: Sequence[StageFigures] = ()
    device: Sequence[tuple[str, str]] = ()
    device_pictures: Sequence[Picture] = ()
    links: Sequence[tuple[str, str]] = ()
    recipe_yaml: str = ""
    mistakes: MistakesShown | None = None
    next_steps: Sequence[str] = ()
    tiers: Sequence[TierFigures] = ()
