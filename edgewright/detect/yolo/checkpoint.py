"""Ultralytics' `.pt` files. Refuses whatever would have to run code of them."""

from __future__ import annotations

import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

from edgewright.detect.yolo.library import open_ultralytics
from edgewright.errors import InputError


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A `.pt` file through the loader that runs no code of it. Raises InputError."""
    load = open_ultralytics("nn.tasks").torch_safe_load
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, before it refuses or reads them
            checkpoint: dict[str, Any] = load(path, safe_only=True)[0]
    except (
        TypeError,
        struct.error,
        pickle.UnpicklingError,
        RuntimeError,
        ImportError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        raise InputError("not a weights file that can be loaded safely", got=error, where=path) from error
    return checkpoint
