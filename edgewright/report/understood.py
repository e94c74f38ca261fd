"""What an ingest understood, in the words that a terminal, Prefect, MLflow and a page show alike.

Decides the order: how the source was read, what is in it, where its splits came from, what was left out and why, what
else a person must hear. Reads `ingest.json`, also one that an older version wrote: what it does not say is left out.

    for line in understood(json.loads(path.read_bytes())).lines(): print(line)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgewright.data.findings import Finding
from edgewright.data.left_out import left_out
from edgewright.data.rows import Split

MAX_LINES = 40
_SHOWN = (
    *("layout", "label_folders", "images", "background", "unlabeled", "classes", "class_source"),
    *("splits", "split_source", "n_leaks", "leaks"),
)
_MAX_NAMED = 12


@dataclass(frozen=True)
class Understood:
    """Attributes: facts: (what, how it is). left_out, findings: with example and next step. warnings: sentences."""

    facts: tuple[tuple[str, str], ...]
    left_out: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]

    def lines(self, most: int = MAX_LINES) -> list[str]:
        """For a terminal; what is more than `most` is counted."""
        width = max(len(name) for name, _ in self.facts)
        lines = [f"{name:<{width}}  {value}" for name, value in self.facts]
        lines += map(str, (*self.left_out, *self.findings))
        lines += self.warnings
        rest = len(lines) - most
        return lines if rest <= 0 else [*lines[:most], f"and {rest} more, on the page"]

    def markdown(self) -> str:
        """For a note in MLflow or an artifact in Prefect."""
        facts = "".join(f"| {name} | {_cell(value)} |\n" for name, value in self.facts)
        told = "".join(f"- {_cell(str(one))}\n" for one in (*self.left_out, *self.findings, *self.warnings))
        return f"| | |\n|---|---|\n{facts}" + (f"\n{told}" if told else "")

    def tags(self) -> dict[str, str]:
        """For an MLflow run."""
        return {f"ingest.{name.replace(' ', '_')}": value for name, value in self.facts}


def understood(report: Mapping[str, Any]) -> Understood:
    """Of the JSON of an `IngestReport`."""
    quarantined = [(str(name), str(reason)) for name, reason in report["quarantined"]]
    return Understood(
        facts=tuple(_facts(report)),
        left_out=tuple(left_out(quarantined, report["passed_over"], report.get("passed_over_examples", {}))),
        findings=tuple(Finding(**finding) for finding in report.get("findings", ())),
        warnings=tuple(report["warnings"]),
    )


def told_as_json(report: Mapping[str, Any]) -> dict[str, Any]:
    """The same for machines: of long lists the kinds and their number, not every case."""
    objects = {name: sum(split["objects"][name] for split in report["splits"].values()) for name in report["classes"]}
    found = understood(report)
    return {
        **{name: report.get(name) for name in _SHOWN},
        "labeled": report["images"] - report["unlabeled"] - report["background"],
        "objects": objects,
        "left_out": [asdict(one) for one in found.left_out],
        "findings": [asdict(one) for one in found.findings],
        "warnings": list(found.warnings),
    }


def _facts(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "labels", _labels(report)
    labeled = report["images"] - report["unlabeled"] - report["background"]
    yield (
        "images",
        (f"{report['images']}: {labeled} labeled, {report['background']} background, {report['unlabeled']} unlabeled"),
    )
    if report["classes"]:
        objects = {
            name: sum(split["objects"][name] for split in report["splits"].values()) for name in report["classes"]
        }
        yield "objects", f"{sum(objects.values())}: {_listed([f'{name} {n}' for name, n in objects.items()])}"
        source = report.get("class_source")
        yield "classes", f"{len(report['classes'])}" + (f", from {source}" if source else "")
    yield "splits", ", ".join(f"{split} {report['splits'][split]['images']}" for split in Split)
    if report.get("split_source"):
        yield "split by", str(report["split_source"])


def _labels(report: Mapping[str, Any]) -> str:
    if report["layout"] == "unlabeled":
        return "none"
    folders = ["the source's own folder" if name == "." else f"{name}/" for name in report.get("label_folders", ())]
    return str(report["layout"]) + (f", in {_listed(folders)}" if folders else "")


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _cell(text: str) -> str:
    """As one line of a table, whatever a file is called."""
    return " ".join(text.replace("|", "\\|").split())
