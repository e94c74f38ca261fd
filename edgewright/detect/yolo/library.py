"""The one door to ultralytics. Decides how that library may behave inside ours.

It installs nothing, calls nobody, prints nothing, keeps no settings between runs and evaluates no text of a model file
as code. Those switches are read at its first import, so every module that needs ultralytics comes through here.

>>> open_ultralytics().__name__
'ultralytics'
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
from typing import Any

from PIL import Image as PillowImage

from edgewright.errors import MissingExtra

SWITCHES = {
    "YOLO_AUTOINSTALL": "false",
    "YOLO_OFFLINE": "true",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "1",  # otherwise a graph file's `activation:` is evaluated and a .pt may run code
}
TRACKERS = ("clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb", "sync")


def open_ultralytics(module: str = "") -> Any:
    """The library, or one of its modules (`nn.tasks`), imported with our switches. Raises MissingExtra."""
    if "ultralytics" not in sys.modules:
        os.environ.update(SWITCHES)
        pillow_open = PillowImage.open
        # Its settings file is written at import and never needed again.
        with tempfile.TemporaryDirectory(prefix="edgewright-yolo-") as folder:
            os.environ["YOLO_CONFIG_DIR"] = folder
            _import("ultralytics")
        PillowImage.open = pillow_open  # it patches Pillow to import an HEIF reader for every unreadable picture
    library = _import("ultralytics")
    logging.getLogger("ultralytics").setLevel(logging.ERROR)
    for tracker in TRACKERS:
        dict.__setitem__(library.settings, tracker, False)  # in memory alone: its own setter writes a file
    return _import(f"ultralytics.{module}") if module else library


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(
            "training needs ultralytics", got=error, next_step="pip install 'edgewright[train]'"
        ) from error
