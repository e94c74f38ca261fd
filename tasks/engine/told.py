"""What a stage says of its result, whether it was computed or found in the store.

Decides who hears it: the terminal, the run's record (`--json`), the task's log and an artifact in Prefect, the tags of
the run's MLflow parent. What is said is the stage's own (`@stage(tells=…)`), and no part of its cache key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect.context import TaskRunContext

from tasks.engine.tracking import titled

if TYPE_CHECKING:
    from edgewright.learning.provenance import Provenance
    from tasks.engine.session import Session


_KEYS = {"ingest": "dataset-card"}
"""What a stage understood is known by a name of its own where people look for one."""


@dataclass(frozen=True)
class Told:
    """What a person is told.

    Attributes:
        value: for machines, as JSON. lines: for a terminal and a log. markdown: for Prefect. tags: for MLflow.
    """

    value: Mapping[str, Any]
    lines: Sequence[str]
    markdown: str
    tags: Mapping[str, str]


def told_of_start(start: Provenance, *, stage: str) -> Told:
    """What a training began with, and under which licence."""
    tags = {f"{stage}.start.{name}": str(value) for name, value in start.to_json().items() if value}
    lines = [f"start  {start.summary}", *([f"note   {start.note}"] if start.note else [])]
    return Told({"start": start.to_json()}, lines, f"Began with {start.sentence}", tags)


def tell(told: Told, *, stage: str, session: Session, tier: str = "") -> None:
    """Say it everywhere but in the record. Args: tier: whose detector the stage makes, where it is not `full`."""
    session.observer.stage_told(titled(stage, tier), told.lines)
    tags = {f"{tier}.{name}" if tier else name: value for name, value in told.tags.items()}
    session.tracker.tag(session.link.mlflow_parent, tags)
    if TaskRunContext.get() is not None:
        _tell_prefect(told, stage, tier)


def _tell_prefect(told: Told, stage: str, tier: str) -> None:
    from prefect.artifacts import create_markdown_artifact
    from prefect.logging import get_run_logger

    logger = get_run_logger()
    for line in told.lines:
        logger.info(line)
    key = "-".join(filter(None, [_KEYS.get(stage, stage.replace("_", "-")), tier]))
    create_markdown_artifact(told.markdown, key=key, description=f"What {titled(stage, tier)} understood")
