"""Sources of a few named files, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgewright.data.sources import Source


def source_of(root: Path, files: Mapping[str, str | bytes]) -> Source:
    """Write the files and list them, as opening the folder would."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Source(str(root), {name: root / name for name in sorted(files)})
