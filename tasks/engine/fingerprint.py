"""A stage's code and libraries as one digest: a part of its cache key, so that changed code is never answered by old
results.

Decides what a result depends on besides its inputs: the definitions that the stage reaches (`sources.py`) and the
versions of the numeric libraries that these use. What only carries, shows or tells (`_TELLS`) is left out: a corrected
description, a docstring, a moved picture of the report changes no key. Nothing is imported: a key costs no torch.

>>> from tasks.train_generator import train_generator
>>> found = fingerprint(train_generator.fn)
>>> "torch" in found.libraries, "diffusers" in found.libraries
(True, False)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import edgewright
from edgewright.artifacts import canonical_json, sha256_bytes
from tasks.engine.sources import Reach, SourceTree

_TELLS = (
    *("edgewright.artifacts", "edgewright.errors", "edgewright.fanout", "edgewright.files", "edgewright.metrics"),
    *("edgewright.processes", "edgewright.progress", "edgewright.report", "tasks.engine"),
    *("edgewright.label.preview", "edgewright.synth.objects.preview"),
)
"""Where bytes lie, what went wrong, how far it is, what a person sees, what runs a stage: no part of a result. Previews
lie in an artifact, and nothing is computed from them: another color must not train a network again."""

NUMERIC: Mapping[str, tuple[str, ...]] = {
    "numpy": ("numpy",),
    "PIL": ("pillow",),
    "scipy": ("scipy",),
    "cv2": ("opencv-python-headless", "opencv-python"),
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime",),
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "ultralytics": ("ultralytics", "torch", "torchvision", "opencv-python-headless", "opencv-python"),
}
"""Import name => distributions whose numbers end up in artifacts. Those of extras are named by the section that asks
for them (`Section.libraries`): installing an extra must not change the key of a stage that does not use it."""


@dataclass(frozen=True)
class Fingerprint:
    """The code of a stage and the libraries behind it.

    Attributes:
        code: sha256 over every definition that the stage reaches.
        libraries: distribution => version; absent ones are left out.
    """

    code: str
    libraries: Mapping[str, str]

    @property
    def digest(self) -> str:
        return sha256_bytes(canonical_json({"code": self.code, "libraries": dict(self.libraries)}))


def fingerprint(fn: Callable[..., Any], *, extras: Iterable[str] = ()) -> Fingerprint:
    """Of a stage's function.

    Args:
        extras: distributions that this stage's recipe calls in besides.
    """
    reach = reached(fn)
    used = {name for name in NUMERIC if name in reach.libraries or name in reach.texts}
    distributions = sorted({one for name in used for one in NUMERIC[name]} | set(extras))
    return Fingerprint(_code_digest(fn), {name: found for name in distributions if (found := _version(name))})


@cache
def reached(fn: Callable[..., Any]) -> Reach:
    """Parsed once a process: sources do not change under a run."""
    file, depth = Path(inspect.getfile(fn)), fn.__module__.count(".")
    own = file.parents[depth - 1] if depth else file
    return _sources(fn.__module__.partition(".")[0], own).reach(fn.__module__, fn.__name__, leave_out=_TELLS)


@cache
def _sources(package: str, folder: Path) -> SourceTree:
    return SourceTree({package: folder, "edgewright": Path(edgewright.__path__[0])})


@cache
def _code_digest(fn: Callable[..., Any]) -> str:
    return sha256_bytes(canonical_json(reached(fn).definitions))


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
