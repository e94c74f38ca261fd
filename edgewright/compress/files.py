"""The files of a quantized model, by name: what registers, releases or runs it need not load what makes it."""

from __future__ import annotations

INT8_FILE, SAFE_FILE = "model.onnx", "model-safe.onnx"
"""For processors that add 8-bit products in 32 bits, and for every other; a device loads one of them."""
FLOAT_FILE, SPEC_FILE, FACTS_FILE = "float.onnx", "spec.json", "quantize.json"
