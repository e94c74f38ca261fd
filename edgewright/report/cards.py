"""What an artifact has to show for itself, as markdown with its pictures in it: for pages that show markdown alone.

Decides which kinds have something to show, under a key that stays the same from run to run: the synthetic pictures, the
gate's report, the model's card, the release. Reads what the artifact and its inputs hold; computes no figure itself.

    card = card_of(store.open(ref))         # None for a kind that shows nothing
    card.key, card.title, card.markdown
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewright.artifacts import Artifact, ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Row, spread
from edgewright.device.offer import TIERS
from edgewright.gates.model_gate import MEASURED_FILE
from edgewright.gates.verdict import VERDICT_FILE, Check, Outcome, Verdict
from edgewright.report.figures import grid, picture_of
from edgewright.report.pictures import encode_jpeg
from edgewright.report.tables import MISSING, format_bytes
from edgewright.runtime.boxes import Image

_PICTURES, _COLUMNS, _CELL_PX = 12, 4, 176
_QUALITY = 80
_SIGNS = {Outcome.PASS: "✓", Outcome.REFUSE: "✕ refused", Outcome.NOT_EVALUABLE: "? not evaluable"}


@dataclass(frozen=True)
class Card:
    """Attributes: key: lower case and dashes, the same for every run."""

    key: str
    title: str
    markdown: str


def card_of(artifact: Artifact) -> Card | None:
    """Raises ArtifactCorrupt where a file of it cannot be read."""
    make = _CARDS.get(artifact.manifest.content.kind)
    return make(artifact) if make else None


def embedded(image: Image, *, about: str) -> str:
    """The picture itself as markdown, so that no server has to keep it."""
    payload = base64.b64encode(encode_jpeg(image, side_px=max(image.shape[:2]), quality=_QUALITY)).decode()
    return f"![{about}](data:image/jpeg;base64,{payload})"


def _pictures(artifact: Artifact) -> Card:
    dataset = Dataset.open(artifact.store, artifact.ref)
    rows = [row for row in dataset.usable if row.origin is Origin.SYNTHETIC]
    return Card("image-grid", "Synthetic pictures", _grid(dataset, rows))


def _grid(dataset: Dataset, rows: Sequence[Row]) -> str:
    if not rows:
        return "There are none."
    shown = [picture_of(dataset, row) for row in spread(rows, _PICTURES)]
    about = f"{len(shown)} of {len(rows)} synthetic pictures with their labels"
    return f"{about}\n\n{embedded(grid(shown, columns=_COLUMNS, cell_px=_CELL_PX), about=about)}"


def _gate_report(artifact: Artifact) -> Card:
    verdict = Verdict.from_json(artifact.json(VERDICT_FILE))
    pictures = Dataset.open(artifact.store, _input(artifact, "synthetic"))
    rows = [row for row in pictures.usable if row.origin is Origin.SYNTHETIC]
    return Card("gate-report", "Data gate", f"{_judged(verdict)}\n\n{_grid(pictures, rows)}")


def _model_card(artifact: Artifact) -> Card:
    verdict, measured = Verdict.from_json(artifact.json(VERDICT_FILE)), artifact.json(MEASURED_FILE)
    number, names = measured["int8"], ("map50", "map50_95")
    rows = [
        ("float", measured["float_bytes"], measured["float_torch"]),
        *((name, each["bytes"], each["forms"].get("as written", {})) for name, each in measured["files"].items()),
    ]
    table = _table(
        ("file", "bytes", "mAP50", "mAP50-95"),
        [(name, format_bytes(n), *(_number(found.get(field)) for field in names)) for name, n, found in rows],
    )
    classes = _table(
        ("class", "AP50", "AP50-95"),
        [(name, _number(value), _number(number["ap50_95"].get(name))) for name, value in number["ap50"].items()],
    )
    said = f"On {number['n_images']} real test photographs:"
    return Card("model-card", "Model", "\n\n".join([said, table, classes, _judged(verdict)]))


def _release(artifact: Artifact) -> Card:
    facts: Mapping[str, Any] = artifact.manifest.record.facts
    rows = [("version", facts["version"]), ("channel", facts["channel"]), ("digest", f"`{facts['digest']}`")]
    digests = facts.get("tiers", {})
    rows += [(f"digest for {tier}", f"`{digests[tier]}`") for tier in TIERS[1:] if tier in digests]
    return Card("release", "Release", _table(("", ""), rows))


_CARDS: Mapping[str, Callable[[Artifact], Card]] = {
    "dataset_synthetic": _pictures,
    "dataset_training": _gate_report,
    "model_verdict": _model_card,
    "release": _release,
}


def _judged(verdict: Verdict) -> str:
    names = ("", "what", "found", "wanted", "samples")
    rows = [_check(check) for check in verdict.checks]
    bad = verdict.reasons if verdict.outcome is not Outcome.PASS else []
    more = [reason for reason in bad if reason not in verdict.sentence]
    told = [f"**{verdict.sentence}**", *more, _table(names, rows), verdict.beside]
    return "\n\n".join(filter(None, told))


def _check(check: Check) -> tuple[str, ...]:
    interval = "" if check.low is None or check.high is None else f" [{check.low:.3g}, {check.high:.3g}]"
    wanted = MISSING if check.threshold is None else f"{check.comparison} {check.threshold:.4g}"
    return _SIGNS[check.outcome], check.name, f"{_number(check.value)}{interval}", wanted, str(check.n)


def _input(artifact: Artifact, name: str) -> ArtifactRef:
    digest = artifact.manifest.content.inputs[name]
    return artifact.store.ref(digest, artifact.store.manifest(digest).content.kind)


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4g}"


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
