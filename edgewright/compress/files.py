"""The files of a quantized model, by name: what registers, releases or runs it need not load what makes it."""

from __future__ import annotations

INT8_FILE, FLOAT_FILE, SPEC_FILE, FACTS_FILE = "model.onnx", "float.onnx", "spec.json", "quantize.json"
