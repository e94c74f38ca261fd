"""What a recipe's paths stand for: files and folders outside the store, by the digest of their bytes.

Decides what of them is a part of a stage's cache key, so that other weights under an old name are never answered by old
results. What does not exist here is left out: the stage that needs it says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgewright.artifacts import canonical_json, sha256_bytes, sha256_file
from edgewright.errors import InputError
from edgewright.recipe.section import Section


def external_digests(config: Section) -> dict[str, str]:
    """Field => sha256 of the file that it names, or over all files of the folder; `section.field` where nested.

    Raises:
        InputError: a file cannot be read.
    """
    return {name: _digest(path, field=name) for name, path in _named(config) if path.exists()}


def _named(config: Section) -> Iterator[tuple[str, Path]]:
    for name, value in config:
        if isinstance(value, Section):
            yield from ((f"{name}.{inner}", path) for inner, path in _named(value))
        elif name in config.external_paths and value:
            yield name, Path(value)


def _digest(path: Path, *, field: str) -> str:
    try:
        if path.is_file():
            return sha256_file(path)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return sha256_bytes(canonical_json({file.relative_to(path).as_posix(): sha256_file(file) for file in files}))
    except OSError as error:
        raise InputError(f"what {field} names cannot be read", got=error.strerror, where=error.filename) from error
