"""What a home needs from time to time, done by a schedule: said on the flow run's page, and raised where it failed."""

from __future__ import annotations

from datetime import UTC, datetime

from edgewright.artifacts import open_store
from edgewright.errors import StageFailed
from edgewright.settings import read_settings
from tasks.engine.journal import home_lock
from tasks.engine.prefect_log import run_log
from tasks.engine.run import tracker_of
from tasks.serve.garbage import find_garbage, remove_garbage
from tasks.serve.releases import renew_metadata


def renew_releases() -> list[str]:
    """A line a project. Raises StageFailed where one could not be signed: its devices would refuse it in days."""
    renewed = renew_metadata(read_settings(), now=datetime.now(UTC))
    for one in renewed:
        run_log().info("%s", one)
    refused = [str(one) for one in renewed if one.refused or one.renewal.offline]
    if refused:
        raise StageFailed(
            "metadata could not be renewed",
            got="; ".join(refused),
            next_step="edgewright release renew, where the keys are",
        )
    return [str(one) for one in renewed]


def free_space(*, keep: int, remove: bool) -> str:
    """What nothing needs, removed where asked for. Raises HomeBusy while a run is live."""
    settings = read_settings()
    store = open_store(settings.store, scratch=settings.scratch / "s3")
    with home_lock(settings.home):
        plan = find_garbage(store, settings, tracker_of(settings), keep=keep)
        if remove:
            remove_garbage(store, settings, plan)
    said = f"{'freed' if remove else 'would free'} {plan.bytes / 1e6:.1f} MB: {len(plan.artifacts)} artifacts"
    run_log().info("%s", said)
    return said
