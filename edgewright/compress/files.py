"""The files of a quantized model, by name: what registers, releases or runs it need not load what makes it."""

from __future__ import annotations

from collections.abc import Collection

from edgewright.runtime.instruction_sets import choose_model, this_processor

INT8_FILE, SAFE_FILE = "model.onnx", "model-safe.onnx"
"""For processors that add 8-bit products in 32 bits, and for every other; a device loads one of them."""
FPGA_FILE = "model-fpga.onnx"
"""For the `fpga` pool, where one is wanted; no device loads it."""
FLOAT_FILE, SPEC_FILE, FACTS_FILE = "float.onnx", "spec.json", "quantize.json"


def file_for_this_machine(names: Collection[str]) -> str:
    """Which of a model's files this machine's processor computes rightly. One that has no safe file has one for all."""
    return choose_model(this_processor(), names).file
