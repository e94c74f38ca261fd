"""In which ways an INT8 file is computed somewhere, and the network of each of them.

    as run here        ONNX Runtime on this machine, where its processor is one that the file is for
    as written         the runtime's optimizations off: every rounding as it stands in the file, on any processor
    with saturation    as x86 without VNNI computes it, emulated

Decides what a file must hold in: one for processors that add in 32 bits need not hold with saturation, which is
measured all the same, and told. Where no pair sum can saturate, with saturation and as written are one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import onnx

from edgewright.compress.emulate import exact_network, with_saturation
from edgewright.compress.files import INT8_FILE, SAFE_FILE, file_for_this_machine
from edgewright.runtime.session import Network, load_exact_network, load_network


class Form(StrEnum):
    RUN = "as run here"
    WRITTEN = "as written"
    SATURATED = "with saturation"


MUST_HOLD = {INT8_FILE: (Form.RUN, Form.WRITTEN), SAFE_FILE: (Form.RUN, Form.WRITTEN, Form.SATURATED)}


@dataclass(frozen=True)
class Forms:
    """Attributes:
    networks: by form; one that cannot saturate has no network of its own for it.
    saturating: convolutions that can saturate.
    """

    networks: Mapping[Form, Network]
    saturating: int

    @property
    def shipped_as(self) -> Form:
        """How a processor computes it that the file is for, as near as this machine can tell."""
        return Form.RUN if Form.RUN in self.networks else Form.WRITTEN

    @property
    def shipped(self) -> Network:
        return self.networks[self.shipped_as]


def forms_of(path: Path, *, threads: int) -> Forms:
    """Raises InputError where ONNX Runtime refuses the file."""
    here = path.name in (SAFE_FILE, file_for_this_machine((INT8_FILE, SAFE_FILE)))
    runs = {Form.RUN: load_network(path, threads=threads)} if here else {}
    emulation = with_saturation(onnx.load_model(path))
    saturated = {Form.SATURATED: exact_network(emulation.model, threads=threads)} if emulation.layers else {}
    return Forms({**runs, Form.WRITTEN: load_exact_network(path, threads=threads), **saturated}, len(emulation.layers))
