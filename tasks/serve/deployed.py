"""`edgewright deploy`: the user's own recipe as a deployment of the life cycle, with a schedule where one is wanted.

Decides its name, that it runs in pool `control`, and that what would be refused at night is refused now: a schedule
that Prefect cannot read, a source that a worker may not read, a recipe that is none. Deletes nothing that it has not
made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Schedule
from pydantic import ValidationError

from edgewright.errors import InputError, meant
from edgewright.recipe import Recipe
from edgewright.settings import Settings
from tasks.engine.session import may_read
from tasks.engine.source import is_local, project_of
from tasks.serve.deploying import shipped_lifecycles
from tasks.serve.workers import CONTROL

OWN = "edgewright:own"
"""The tag of what was deployed by this command."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FLOW = "lifecycle"
_ENTRYPOINT = "flows.lifecycle:lifecycle"


@dataclass(frozen=True)
class Wanted:
    """What is to be deployed.

    Attributes:
        cron: five fields, or "" for none: it is then started by hand, by an event or in Prefect's pages.
        timezone: of the schedule, as `Europe/Berlin`.
    """

    name: str
    recipe: Recipe
    source: str
    project: str = ""
    cron: str = ""
    timezone: str = "UTC"


@dataclass(frozen=True)
class Deployed:
    """One line of the list."""

    name: str
    source: str
    schedule: str


def deploy_own(wanted: Wanted, settings: Settings) -> str:
    """Make or replace `lifecycle/<name>`; that name.

    Raises:
        InputError: a name, a schedule or a source that would not do.
    """
    if not _NAME.fullmatch(wanted.name):
        raise InputError("not a name for a deployment", expected="a to z, 0 to 9 and -", got=wanted.name)
    if wanted.name in shipped_lifecycles():
        raise InputError(
            "a deployment of this name comes with edgewright",
            got=wanted.name,
            next_step=f"--name my-{wanted.name}",
        )
    schedule = _schedule(wanted)
    _require_readable(wanted.source, settings)
    project = wanted.project or project_of(wanted.source)
    deployment = RunnerDeployment.from_entrypoint(
        _ENTRYPOINT,
        name=wanted.name,
        parameters={"recipe": wanted.recipe.model_dump(mode="json"), "source": wanted.source, "project": project},
        schedule=schedule,
        tags=[f"pool:{CONTROL}", OWN, f"project:{project}"],
        work_pool_name=CONTROL,
        concurrency_limit=ConcurrencyLimitConfig(limit=1),
        description=f"The life cycle of {wanted.source}, deployed at a command line.",
    )
    deployment._path = None  # what is installed is run; else each run begins by copying the folder of this command
    deployment.apply()
    return f"{_FLOW}/{wanted.name}"


def own_deployments() -> list[Deployed]:
    """What this command has deployed on the server, by name."""
    return sorted((_line(one) for one in _own()), key=lambda line: line.name)


def delete_own(name: str) -> None:
    """Raises InputError where this command has deployed nothing of that name."""
    known = {one.name: one for one in _own()}
    if name not in known:
        raise InputError(
            "nothing of that name was deployed by `edgewright deploy`",
            expected=", ".join(sorted(known)),
            got=name,
            next_step=meant(name, sorted(known)),
        )
    with get_client(sync_client=True) as client:
        client.delete_deployment(known[name].id)


def _own() -> list[DeploymentResponse]:
    with get_client(sync_client=True) as client:
        return client.read_deployments(deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[OWN])))


def _line(one: DeploymentResponse) -> Deployed:
    schedules = [each.schedule for each in one.schedules]
    said = [f"{each.cron} {each.timezone}" for each in schedules if isinstance(each, CronSchedule)]
    return Deployed(one.name, str(one.parameters.get("source", "")), ", ".join(said) or "none")


def _schedule(wanted: Wanted) -> Schedule | None:
    try:
        ZoneInfo(wanted.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError("no such time zone", expected="as Europe/Berlin", got=wanted.timezone) from error
    if not wanted.cron:
        return None
    try:
        CronSchedule(cron=wanted.cron, timezone=wanted.timezone)  # which looks at it; the other does not
    except ValidationError as error:
        raise InputError(
            "not a schedule", expected="minute hour day month weekday, as '0 2 * * *'", got=wanted.cron
        ) from error
    return Cron(wanted.cron, timezone=wanted.timezone)


def _require_readable(source: str, settings: Settings) -> None:
    """A worker reads only what its environment allows: at the time of its run nobody would be there to be told."""
    if is_local(source) and not may_read(Path(source), settings, trusted=False):
        raise InputError(
            "workers may not read this source",
            expected="a folder under EDGEWRIGHT_SOURCES",
            got=source,
            next_step=f"export EDGEWRIGHT_SOURCES={Path(source).resolve().parent}, here and where `edgewright up` runs",
        )
