"""The MLflow model registry: float and INT8 are versions of one model; aliases, a set a tier, move only by the gate.

Decides what a version holds: the ONNX file, its specification and the few lines that run both, so that
`mlflow.pyfunc.load_model` gives a detector (see `model_code.py`). Nothing in it is pickled.
Refuses to add an equal file twice.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import edgewright
from edgewright.addresses import shown, why
from edgewright.artifacts import Artifact
from edgewright.compress.files import FLOAT_FILE, INT8_FILE, SPEC_FILE
from edgewright.device.offer import TIERS
from edgewright.errors import StoreUnavailable
from edgewright.gates.verdict import Outcome, Verdict
from edgewright.runtime.preprocess import PAD_VALUE
from edgewright.runtime.session import ModelSpec
from tasks.engine.session import Session
from tasks.engine.tracking import Tracker

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
FILES = {"float": FLOAT_FILE, "int8": INT8_FILE}
"""Precision → file of the quantized model's artifact."""
_CODE = Path(__file__).with_name("model_code.py")
_EXAMPLE_PX = 32
"""Small: MLflow keeps its example as text. Empty, since a picture of the user's is not to be copied around."""


def model_name(project: str) -> str:
    return f"edgewright-{project}"


def alias_for(alias: str, tier: str) -> str:
    """
    >>> alias_for("champion", "full"), alias_for("champion", "basic")
    ('champion', 'champion-basic')
    """
    return alias if tier == TIERS[0] else f"{alias}-{tier}"


def register_models(session: Session, int8: Artifact, verdict: Verdict, *, tier: str = TIERS[0]) -> dict[str, str]:
    """Register both precisions; `challenger` names the INT8 version, and on a pass `champion` and `previous` follow.

    Of a further tier the aliases are `challenger-basic` and so on: what its gate says moves no other tier's.

    Law: registering the same model again adds nothing and moves nothing.

    Returns:
        precision → version.
    """
    registry = Registry(session.tracker, session.link.project)
    versions = registry.add(int8, verdict, tier=tier, mlflow_run_id=session.link.mlflow_parent)
    champion_alias, previous_alias = (alias_for(alias, tier) for alias in (CHAMPION, PREVIOUS))
    passed = verdict.outcome is Outcome.PASS
    registry.tag(versions["int8"], {"float_version": versions["float"], "gate": str(passed).lower()})
    registry.set_alias(alias_for(CHALLENGER, tier), versions["int8"])
    champion = registry.aliases.get(champion_alias)
    if passed and champion != versions["int8"]:
        if champion is not None:
            registry.set_alias(previous_alias, champion)
        registry.set_alias(champion_alias, versions["int8"])
    return versions


@dataclass(frozen=True)
class Registry:
    """The versions of one project's model."""

    tracker: Tracker
    project: str

    @property
    def name(self) -> str:
        return model_name(self.project)

    def add(self, int8: Artifact, verdict: Verdict, *, tier: str, mlflow_run_id: str) -> dict[str, str]:
        """Both precisions; one whose file is a version already (tag `sha256`) is not added again."""
        self._make_model()
        known = self._by_digest
        entries = int8.manifest.content.files
        return {
            precision: known.get(entries[file].sha256)
            or self._add_version(int8, precision, verdict, tier=tier, mlflow_run_id=mlflow_run_id)
            for precision, file in FILES.items()
        }

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self.tracker.client.set_model_version_tag(self.name, version, key, value)

    def set_alias(self, alias: str, version: str) -> None:
        self.tracker.client.set_registered_model_alias(self.name, alias, version)

    @property
    def aliases(self) -> dict[str, str]:
        """Alias => version; empty where the project has no model yet.

        Raises:
            StoreUnavailable: MLflow does not say. That it does not answer must never be read as "no champion".
        """
        from mlflow.exceptions import MlflowException

        try:
            found = self.tracker.client.get_registered_model(self.name).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise StoreUnavailable(
                "MLflow does not say which model is the champion",
                got=why(error),
                where=shown(self.tracker.uri),
                next_step="see what answers there, and run the same command again",
            ) from error
        return {alias: str(version) for alias, version in found.items()}

    def tags_of(self, version: str) -> dict[str, str]:
        return dict(self.tracker.client.get_model_version(self.name, version).tags)

    @property
    def _by_digest(self) -> dict[str, str]:
        versions = self.tracker.client.search_model_versions(f"name='{self.name}'")
        return {version.tags.get("sha256", ""): str(version.version) for version in versions}

    def _make_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.tracker.client.create_registered_model(self.name, description=_describe_model(self.name, self.project))
        except MlflowException:
            self.tracker.client.get_registered_model(self.name)  # it exists; anything else raises here

    def _add_version(self, int8: Artifact, precision: str, verdict: Verdict, *, tier: str, mlflow_run_id: str) -> str:
        client, entry = self.tracker.client, int8.manifest.content.files[FILES[precision]]
        folder = f"models/{precision}" if tier == TIERS[0] else f"models/{tier}/{precision}"
        with tempfile.TemporaryDirectory(prefix="edgewright-model-") as staged:
            save_model(int8, precision, out=Path(staged) / precision)
            client.log_artifacts(mlflow_run_id, str(Path(staged) / precision), folder)
        version = client.create_model_version(
            self.name,
            f"{client.get_run(mlflow_run_id).info.artifact_uri}/{folder}",
            mlflow_run_id,
            tags={
                "sha256": entry.sha256,
                "artifact": int8.ref.sha256,
                "bytes": str(entry.bytes),
                "precision": precision,
                "tier": tier,
            },
            description=_describe_version(int8, precision, verdict, tier=tier),
        )
        return str(version.version)


def save_model(int8: Artifact, precision: str, *, out: Path) -> None:
    """Write one precision as an MLflow model into the new folder `out`: files, code, signature and an example."""
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # it tells of every check that went well
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow warns of type hints of its own, at its import
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(
            str(out),
            python_model=str(_CODE),
            artifacts={"model": str(int8.path(FILES[precision])), "spec": str(int8.path(SPEC_FILE))},
            signature=_signature(ModelSpec.from_json(int8.json(SPEC_FILE)).score_threshold),
            input_example=np.full((_EXAMPLE_PX, _EXAMPLE_PX, 3), PAD_VALUE, np.uint8),
            pip_requirements=[f"edgewright=={edgewright.__version__}", "pandas"],
        )


def _signature(score_threshold: float) -> ModelSignature:
    """(H, W, 3) uint8 and, where another than the device's is wanted, a score threshold => a row an object."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    numbers = [ColSpec("float", name) for name in ("x1", "y1", "x2", "y2", "score")]
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, 3))]),
        outputs=Schema([*numbers, ColSpec("string", "class_name")]),
        params=ParamSchema([ParamSpec("score_threshold", "double", score_threshold)]),
    )


def _describe_model(name: str, project: str) -> str:
    return (
        f"The detector of project {project}. Its versions come in pairs: INT8, which devices run, and the float model "
        "that it was made from (tags `precision` and `float_version`). `champion` is the INT8 version that passed its "
        "gate last, no worse than the champion before it, which is `previous`; `challenger` is the newest. A further "
        "tier of devices has its own: `champion-basic` and so on, by the tag `tier`.\n\n"
        f'`mlflow.pyfunc.load_model("models:/{name}@champion").predict(image)` takes one picture, (H, W, 3) uint8 RGB, '
        "and returns a table, a row an object: x1, y1, x2, y2 in px of the picture, score, class_name. The parameter "
        "`score_threshold` is the device's unless given."
    )


def _describe_version(int8: Artifact, precision: str, verdict: Verdict, *, tier: str) -> str:
    spec = ModelSpec.from_json(int8.json(SPEC_FILE))
    size_mb = int8.manifest.content.files[FILES[precision]].bytes / 1e6
    classes = ", ".join(spec.classes)
    of_tier = "" if tier == TIERS[0] else f"For devices of tier {tier}: "
    return (
        f"{of_tier}{precision} detector of {len(spec.classes)} classes ({classes}), {spec.input_px} px input, "
        f"{size_mb:.2f} MB. "
        f"Gate: {verdict.sentence}"
    )
