"""What MLflow is told of a stage: its section's values, the datasets that it reads, what it is for, whose code it is.

Decides the names: a value is called what `--set` calls it, a dataset by its project and kind, an input that is no
artifact by its own name. Refuses nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from edgewright.artifacts import ArtifactRef, Store
from edgewright.report.profile import profile_of
from tasks.engine.code_origin import file_of, source_tags
from tasks.engine.tracking import Entry, TrackedDataset, params_of

if TYPE_CHECKING:
    from edgewright.artifacts import Manifest
    from edgewright.recipe.section import Section
    from tasks.engine.session import Session

_DATASETS = "dataset_"


class Described(Protocol):
    """What is read of a stage."""

    @property
    def fn(self) -> Callable[..., ArtifactRef]: ...
    @property
    def name(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def pool(self) -> str: ...


def entry_of(
    stage: Described, config: Section, inputs: Mapping[str, Any], *, session: Session, key: str, tags: Mapping[str, str]
) -> Entry:
    """The stage's part of a run, as it stands in MLflow before it begins."""
    named = {name: value for name, value in inputs.items() if not isinstance(value, ArtifactRef)}
    values = params_of(config.model_dump(mode="json"), prefix=f"{stage.name}.")
    return Entry(
        stage=stage.name,
        key=key,
        tier=stage.tier,
        description=inspect.getdoc(stage.fn) or "",
        tags={"pool": stage.pool, "stage.digest": key, **source_tags(file_of(stage.fn)), **tags},
        params={**values, "seed": session.link.seed, **named},
        datasets=[
            tracked_dataset(session.store, value, project=session.link.project, context=name)
            for name, value in inputs.items()
            if is_dataset(value)
        ],
    )


def is_dataset(value: object) -> bool:
    return isinstance(value, ArtifactRef) and value.kind.startswith(_DATASETS)


def tracked_dataset(store: Store, ref: ArtifactRef, *, project: str, context: str) -> TrackedDataset:
    """`demo/real`, `demo/synthetic`, …: one a kind, a digest each time that it changes."""
    name = f"{project}/{ref.kind.removeprefix(_DATASETS)}"
    return TrackedDataset(name, ref.sha256, ref.uri, context, profile_of(store, ref))


def made_at(manifest: Manifest) -> str:
    """When and where a result was made, to be read after it was taken from the store."""
    record = manifest.record
    return f"made {record.created_at or 'at an unknown time'} on {record.host or 'an unknown host'}"
