"""MLflow: one experiment a project, one parent run a pipeline run, a child a stage.

Decides names, tags and what is resumed: a stage that is run again joins its own child run instead of adding one; what
the store answers for stands in the tree too, and names the run that made it.
Refuses nothing: what MLflow cannot hold (a parenthesis in a metric name, an image of another type) is renamed here.
MLflow is imported when the first run is opened, since its import costs seconds; on a worker with everything else.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.errors import describe
from tasks.engine.first_call import first_call
from tasks.engine.links import run_path
from tasks.engine.prefect_log import BEGUN_BY_PREFECT

if BEGUN_BY_PREFECT:
    import mlflow  # noqa: F401

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from edgewright.runtime.boxes import Image

_MAX_PARAM = 6000
_MAX_TAG = 8000
_MAX_BATCH = 1000
_MAX_PARAMS = 100
_MAX_DIGEST = 36
_NOTE, _CACHED, _MADE_BY = "mlflow.note.content", "edgewright.cached", "edgewright.made_by"
_OF_EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}
"""Training, not agents: what MLflow goes by where an address does not say."""
_AXES = ("step", "epoch")
_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")
"""How MLflow says that it has no such run, or one that was deleted."""
_NAME = re.compile(r"[^\w./ -]")


def experiment_name(project: str) -> str:
    return f"edgewright/{project}"


def run_title(project: str, what: str, run_id: str) -> str:
    """What a run is called in MLflow and in Prefect alike; `what` is its recipe, or the stage that runs alone.

    >>> run_title("belt", "laptop", "20261129-090000-abc123")
    'belt laptop 20261129-090000-abc123'
    """
    return f"{project} {what} {run_id}"


def titled(name: str, tier: str) -> str:
    """What a stage or a gate is called in a run that has it once a tier.

    >>> titled("quantize", ""), titled("quantize", "basic")
    ('quantize', 'quantize@basic')
    """
    return f"{name}@{tier}" if tier else name


@dataclass(frozen=True)
class TrackedDataset:
    """A dataset as MLflow lists it among a run's inputs.

    Attributes:
        digest: hex; MLflow keeps its first 36 digits.
        uri: where it lies: `file://…` or `s3://…`.
        context: what the run took it for, e.g. `synthetic`.
        profile: counts.
    """

    name: str
    digest: str
    uri: str
    context: str
    profile: Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """What MLflow is told of a stage before it begins.

    A number that was asked for stands among the params and is no metric: `epochs` is logged once, not every epoch. One
    that came out otherwise is a result.

    Attributes:
        key: the stage's cache key, by which its run is known again.
        tier: of devices, whose detector it makes; "" for `full`, and for what all tiers share.
        description: Markdown, shown at the top of the run.
    """

    stage: str
    key: str
    description: str = ""
    tags: Mapping[str, object] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    datasets: Sequence[TrackedDataset] = ()
    tier: str = ""

    @property
    def title(self) -> str:
        """The name of its run, which says the tier too."""
        return titled(self.stage, self.tier)

    def results(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The metrics that are no echo of a param: its last word and its value.

        >>> entry = Entry("t", "k", params={"t.epochs": 16})
        >>> entry.results({"map50": 0.5, "detector/epochs": 16}), entry.results({"epochs": 12})
        ({'map50': 0.5}, {'epochs': 12})
        """
        asked = {(name.rpartition(".")[2], value) for name, value in self.params.items() if _is_number(value)}
        return {name: value for name, value in metrics.items() if (name.rpartition("/")[2], value) not in asked}


@dataclass(frozen=True)
class Tracker:
    """Opens and closes runs on one tracking server or sqlite file.

    Attributes:
        artifacts: where artifacts of a sqlite-tracked experiment lie; a remote server decides that itself.
    """

    uri: str
    artifacts: Path
    _experiments: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Parent run → its experiment, which never changes: asked once."""

    @cached_property
    def client(self) -> MlflowClient:
        if self.uri.startswith("sqlite:///"):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        from mlflow import MlflowClient

        for noisy in ("alembic", "mlflow", "mlflow.store.db.utils"):  # table creation is no news to a newcomer
            logging.getLogger(noisy).setLevel(logging.WARNING)
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to read: False for a database that no run has made yet, and reading would."""
        return not self.uri.startswith("sqlite:///") or Path(self.uri.removeprefix("sqlite:///")).is_file()

    @first_call
    def start_parent(
        self,
        project: str,
        *,
        run_id: str,
        name: str = "",
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> str:
        """Open a pipeline run's parent; the MLflow run id.

        Args:
            name: what people read; empty: the run's id.
        """
        own, experiment = {"edgewright.run_id": run_id, "edgewright.project": project}, self._experiment(project)
        made = self.client.create_run(experiment, run_name=name or run_id, tags={**own, **_tags(tags or {})})
        parent = str(made.info.run_id)
        self._experiments[parent] = experiment
        _log(self.client, parent, [], params=params)
        return parent

    @first_call
    def resume_parent(self, mlflow_run_id: str) -> bool:
        """Open a parent again after a crash. False where MLflow no longer knows it."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.update_run(mlflow_run_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code not in _UNKNOWN:  # it is silent: a second parent would be made as soon as it answers
                raise
            return False
        return True

    def finish_parent(self, mlflow_run_id: str, *, succeeded: bool) -> None:
        self.client.set_terminated(mlflow_run_id, "FINISHED" if succeeded else "FAILED")

    def experiment_of(self, mlflow_run_id: str) -> str:
        if mlflow_run_id not in self._experiments:
            self._experiments[mlflow_run_id] = str(self.client.get_run(mlflow_run_id).info.experiment_id)
        return self._experiments[mlflow_run_id]

    def tag(self, mlflow_run_id: str, tags: Mapping[str, object]) -> None:
        _log(self.client, mlflow_run_id, [], tags=tags)

    def log(self, mlflow_run_id: str, metrics: Mapping[str, float]) -> None:
        _log(self.client, mlflow_run_id, [(0, metrics)])

    def log_datasets(self, mlflow_run_id: str, datasets: Sequence[TrackedDataset]) -> None:
        """List datasets among a run's inputs; those that stand there already are not listed twice."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(
                    name=one.name,
                    digest=one.digest[:_MAX_DIGEST],
                    source_type="s3" if one.uri.startswith("s3:") else "local",
                    source=json.dumps({"uri": one.uri}),
                    profile=json.dumps(one.profile),
                ),
                [InputTag("mlflow.data.context", one.context)],
            )
            for one in datasets
        ]
        if inputs:
            _by_turns(lambda: self.client.log_inputs(mlflow_run_id, inputs))

    @contextmanager
    def child(self, parent: str, entry: Entry) -> Iterator[Child]:
        """A stage's run below its parent; FAILED, with what went wrong, where the body raises."""
        from mlflow.exceptions import MlflowException

        run_id = self._open_child(parent, entry)
        child = Child(self.client, run_id, entry)
        try:
            yield child
        except BaseException as raised:
            with suppress(MlflowException):  # on a full disk: what ended the stage matters more than the tracker
                child.tag({_NOTE: f"{describe(raised)}\n\n{entry.description}"})
                self.client.set_terminated(run_id, "FAILED")
            raise
        self.client.set_terminated(run_id, "FINISHED")

    def note_cached(self, parent: str, entry: Entry, *, metrics: Mapping[str, float], made: str) -> None:
        """A child run that says `cached`, for a stage that the store answered for; it names the run that made it.

        A stage that this very run has made, before it was interrupted, stands there already; one that it could not
        finish noting is noted to its end.

        Args:
            made: when and where the result was made, for where MLflow does not know that run.
        """
        experiment = self.experiment_of(parent)
        own = self._newest(experiment, _of_parent(parent, entry))
        if own is not None and own.info.status == "FINISHED":
            return
        known = self._newest(experiment, f"tags.`edgewright.key` = '{entry.key}' and attributes.status = 'FINISHED'")
        maker = known.data.tags.get(_MADE_BY, known.info.run_id) if known else ""
        link = f" in [this run]({run_path(experiment, maker)[1:]})" if maker else ""
        note = f"Taken from the store, not computed again: {made}{link}.\n\n{entry.description}"
        tags = {**entry.tags, _CACHED: "true", _NOTE: note, **({_MADE_BY: maker} if maker else {})}
        run_id = self._child_named(own, parent, entry, name=f"{entry.title} (cached)")
        _log(self.client, run_id, [(0, entry.results(metrics))], params=entry.params, tags=tags)
        self.log_datasets(run_id, entry.datasets)
        self.client.set_terminated(run_id, "FINISHED")

    def registered_digests(self) -> set[str]:
        """The `artifact` tag of every registered version: what `gc` never removes."""
        return {
            version.tags["artifact"] for version in self.client.search_model_versions() if version.tags.get("artifact")
        }

    def _experiment(self, project: str) -> str:
        name = experiment_name(project)
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = self.uri.startswith("sqlite:")
        location = (self.artifacts / project).as_uri() if local else None
        return str(self.client.create_experiment(name, artifact_location=location, tags=_OF_EXPERIMENT))

    def _open_child(self, parent: str, entry: Entry) -> str:
        """The stage's own run below this parent, opened again where there is one."""
        known = self._newest(self.experiment_of(parent), _of_parent(parent, entry))
        run_id = self._child_named(known, parent, entry, name=entry.title)
        tags = {**entry.tags, _CACHED: "false", **({_NOTE: entry.description} if entry.description else {})}
        _log(self.client, run_id, [], params=entry.params, tags=tags)
        self.log_datasets(run_id, entry.datasets)
        return run_id

    def _child_named(self, known: Run | None, parent: str, entry: Entry, *, name: str) -> str:
        """The run that is known, opened again, or a new one."""
        if known is None:
            return self._create_child(parent, entry, name=name)
        self.client.update_run(known.info.run_id, status="RUNNING", name=name)
        return str(known.info.run_id)

    def _create_child(self, parent: str, entry: Entry, *, name: str) -> str:
        tags = {"mlflow.parentRunId": parent, "edgewright.key": entry.key, "edgewright.stage": entry.stage}
        tags |= {"edgewright.tier": entry.tier} if entry.tier else {}
        return str(self.client.create_run(self.experiment_of(parent), run_name=name, tags=tags).info.run_id)

    def _newest(self, experiment: str, condition: str) -> Run | None:
        found = self.client.search_runs([experiment], condition, max_results=1, order_by=["attributes.start_time DESC"])
        return found[0] if found else None


@dataclass(frozen=True)
class Child:
    """A stage's open run."""

    client: MlflowClient
    run_id: str
    entry: Entry

    def log(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """One batch; call it once an epoch, not once a number."""
        self.log_history([(step, metrics)])

    def log_history(self, history: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Many steps in as few batches as MLflow allows; the step itself is the axis and no metric."""
        rows = [(step, self.entry.results(metrics)) for step, metrics in history]
        _log(self.client, self.run_id, [(step, _without(row, _AXES)) for step, row in rows])

    def steps(self, metric: str) -> set[int]:
        """The steps at which a metric has been logged, by an earlier process too."""
        return {point.step for point in self.client.get_metric_history(self.run_id, _clean(metric))}

    def tag(self, tags: Mapping[str, object]) -> None:
        _log(self.client, self.run_id, [], tags=tags)

    def log_image(self, image: Image, name: str) -> None:
        """(H, W, 3) uint8 as `name` (PNG) below the run's artifacts."""
        self.client.log_image(self.run_id, image, artifact_file=name)

    def log_json(self, value: Any, name: str) -> None:
        self.client.log_text(self.run_id, json.dumps(value, indent=1, sort_keys=True), name)


def _of_parent(parent: str, entry: Entry) -> str:
    """MLflow's condition for the runs of a stage's work below a parent."""
    return f"tags.`mlflow.parentRunId` = '{parent}' and tags.`edgewright.key` = '{entry.key}'"


def params_of(section: Mapping[str, Any], *, prefix: str) -> dict[str, object]:
    """A section's values by the names that `--set` takes.

    >>> params_of({"epochs": 2, "detector": {"width": 8}}, prefix="measure_utility.")
    {'measure_utility.epochs': 2, 'measure_utility.detector.width': 8}
    """
    found: dict[str, object] = {}
    for name, value in section.items():
        found |= params_of(value, prefix=f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _log(
    client: MlflowClient,
    run_id: str,
    history: Sequence[tuple[int, Mapping[str, float]]],
    *,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
) -> None:
    """Everything in one batch where MLflow allows it."""
    from mlflow.entities import Metric, Param, RunTag

    now_ms = int(time.time() * 1000)
    rows = [
        Metric(_clean(name), float(value), now_ms, step) for step, metrics in history for name, value in metrics.items()
    ]
    values = [Param(_clean(name), str(value)[:_MAX_PARAM]) for name, value in (params or {}).items()]
    marks = [RunTag(name, value) for name, value in _tags(tags or {}).items()]
    while rows or values or marks:
        now, then = values[:_MAX_PARAMS], values[_MAX_PARAMS:]
        room = _MAX_BATCH - len(now) - len(marks)
        client.log_batch(run_id, metrics=rows[:room], params=now, tags=marks)
        rows, values, marks = rows[room:], then, []


def _by_turns(name_datasets: Callable[[], None]) -> None:
    """Stages that run side by side may both be the first to name a data set: MLflow takes one, and finds it for the
    other when it is asked again."""
    from mlflow.exceptions import MlflowException

    for last in (False, False, True):
        try:
            name_datasets()
        except MlflowException as error:
            if last or "IntegrityError" not in str(error):
                raise
        else:
            return


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _without(metrics: Mapping[str, float], names: Collection[str]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in names}


def _tags(tags: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value)[:_MAX_TAG] for name, value in tags.items()}


def _clean(name: str) -> str:
    """A name that MLflow takes: `mAP50(B)` becomes `mAP50_B_`."""
    return _NAME.sub("_", name)
