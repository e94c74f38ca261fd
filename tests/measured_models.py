"""What is measured of an INT8 model that every check passes, for the tests of what is decided over it."""

from __future__ import annotations

from edgewright.gates.file_checks import FileEvidence, FormEvidence
from edgewright.gates.model_gate import ModelEvidence

FORMS = {
    "as run here": FormEvidence(0.70, 0.415, 90, decides=True),
    "with saturation": FormEvidence(0.70, 0.415, 90, decides=True),
}
SAFE = FileEvidence(1_830_000, worst_layer="/model.9/conv/Conv", layer_error=0.1, forms=FORMS)
GOOD = ModelEvidence(
    bytes=1_820_000,
    float_map50=0.71,
    float_map50_95=0.42,
    int8_map50=0.70,
    int8_map50_95=0.415,
    n_images=90,
    parity=0.97,
    parity_n=640,
    p50_ms=2.1,
    p99_ms=3.4,
    latency_runs=100,
    int8_ap50={"bolt": 0.8, "nut": 0.6, "washer": 0.1},
    n_objects={"bolt": 90, "nut": 20, "washer": 19},
    files={"model-safe.onnx": SAFE},
    export_difference=0.002,
)
