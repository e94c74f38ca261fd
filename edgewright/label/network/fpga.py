"""The segmenter in an FPGA's number format: written beside its weights, and opened in their place.

Decides that it looks like any other net to whoever calls it, a picture at a time.

    support = write_for_fpga(net, tensors, image_px=128, path=out / FPGA_FILE)
    FpgaNet.open(out / FPGA_FILE).run_by            # "emulation", or "VitisAIExecutionProvider"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from edgewright.compress.export import export_module, fold_constants, minify
from edgewright.compress.fpga.operators import Support, support_of
from edgewright.compress.fpga.quantize import quantize_for_fpga
from edgewright.compress.fpga.session import Fpga, open_fpga
from edgewright.runtime.boxes import FloatArray

FPGA_FILE = "labeler-fpga.onnx"


def write_for_fpga(
    net: nn.Module, tensors: Callable[[], Iterable[FloatArray]], *, image_px: int, path: Path
) -> Support:
    """Args: net: float, (N, 3, S, S) => logits. tensors: to calibrate on, (1, 3, S, S), anew with each call."""
    floating = fold_constants(export_module(deepcopy(net), input_px=image_px))
    path.write_bytes(minify(quantize_for_fpga(floating, tensors)).SerializeToString(deterministic=True))
    return support_of(floating)


class FpgaNet(nn.Module):
    """(N, 3, S, S) => logits, as the segmenter's own module gives them."""

    def __init__(self, fpga: Fpga) -> None:
        super().__init__()
        self._fpga = fpga

    @classmethod
    def open(cls, path: Path, *, threads: int = 1) -> FpgaNet:
        return cls(open_fpga(onnx.load_model(path), threads=threads))

    @property
    def run_by(self) -> str:
        return self._fpga.run_by

    def forward(self, x: Tensor) -> Tensor:
        pictures = x.detach().cpu().numpy().astype(np.float32)
        found = [self._fpga.network(np.ascontiguousarray(picture[None])) for picture in pictures]
        return torch.from_numpy(np.concatenate(found))
