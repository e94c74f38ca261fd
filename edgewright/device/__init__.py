"""The agent on an edge device: pulls signed releases, decides by itself, never depends on the network to run.

Stands on the light base alone. Decides which of two slots runs; refuses whatever is not signed, not whole, not newer,
or does not find on the golden pictures what the factory found.
"""

import os

os.environ.setdefault(
    "ORT_DISABLE_TELEMETRY", "1"
)  # ONNX Runtime reports to its makers unless this stands when it loads
