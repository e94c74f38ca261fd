"""Who steps a rollout: the collector every minute, a schedule of the Prefect server every five while one runs.

Decides that the schedule is on while a rollout runs and off when none does: whoever begins or resumes one switches it
on, the flow that finds none switches it off. A step is the same whoever takes it, and one at a time
(`tasks/serve/fleet.py`). What an earlier step, or whatever else was signed, could not bring to the bucket of releases
is brought there with the steps, of rollouts that have ended too: a withdrawal has to reach devices. Refuses nothing: a
project whose rollout cannot be stepped is said, and holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from edgewright.errors import EdgewrightError, StageFailed
from edgewright.fleet.rollout import Rollout
from edgewright.settings import Settings, read_settings
from tasks.engine.prefect_log import run_log
from tasks.serve.fleet import running_rollouts, step_rollout
from tasks.serve.mirrors import keep_mirrored
from tasks.serve.releases import projects_of
from tasks.serve.repeated import repeated

DEPLOYMENT = "step-rollouts/every-five-minutes"
STEP_EVERY_S = 60.0


@dataclass(frozen=True)
class Stepped:
    """What became of one rollout, or why not."""

    project: str
    channel: str
    rollout: Rollout | None
    refused: str = ""

    def __str__(self) -> str:
        said = f"{self.rollout.plan.id}: {self.rollout.why}" if self.rollout else self.refused
        return f"{self.project} {self.channel}: {said}"


def step_running(settings: Settings) -> list[Stepped]:
    """A step of every rollout that runs, of every project of the home."""
    return [_stepped(settings, project, channel) for project, channel in running_rollouts(settings)]


def unmirrored(settings: Settings, *, but: Collection[str] = ()) -> dict[str, str]:
    """Bring every project's releases to the bucket; project => why they are not there.

    Args: but: projects that were brought there just now, or were not.
    """
    found = {}
    for repository in projects_of(settings):
        if repository.name in but:
            continue
        try:
            keep_mirrored(settings, repository)
        except EdgewrightError as error:
            found[repository.name] = str(error)
    return found


def step_by_schedule() -> list[str]:
    """What the flow does. Raises StageFailed where one could not be stepped: nobody else may be looking."""
    settings = read_settings()
    stepped = step_running(settings)
    for one in stepped:
        run_log().info("%s", one)
    behind = unmirrored(settings, but={one.project for one in stepped})
    if not stepped and not behind:
        run_log().info("no rollout runs: the schedule is switched off until one does")
        schedule_steps(active=False)
    refused = [str(one) for one in stepped if one.refused]
    if refused := [*refused, *(f"{project}: {why}" for project, why in behind.items())]:
        raise StageFailed("a rollout could not be stepped", got="; ".join(refused), next_step="edgewright fleet status")
    return [str(one) for one in stepped]


def schedule_steps(*, active: bool) -> bool:
    """Switch the schedule of the server that the environment names; whether there is one."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            return False
        for schedule in deployment.schedules:
            client.update_deployment_schedule(deployment.id, schedule.id, active=active)
        return bool(deployment.schedules)


def have_stepped(settings: Settings) -> str:
    """Switch the schedule on, where this home has a server; who steps the rollout, in words."""
    from httpx import HTTPError
    from prefect.exceptions import PrefectException

    from tasks.serve.prefect_server import standing_server

    with suppress(EdgewrightError, HTTPError, PrefectException), standing_server(settings) as server:
        if schedule_steps(active=True):
            return f"stepped every five minutes by {server.api_url.removesuffix('/api')}"
    return "stepped while `edgewright serve-collector` or `edgewright fleet watch` runs"


@contextmanager
def stepping(settings: Settings, say: Callable[[str], None]) -> Iterator[None]:
    """Step what runs every minute until the block ends; what changes is said."""
    said: dict[tuple[str, str], str] = {}

    def tell(project: str, channel: str, what: str, why: str) -> None:
        if said.get((project, channel)) != why:
            say(f"{what} {why}")
        said[project, channel] = why

    def step() -> None:
        stepped = step_running(settings)
        for one in stepped:
            tell(one.project, one.channel, "Rollout  ", str(one))
        behind = unmirrored(settings, but={one.project for one in stepped})
        for project, why in behind.items():
            tell(project, "", "Releases ", f"{project}: {why}")
        for known in [known for known in said if not known[1] and known[0] not in behind]:
            del said[known]  # away again, it is said again

    with repeated(step, every_s=STEP_EVERY_S, say=say):
        yield


def _stepped(settings: Settings, project: str, channel: str) -> Stepped:
    try:
        return Stepped(project, channel, step_rollout(settings, project, channel))
    except EdgewrightError as error:
        return Stepped(project, channel, None, refused=str(error))
