"""Files of pretrained weights that the user brought, for a feature space. Refuses a file that is not there: nothing is
downloaded.

    found = read_weights("weights.pth", kind="inception", source="where it can be had")
    found.tensors, found.sha256
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.errors import InputError

if TYPE_CHECKING:
    from edgewright.learning.weights_file import WeightsFile


def read_weights(path: str, *, kind: str, source: str) -> WeightsFile:
    """Raises InputError: no path, no such file, too large, or anything but named tensors in it."""
    from edgewright.learning.weights_file import read_weights_file

    next_step = f"download the weights ({source}) and name the file: gate_data.features_weights=FILE"
    file = Path(path)
    if not path or not file.is_file():
        raise InputError(
            f"gate_data.features is {kind}, which needs a file of weights",
            expected="a .pth or .safetensors file",
            got=path or "gate_data.features_weights is empty",
            next_step=next_step,
        )
    return read_weights_file(file, next_step=next_step)
