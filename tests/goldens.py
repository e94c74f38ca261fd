"""Goldens: what a test made, held against the file that was kept of it, `goldens/NAME` beside the test.

Decides nothing about which of the two is right: on a difference it shows it, and the command that takes what was made
as the new golden. A person reads the change in the diff of the commit. Only what is the same on every machine is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import pytest

_OPTION = "--update-goldens"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(_OPTION, action="store_true", help="write what the tests made into their golden files")


@dataclass(frozen=True)
class Golden:
    """`golden(name, made)`; bytes and text are kept as they are, any other value as JSON with its keys sorted.

    Attributes:
        folder: where the goldens of the test's folder lie.
        test: what the command to update names.
    """

    folder: Path
    test: str
    update: bool

    def __call__(self, name: str, made: object) -> None:
        path, got = self.folder / name, as_bytes(made)
        if self.update:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(got)
        kept = path.read_bytes() if path.exists() else b""
        if got != kept:
            pytest.fail(f"{difference(kept, got, name)}\nNext: python -m pytest '{self.test}' {_OPTION}", pytrace=False)


def as_bytes(made: object) -> bytes:
    if isinstance(made, bytes):
        return made
    return (made if isinstance(made, str) else json.dumps(made, indent=1, sort_keys=True) + "\n").encode()


def difference(kept: bytes, got: bytes, name: str) -> str:
    """A unified diff, or where either is no text how long both are and where they part."""
    try:
        before, after = (payload.decode().splitlines() for payload in (kept, got))
    except UnicodeDecodeError:
        at = next((at for at, (a, b) in enumerate(zip(kept, got, strict=False)) if a != b), min(len(kept), len(got)))
        return f"{name}: {len(kept)} bytes are kept, {len(got)} were made; they differ from byte {at} on"
    return "\n".join(unified_diff(before, after, f"goldens/{name}", "made now", lineterm=""))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.path.parent / "goldens", request.node.nodeid, bool(request.config.getoption(_OPTION)))
