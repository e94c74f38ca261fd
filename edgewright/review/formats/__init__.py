"""Review formats, one file each: what a labeling tool is given, and what it gives back.

Decides which format a file is of. Refuses files that are too large, XML with a DOCTYPE, and documents of another shape.

>>> REVIEW_FORMATS
('label-studio', 'coco', 'cvat')
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgewright.data.formats.safe_xml import parse_xml
from edgewright.data.sources import Unusable
from edgewright.errors import InputError
from edgewright.review.formats import coco, cvat, label_studio
from edgewright.review.formats.annotated import AnnotatedImage, Box, ReviewFile, ReviewTask
from edgewright.review.formats.document import read_document

__all__ = [
    "REVIEW_FORMATS",
    "AnnotatedImage",
    "Box",
    "ReviewFile",
    "ReviewTask",
    "check_format",
    "read_review",
    "write_review",
]

_WRITERS = {"label-studio": label_studio.write, "coco": coco.write, "cvat": cvat.write}
REVIEW_FORMATS = tuple(_WRITERS)


def write_review(folder: Path, tasks: Sequence[ReviewTask], classes: Sequence[str], *, format: str) -> None:  # noqa: A002 - the option's name
    """Everything but the pictures. Raises InputError for an unknown format."""
    _WRITERS[check_format(format)](folder, tasks, classes)


def read_review(path: Path, *, format: str = "") -> ReviewFile:  # noqa: A002 - the option's name
    """What a person has answered.

    Args:
        format: one of REVIEW_FORMATS; empty: told by the file itself.

    Raises:
        InputError: missing, too large, an archive without just one document, of another format, or of another shape
            than its format has.
    """
    payload = read_document(path)
    found = _format_of(payload)
    if format and check_format(format) != found:
        raise InputError("the file is of another format", expected=format, got=found, where=path)
    try:
        if found == "cvat":
            return cvat.read(parse_xml(payload))
        document = json.loads(payload)
        return label_studio.read(document) if isinstance(document, list) else coco.read(document)
    except Unusable as error:
        raise InputError("not a review file that can be read", got=error, where=path) from error
    except InputError as error:
        raise InputError("the review file cannot be taken", got=error, where=path) from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"not a {found} file", got=repr(error)[:200], where=path) from error


def check_format(name: str) -> str:
    """The name itself. Raises InputError for an unknown one."""
    if name not in REVIEW_FORMATS:
        raise InputError("unknown review format", expected=", ".join(REVIEW_FORMATS), got=name)
    return name


def _format_of(payload: bytes) -> str:
    first = payload.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return {b"<": "cvat", b"[": "label-studio"}.get(first, "coco")
