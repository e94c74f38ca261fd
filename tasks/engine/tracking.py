"""MLflow: one experiment a project, one parent run a pipeline run, a child a stage.

Decides names, tags and what is resumed: a stage that is run again joins its own child run instead of adding one.
Refuses nothing: what MLflow cannot hold (a parenthesis in a metric name, an image of another type) is renamed here.
MLflow is imported when the first run is opened, since its import costs seconds.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.engine.first_call import first_call

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from edgewright.runtime.boxes import Image

_MAX_PARAM = 6000
_MAX_TAG = 8000
_MAX_BATCH = 1000
_NAME = re.compile(r"[^\w./ -]")


def experiment_name(project: str) -> str:
    return f"edgewright/{project}"


def model_name(project: str) -> str:
    return f"edgewright-{project}"


@dataclass(frozen=True)
class Tracker:
    """Opens and closes runs on one tracking server or sqlite file.

    Attributes:
        artifacts: where artifacts of a sqlite-tracked experiment lie; a remote server decides that itself.
    """

    uri: str
    artifacts: Path

    @cached_property
    def client(self) -> MlflowClient:
        if self.uri.startswith("sqlite:///"):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        from mlflow import MlflowClient

        for noisy in ("alembic", "mlflow", "mlflow.store.db.utils"):  # table creation is no news to a newcomer
            logging.getLogger(noisy).setLevel(logging.WARNING)
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @first_call
    def start_parent(self, project: str, *, run_id: str, params: Mapping[str, object] | None = None) -> str:
        """Open a pipeline run's parent; the MLflow run id."""
        run = self.client.create_run(
            self._experiment(project),
            run_name=run_id,
            tags={"edgewright.run_id": run_id, "edgewright.project": project},
        )
        self._params(run.info.run_id, params or {})
        return str(run.info.run_id)

    @first_call
    def resume_parent(self, mlflow_run_id: str) -> bool:
        """Open a parent again after a crash. False where MLflow no longer knows it."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.update_run(mlflow_run_id, status="RUNNING")
        except MlflowException:
            return False
        return True

    def finish_parent(self, mlflow_run_id: str, *, succeeded: bool, note: str = "") -> None:
        if note:
            self.tag(mlflow_run_id, {"mlflow.note.content": note})
        self.client.set_terminated(mlflow_run_id, "FINISHED" if succeeded else "FAILED")

    def tag(self, mlflow_run_id: str, tags: Mapping[str, object]) -> None:
        for name, value in tags.items():
            self.client.set_tag(mlflow_run_id, name, str(value)[:_MAX_TAG])

    def log(self, mlflow_run_id: str, metrics: Mapping[str, float]) -> None:
        _log(self.client, mlflow_run_id, [(0, metrics)])

    @contextmanager
    def child(self, parent: str, *, stage: str, key: str, tags: Mapping[str, object]) -> Iterator[Child]:
        """A stage's run below its parent; FAILED where the body raises."""
        from mlflow.exceptions import MlflowException

        run_id = self._child_id(parent, stage=stage, key=key)
        self.tag(run_id, tags)
        child = Child(self.client, run_id)
        try:
            yield child
        except BaseException:
            with suppress(MlflowException):  # on a full disk: what ended the stage matters more than the tracker
                self.client.set_terminated(run_id, "FAILED")
            raise
        self.client.set_terminated(run_id, "FINISHED")

    def register(
        self, project: str, *, mlflow_run_id: str, files: Mapping[str, Path], tags: Mapping[str, Mapping[str, str]]
    ) -> dict[str, str]:
        """Register files as versions of the project's model; an equal one (tag `sha256`) is not added again.

        Args:
            files: precision → file. tags: precision → tags, `sha256` among them.

        Returns:
            precision → version.
        """
        from mlflow.exceptions import MlflowException

        name = model_name(project)
        try:
            self.client.create_registered_model(name)
        except MlflowException:
            self.client.get_registered_model(name)  # it exists; anything else raises here
        known = {
            version.tags.get("sha256"): str(version.version)
            for version in self.client.search_model_versions(f"name='{name}'")
        }
        versions: dict[str, str] = {}
        for precision, path in files.items():
            found = known.get(tags[precision]["sha256"])
            versions[precision] = found or self._add_version(name, mlflow_run_id, precision, path, tags[precision])
        return versions

    def tag_version(self, project: str, version: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self.client.set_model_version_tag(model_name(project), version, key, value)

    def set_alias(self, project: str, alias: str, version: str) -> None:
        self.client.set_registered_model_alias(model_name(project), alias, version)

    def alias(self, project: str, alias: str) -> str | None:
        """The version that an alias names, or None."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.get_model_version_by_alias(model_name(project), alias).version)
        except MlflowException:
            return None

    def registered_digests(self) -> set[str]:
        """The `artifact` tag of every registered version: what `gc` never removes."""
        return {
            version.tags["artifact"] for version in self.client.search_model_versions() if version.tags.get("artifact")
        }

    def _add_version(self, name: str, run_id: str, precision: str, path: Path, tags: Mapping[str, str]) -> str:
        self.client.log_artifact(run_id, str(path), f"models/{precision}")
        source = f"{self.client.get_run(run_id).info.artifact_uri}/models/{precision}"
        version = self.client.create_model_version(name, source, run_id, tags={**tags, "precision": precision})
        return str(version.version)

    def _experiment(self, project: str) -> str:
        name = experiment_name(project)
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = self.uri.startswith("sqlite:")
        location = (self.artifacts / project).as_uri() if local else None
        return str(self.client.create_experiment(name, artifact_location=location))

    def _child_id(self, parent: str, *, stage: str, key: str) -> str:
        experiment = self.client.get_run(parent).info.experiment_id
        known = self.client.search_runs(
            [experiment], f"tags.`mlflow.parentRunId` = '{parent}' and tags.`edgewright.key` = '{key}'", max_results=1
        )
        if known:
            run_id = str(known[0].info.run_id)
            self.client.update_run(run_id, status="RUNNING")
            return run_id
        tags = {"mlflow.parentRunId": parent, "edgewright.key": key, "edgewright.stage": stage}
        return str(self.client.create_run(experiment, run_name=stage, tags=tags).info.run_id)

    def _params(self, run_id: str, params: Mapping[str, object]) -> None:
        from mlflow.entities import Param

        rows = [Param(_clean(name), str(value)[:_MAX_PARAM]) for name, value in params.items()]
        for start in range(0, len(rows), 100):
            self.client.log_batch(run_id, params=rows[start : start + 100])


@dataclass(frozen=True)
class Child:
    """A stage's open run."""

    client: MlflowClient
    run_id: str

    def log(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """One batch; call it once an epoch, not once a number."""
        self.log_history([(step, metrics)])

    def log_history(self, history: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Many steps in as few batches as MLflow allows."""
        _log(self.client, self.run_id, history)

    def steps(self, metric: str) -> set[int]:
        """The steps at which a metric has been logged, by an earlier process too."""
        return {point.step for point in self.client.get_metric_history(self.run_id, _clean(metric))}

    def tag(self, tags: Mapping[str, object]) -> None:
        for name, value in tags.items():
            self.client.set_tag(self.run_id, name, str(value)[:_MAX_TAG])

    def log_image(self, image: Image, name: str) -> None:
        """(H, W, 3) uint8 as `name` (PNG) below the run's artifacts."""
        self.client.log_image(self.run_id, image, artifact_file=name)

    def log_json(self, value: Any, name: str) -> None:
        self.client.log_text(self.run_id, json.dumps(value, indent=1, sort_keys=True), name)


def _log(client: MlflowClient, run_id: str, history: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    rows = [
        Metric(_clean(name), float(value), now_ms, step) for step, metrics in history for name, value in metrics.items()
    ]
    for start in range(0, len(rows), _MAX_BATCH):
        client.log_batch(run_id, metrics=rows[start : start + _MAX_BATCH])


def _clean(name: str) -> str:
    """A name that MLflow takes: `mAP50(B)` becomes `mAP50_B_`."""
    return _NAME.sub("_", name)
