"""What a YOLO begins with: a file of weights, as it is or cut to the graph's width, or random numbers.

Decides what `init` means for this family: a `.pt` of ultralytics is read by the loader that runs no code of it and cut
to the graph where it is wider; safetensors are taken where name and shape fit; a name as `yolov5nu.pt` is downloaded
where that is allowed. Nothing is packaged for these graphs: `auto` is `none`, and `package` is refused.
"""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from edgewright.artifacts import sha256_file
from edgewright.detect.yolo.checkpoint import load_checkpoint
from edgewright.detect.yolo.slices import sliced
from edgewright.errors import InputError
from edgewright.learning.provenance import Provenance
from edgewright.learning.starts import counted, file_start, fitting
from edgewright.learning.weights_file import require_finite
from edgewright.recipe.detect import TrainDetectorConfig

ASSETS = "https://github.com/ultralytics/assets/releases/download/v8.4.0/"
_NOTE = "ultralytics' own weights learned on COCO unless its card says otherwise; those of others say so themselves"
_DOWNLOAD_WITHIN_S = 60.0


def weights_for(slim: Any, config: TrainDetectorConfig, *, folder: Path) -> tuple[dict[str, Tensor], Provenance]:
    """Weights by the graph's names, and where they came from; none where it begins with random numbers.

    Args:
        slim: the graph's module.
        folder: where a download is kept.

    Raises:
        InputError: no such weights, not loaded safely, of another graph.
    """
    if config.init in ("none", "auto"):
        return {}, Provenance()
    if config.init == "package":
        raise InputError(
            f"no pretrained weights are packaged for {config.model}",
            expected="a .pt or .safetensors file, or none",
            got="train_detector.init=package",
            next_step="train_detector.model=efficientdet-slim has packaged weights; or name a file (init=FILE)",
        )
    path = _file(config, folder=folder)
    found = fitting(_read_tensors(path, slim), slim, where=path)
    taken, weights = counted(found, slim)
    return found, Provenance(
        name=Path(config.init).name,
        source=ASSETS + path.name if path.parent == folder else "a file of the user's",
        license="AGPL-3.0 where it is ultralytics', else not known",
        note=_NOTE,
        sha256=sha256_file(path),
        taken=taken,
        weights=weights,
    )


def _read_tensors(path: Path, slim: Any) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        return file_start(path).tensors
    checkpoint = load_checkpoint(path)
    wide = (checkpoint.get("ema") or checkpoint["model"]).float()
    require_finite(wide.state_dict(), where=path, next_step="give other weights, or init=none")
    return sliced(wide, slim)


def _file(config: TrainDetectorConfig, *, folder: Path) -> Path:
    """The file that `init` names, downloaded where it is a bare name and that is allowed."""
    path = Path(config.init)
    if path.is_file():
        return path
    kept = folder / path.name
    if kept.is_file():
        return kept
    if not config.allow_download or len(path.parts) > 1 or path.suffix != ".pt":
        raise InputError(
            "the weights to begin with are not on this machine",
            got=config.init,
            next_step="give the path of a file; or, for a name of ultralytics', train_detector.allow_download=true",
        )
    address, writing = ASSETS + path.name, kept.with_suffix(".writing")
    try:
        with urllib.request.urlopen(address, timeout=_DOWNLOAD_WITHIN_S) as stream, writing.open("wb") as out:  # noqa: S310
            shutil.copyfileobj(stream, out)
    except (urllib.error.URLError, OSError) as error:
        writing.unlink(missing_ok=True)
        raise InputError(
            "the weights cannot be downloaded",
            got=error,
            where=address,
            next_step="download the file elsewhere and give its path (train_detector.init=FILE)",
        ) from error
    writing.replace(kept)
    return kept
