"""Who steps a rollout: the collector every minute, a schedule of the Prefect server every five while one runs.

Decides that the schedule is on while a rollout runs and off when none does: whoever begins or resumes one switches it
on, the flow that finds none switches it off. A step is the same whoever takes it, and one at a time
(`tasks/serve/fleet.py`). Refuses nothing: a project whose rollout cannot be stepped is said, and holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from edgewright.errors import EdgewrightError, StageFailed
from edgewright.fleet.rollout import Rollout
from edgewright.settings import Settings, read_settings
from tasks.engine.prefect_log import run_log
from tasks.serve.fleet import running_rollouts, step_rollout
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


def step_by_schedule() -> list[str]:
    """What the flow does. Raises StageFailed where one could not be stepped: nobody else may be looking."""
    stepped = step_running(read_settings())
    for one in stepped:
        run_log().info("%s", one)
    if not stepped:
        run_log().info("no rollout runs: the schedule is switched off until one does")
        schedule_steps(active=False)
    if refused := [str(one) for one in stepped if one.refused]:
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

    def step() -> None:
        for one in step_running(settings):
            if said.get((one.project, one.channel)) != str(one):
                say(f"Rollout   {one}")
            said[one.project, one.channel] = str(one)

    with repeated(step, every_s=STEP_EVERY_S, say=say):
        yield


def _stepped(settings: Settings, project: str, channel: str) -> Stepped:
    try:
        return Stepped(project, channel, step_rollout(settings, project, channel))
    except EdgewrightError as error:
        return Stepped(project, channel, None, refused=str(error))
