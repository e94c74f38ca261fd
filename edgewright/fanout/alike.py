"""What two machines must have in common to make the same bytes: this code, and the libraries that it computes with.

Decides by edgewright's sources, comments and all, and by versions. Refuses nothing itself: it names the difference.

>>> difference({"numpy": "2.4.6", "torch": "2.15.0"}, {"numpy": "2.4.6"})
'torch: 2.15.0 here, none there'
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import edgewright

LIBRARIES = (
    "numpy",
    "pillow",
    "scipy",
    "opencv-python-headless",
    "opencv-python",
    "pyarrow",
    "torch",
    "torchvision",
    "safetensors",
    "ultralytics",
    "diffusers",
    "transformers",
)


@cache
def likeness() -> Mapping[str, str]:
    """Of this process: what must be equal => what it is."""
    found = {name: said for name in LIBRARIES if (said := _version(name))}
    return {"edgewright": _sources_digest(), "python": platform.python_version(), **found}


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """The first thing that differs, as a message says it; empty where nothing does."""
    for name in [*here, *there]:
        own, other = here.get(name, "none"), there.get(name, "none")
        if own != other:
            return f"{name}: {own[:12]} here, {other[:12]} there"
    return ""


def _sources_digest() -> str:
    root = Path(edgewright.__path__[0])
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"\0{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
