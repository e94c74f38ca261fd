"""The digest of a stage's code: a part of its cache key, so that changed code is never answered by old results.

Decides what a stage depends on by reading imports, lazy ones included: the task file, the modules of `edgewright` it
reaches, and the versions of the numeric libraries.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgewright.artifacts import canonical_json, sha256_bytes

_NUMERIC = (
    "numpy",
    "pillow",
    "torch",
    "torchvision",
    "ultralytics",
    "onnx",
    "onnxruntime",
    "opencv-python-headless",
    "diffusers",
    "transformers",
)


@cache
def code_digest(module: str) -> str:
    """sha256 over the sources of every `edgewright` module that `module` reaches, and itself."""
    sources = {name: sha256_bytes(path.read_bytes()) for name, path in _closure(module).items()}
    return sha256_bytes(canonical_json({"sources": sources, "libraries": library_versions()}))


@cache
def library_versions() -> dict[str, str]:
    """Name → version of the libraries whose numbers end up in artifacts; absent ones are left out."""
    return {name: found for name in _NUMERIC if (found := _version(name))}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _closure(module: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += [target for target in _imports(path) if target.startswith("edgewright")]
    return found


def _source(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None  # `from module import function`: the function is no module
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
