"""Inspection: what ingest would make of a source, and what in it looks wrong, without a store or a run.

Decides which pictures show it, and which settings would cure what was found. Refuses what ingest cannot read at all;
what would end a run later is told, not raised.

    found = inspect_source(Path("photos"), IngestConfig(), scratch=scratch)
    found.report.split_source, found.proposals
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from edgewright.data.checks import check_picture
from edgewright.data.codec import SOURCE
from edgewright.data.ingest_report import IngestReport
from edgewright.data.looking import MAX_PICTURE_BYTES
from edgewright.data.reading import Reading, read_source
from edgewright.data.rows import Row, spread
from edgewright.data.sources import Source
from edgewright.data.survey import Nowhere
from edgewright.data.suspects import Suspect, find_suspects
from edgewright.errors import SourceError
from edgewright.fanout.hands import Hands
from edgewright.fanout.processes import ALONE
from edgewright.progress import OnProgress, silent
from edgewright.recipe.data import IngestConfig
from edgewright.runtime.boxes import Boxes, Image

SHOWN_PX = 512
_SAMPLES, _PAIRS, _OF_A_SUSPECT, _ODD = 12, 12, 4, 16
_SETTING = re.compile(r"--set ([a-z_]+[.][a-z_]+=[\w./-]+)")
"""One that is complete: a list of names is for a person to write."""


@dataclass(frozen=True)
class Shown:
    """A picture made small enough for a page, its boxes with it."""

    image: Image
    boxes: Boxes
    caption: str


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        rows: usable pictures, in the splits that a run would give them.
        would_end: the sentence with which a run would end at ingest; empty where it would not.
        proposals: settings, as `section.field=value`.
        samples: labeled pictures. pairs: leaks, then duplicates. odd: pictures of suspects.
    """

    report: IngestReport
    rows: tuple[Row, ...]
    suspects: tuple[Suspect, ...]
    would_end: str
    proposals: tuple[str, ...]
    samples: tuple[Shown, ...]
    pairs: tuple[tuple[Shown, Shown], ...]
    odd: tuple[Shown, ...]


def inspect_source(
    source: Path,
    config: IngestConfig,
    *,
    scratch: Path,
    seed: int = 0,
    hands: Hands = ALONE,
    on_progress: OnProgress = silent,
) -> Inspection:
    """Read a folder, an archive or a video as ingest does.

    Raises:
        SourceError: it cannot be read, or holds nothing.
        MissingExtra: a video, and OpenCV is not installed.
    """
    looked = config.model_copy(update={"codec": SOURCE})  # nothing of it is stored
    with read_source(
        source, looked, scratch=scratch, sink=lambda _: Nowhere(), hands=hands, on_progress=on_progress
    ) as reading:
        division = reading.divided(config, seed=seed)
        rows = [division.place(row) for row in reading.survey.rows]
        report = reading.report(rows, division)
        suspects = tuple(find_suspects(rows, report.classes))
        look = _Look(reading.source, {row.id: row for row in rows}, config)
        return Inspection(
            report=report,
            rows=tuple(rows),
            suspects=suspects,
            would_end=_would_end(reading, config),
            proposals=tuple(_proposals(report, suspects)),
            samples=tuple(look.at(row.id) for row in spread([row for row in rows if row.labels] or rows, _SAMPLES)),
            pairs=tuple(look.pairs(report)),
            odd=tuple(look.odd(suspects)),
        )


def _would_end(reading: Reading[Nowhere], config: IngestConfig) -> str:
    try:
        reading.require_usable(config)
    except SourceError as error:
        return str(error)
    return ""


def _proposals(report: IngestReport, suspects: Iterable[Suspect]) -> Iterator[str]:
    """Every setting that a next step names in full, once."""
    told = (*report.left_out, *report.findings, *(suspect.finding for suspect in suspects))
    yield from dict.fromkeys(setting for finding in told for setting in _SETTING.findall(finding.next_step))


@dataclass(frozen=True)
class _Look:
    """Pictures of the open source."""

    source: Source
    rows: Mapping[str, Row]
    config: IngestConfig

    def at(self, name: str, caption: str = "") -> Shown:
        payload = self.source.read(name, max_bytes=MAX_PICTURE_BYTES)
        picture = check_picture(payload, max_pixels=self.config.max_pixels)
        scale = min(1.0, SHOWN_PX / max(picture.wh))
        wh = (max(1, round(picture.wh[0] * scale)), max(1, round(picture.wh[1] * scale)))
        with PillowImage.open(io.BytesIO(picture.payload)) as opened:
            image = np.asarray(opened.convert("RGB").resize(wh, PillowImage.Resampling.BILINEAR))
        return Shown(image, self.rows[name].boxes.transform(scale=scale).clip(wh), caption or name)

    def pairs(self, report: IngestReport) -> Iterator[tuple[Shown, Shown]]:
        """Leaks first: they cost more than a duplicate on one side."""
        leaks = [(one.image, one.twin, f"{one.split} and {one.twin_split}, {one.why}") for one in report.leaks]
        known = {frozenset(leak[:2]) for leak in leaks}
        alike = [(one, other, f"{bits} bits apart") for one, other, bits in report.duplicates.pairs]
        others = [pair for pair in alike if frozenset(pair[:2]) not in known]
        for one, other, why in [*leaks[:_PAIRS], *others][:_PAIRS]:
            yield self.at(one, f"{why}: {one}, {other}"), self.at(other)

    def odd(self, suspects: Sequence[Suspect]) -> Iterator[Shown]:
        cases = [(suspect.finding.what, name) for suspect in suspects for name in suspect.images[:_OF_A_SUSPECT]]
        for what, name in cases[:_ODD]:
            yield self.at(name, f"{what}: {name}")
