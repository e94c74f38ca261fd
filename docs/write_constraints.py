"""Write constraints.txt from the environment this runs in: `make constraints`.

Decides what is pinned: names and versions alone. Refuses what is bound to one platform: CUDA's wheels, a local version
(`+cpu`), a direct address, edgewright itself.

>>> pins(["torch==2.15.0+cu130", "numpy==2.4.6", "nvidia-nccl-cu13==2.30.7"])
['numpy==2.4.6', 'torch==2.15.0']
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).parents[1] / "constraints.txt"
_PLATFORM = re.compile(r"(nvidia|cuda|triton)\b")
_HEAD = "# What was tested, written by `make constraints`. CUDA's own wheels follow from torch and are left out.\n"


def pins(frozen: Iterable[str]) -> list[str]:
    """`name==version` lines, sorted by name."""
    found = (re.fullmatch(r"([\w.-]+)==([\w.]+)(\+\w+)?", line.strip()) for line in frozen)
    kept = {match[1]: match[2] for match in found if match and not _PLATFORM.match(match[1])}
    return [f"{name}=={kept[name]}" for name in sorted(kept, key=str.lower)]


if __name__ == "__main__":
    freeze = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    done = subprocess.run(freeze, capture_output=True, text=True, check=True)
    PAGE.write_text(_HEAD + "".join(f"{pin}\n" for pin in pins(done.stdout.splitlines())))
