"""Finished runs, one JSON line each: what the experiment knows, and what it need not do again.

Decides how a line is written so that neither a kill nor a second process spoils the file: one `write` of a whole line
under a lock, flushed to the disk. A torn last line (from a machine that lost power) is left out when read, and named.

Law: `Result.from_json(r.to_json()) == r`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgewright.errors import InputError
from edgewright.experiment.plan import Run
from edgewright.files import locked, locked_for_reading


@dataclass(frozen=True)
class Result:
    """One detector and what was known of its data.

    Attributes:
        key: of the run (`run_key`).
        dataset, project: digest (`photographs_digest`) and name of the data.
        settings: digest of everything else that bears on the result.
        labels: None where the arm had all photographs of the pool.
        n_photographs, n_extra: pictures trained on.
        by_class: AP50-95 on test.
        gate: outcome of the data gate on the n images alone; empty for arms without synthetic pictures.
        reference: the gate's measurements against the pool's other photographs, which no arm saw; by name.
        reference_gate: the outcome that those would have led to; usefulness, where measured, as `gate` knows it.
        facts: versions, times, reasons, what the labeler left out, the gain that the gate measured.
    """

    key: str
    project: str
    dataset: str
    settings: str
    arm: str
    labels: int | None
    draw: int
    seed: int
    steps: int
    image_px: int
    n_photographs: int
    n_extra: int
    n_test: int
    map50: float
    map50_95: float
    by_class: dict[str, float]
    gate: str = ""
    reference: dict[str, float] = field(default_factory=dict)
    reference_gate: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        return Run(self.arm, self.labels, self.draw, self.seed)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Result:
        return cls(**value)


def append_result(path: Path, result: Result) -> None:
    """Add a line; several processes may do so at once."""
    append_line(path, result.to_json())


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """On the disk when this returns, whole, whoever else writes."""
    line = json.dumps(value, sort_keys=True, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path), path.open("ab") as stream:
        if stream.tell() and not _ends_whole(path):
            line = "\n" + line  # after a torn line, which stays visible
        stream.write(line.encode())
        stream.flush()
        os.fsync(stream.fileno())


def read_results(path: Path) -> tuple[list[Result], list[str]]:
    """Every whole line, and the lines that cannot be read, each with its number and reason. Of equal keys the last."""
    results: dict[str, Result] = {}
    unread = []
    for number, line in lines_of(path):
        try:
            result = Result.from_json(json.loads(line))
            results[result.key] = result
        except (ValueError, TypeError) as error:
            unread.append(f"line {number}: {error}")
    return list(results.values()), unread


def of_settings(results: Sequence[Result], *, dataset: str, settings: Mapping[str, str]) -> list[Result]:
    """Those of one data set whose arm had these settings (arm => digest): no others can be compared.

    Raises:
        InputError: there are none, and nothing can be concluded from nothing.
    """
    found = [one for one in results if one.dataset == dataset and settings.get(one.arm) == one.settings]
    if not found:
        raise InputError("no finished run of this data set and these settings", got=dataset[:12])
    return found


def lines_of(path: Path) -> list[tuple[int, str]]:
    """Those that hold something, with their numbers; never half a line that another process is writing."""
    if not path.is_file():
        return []
    with locked_for_reading(path):
        lines = path.read_text(errors="replace").splitlines()
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
