"""What MLflow runs when a registered detector is loaded: this file is copied beside the model's files.

    detector = mlflow.pyfunc.load_model("models:/edgewright-belt@champion")
    found = detector.predict(image)             # (H, W, 3) uint8 RGB, any size
    weak = detector.predict(image, params={"score_threshold": 0.05})

One picture in; a table out, a row an object, best score first: `x1 y1 x2 y2` (px of the picture), `score` in [0, 1],
`class_name`. Where no `score_threshold` is given, it is the specification's, as on the device. Decides nothing: the
way from picture to boxes is `edgewright.runtime`, which the device runs too; so edgewright must be installed where the
model is loaded, its base install is enough.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from edgewright.errors import InputError
from edgewright.runtime.session import ModelSpec, Network, load_network, predictor

CORNERS = ["x1", "y1", "x2", "y2"]


class Detector(PythonModel):
    """One ONNX file and its specification."""

    _spec: ModelSpec
    _network: Network

    def load_context(self, context: PythonModelContext) -> None:
        self._spec = ModelSpec.from_json(json.loads(Path(context.artifacts["spec"]).read_bytes()))
        self._network = load_network(Path(context.artifacts["model"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: np.ndarray,  # type: ignore[type-arg] # MLflow warns of any hint but the bare array
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """(H, W, 3) uint8 RGB => `x1 y1 x2 y2 score class_name`, a row an object, best score first.

        Args:
            params: `score_threshold` in [0, 1]: objects of a lower score are not reported.

        Raises:
            InputError: a threshold outside of [0, 1].
        """
        threshold = (params or {}).get("score_threshold", self._spec.score_threshold)
        if not 0 <= threshold <= 1:
            raise InputError("a score threshold no score can be held to", expected="0 to 1", got=threshold)
        found = predictor(self._network, self._spec, score_threshold=threshold)(model_input)
        table = pd.DataFrame(found.xyxy, columns=CORNERS)
        names = np.array([self._spec.classes[index] for index in found.class_id], dtype=object)
        return table.assign(score=found.score, class_name=names)


set_model(Detector())
