"""The file that says which network a detector's weights belong to: plain YAML. Refuses tags and long files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from edgewright.errors import InputError

MAX_GRAPH_BYTES = 100_000


def read_graph(path: Path) -> dict[str, Any]:
    """Raises InputError for a file that is no mapping."""
    payload = path.read_bytes()
    try:
        graph = yaml.safe_load(payload) if len(payload) <= MAX_GRAPH_BYTES else None
    except yaml.YAMLError as error:
        raise InputError("not a graph file", got=error, where=path) from error
    if not isinstance(graph, dict):
        raise InputError("not a graph file", expected=f"a mapping in at most {MAX_GRAPH_BYTES} bytes", where=path)
    return graph


def write_graph(graph: Mapping[str, Any], path: Path) -> None:
    path.write_text(yaml.safe_dump(dict(graph), sort_keys=True, default_flow_style=None, width=120), encoding="utf-8")
