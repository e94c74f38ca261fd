"""Which code a run ran: the file that MLflow shows as its source, and the commit where there is one.

Decides that the commit is that of edgewright's own checkout, never of the folder one stands in. An installation has
none, and where git does not answer nothing is said.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import edgewright

_GIT_TIMEOUT_S = 5.0
_DIRTY = "-dirty"


def source_tags(file: str) -> dict[str, str]:
    """MLflow's own tags for the code of a run; `file` from the top of the checkout."""
    return {"mlflow.source.name": file, "mlflow.source.type": "LOCAL", **_commit_tags()}


def file_of(function: Callable[..., Any]) -> str:
    """`tasks/label.py` for a stage of that file."""
    return function.__module__.replace(".", "/") + ".py"


@cache
def _commit_tags() -> dict[str, str]:
    checkout, git = Path(edgewright.__file__).parents[1], shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        return {}
    words = [git, "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=_GIT_TIMEOUT_S).stdout.strip()
    except (subprocess.SubprocessError, OSError):
        return {}
    return {
        "mlflow.source.git.commit": said.removesuffix(_DIRTY),
        "mlflow.source.git.dirty": str(said.endswith(_DIRTY)).lower(),
    }
