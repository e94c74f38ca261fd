"""Whether what was read is enough to begin a run with.

Decides that a source of pictures alone is: nobody labeled them. One that holds labels of which not a single one could
be used is not: training would begin as if nobody had labeled anything. Refuses that, and too few pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from edgewright.data.formats import LAYOUTS, Labels
from edgewright.data.left_out import cure, plain
from edgewright.data.rows import Row
from edgewright.data.sources import Source, suffix_of
from edgewright.errors import SourceError
from edgewright.recipe.data import IngestConfig

_HEAD_BYTES = 65_536
_MARKS: Mapping[str, tuple[bytes, ...]] = {
    ".xml": (b"<annotation", b"<object", b"<bndbox", b"<box "),
    ".json": (b'"annotations"', b'"shapes"', b'"bbox"', b'"regions"', b'"objects"', b'"boxes"', b'"labels"'),
    ".csv": (b"xmin", b"x_min", b"bbox", b"x1,", b"left,", b"region_shape_attributes"),
}
"""What a file of labels says in its first bytes, in whatever format."""


def require_enough(images: int, quarantined: Mapping[str, str], config: IngestConfig, *, where: str) -> None:
    """Raises SourceError below `config.min_images`; `quarantined`: id => reason."""
    if images >= config.min_images:
        return
    reasons = Counter(reason.partition(" (")[0] for reason in quarantined.values()).most_common(3)
    found = "; ".join(f"{count} × {reason}" for reason, count in reasons)
    raise SourceError(
        "too few usable images",
        expected=f"at least {config.min_images}",
        got=f"{images}" + (f", quarantined: {found}" if found else ""),
        where=where,
        next_step="add images, or lower ingest.min_images",
    )


def require_labels(
    source: Source, labels: Labels, rows: Sequence[Row], quarantined: Mapping[str, str], config: IngestConfig
) -> None:
    """Raises SourceError where there are labels and no object could be taken from them."""
    if config.layout == "unlabeled" or any(row.labels for row in rows):
        return
    files = label_files(source, labels)
    if not files:
        return
    reason, count = _main_reason(files, labels, quarantined)
    folders = sorted({PurePosixPath(name).parent.as_posix() for name in files})
    pictures = sorted({PurePosixPath(name).parent.as_posix() for name in source.images})
    raise SourceError(
        "not one label could be used",
        expected="labels of the pictures",
        got=f"{len(files)} files of labels in {_few(folders)}, pictures in {_few(pictures)}; {count} × {reason}",
        where=source.where,
        next_step=f"{cure(reason) or 'look at ' + files[0]}; `--set ingest.layout=unlabeled` takes the pictures alone",
    )


def label_files(source: Source, labels: Labels) -> list[str]:
    """Files that hold labels, be they of a layout that is read or not."""
    known = {*labels.files, *(name for name in labels.unpaired if name in source.files)}
    stems = {PurePosixPath(name).stem for name in source.images}
    return [name for name in source.files if name in known or _looks_like_labels(source, name, stems)]


def _looks_like_labels(source: Source, name: str, stems: set[str]) -> bool:
    suffix = suffix_of(name)
    if suffix == ".txt":
        return PurePosixPath(name).stem in stems and bool(source.head(name, max_bytes=1))
    return suffix in _MARKS and any(mark in source.head(name, max_bytes=_HEAD_BYTES) for mark in _MARKS[suffix])


def _main_reason(files: Sequence[str], labels: Labels, quarantined: Mapping[str, str]) -> tuple[str, int]:
    """Why most of them are not used."""
    reasons = Counter(map(plain, quarantined.values()))
    if reasons:
        return reasons.most_common(1)[0]
    if labels.files:
        return "a label file that is empty", len(labels.files)
    return f"a file in no layout that is read ({', '.join(LAYOUTS)})", len(files)


def _few(folders: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(f"{name}/" for name in folders[:most])
    return shown + (f" and {len(folders) - most} more" if len(folders) > most else "")
