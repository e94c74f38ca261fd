"""A run from the command line: SIGTERM as Ctrl-C, the home's Prefect server around it, the flow within."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

from edgewright.budget.plan import BudgetConfig
from edgewright.experiment.plan import EfficiencyConfig
from edgewright.rehearsal.plan import RehearsalConfig
from edgewright.settings import Settings
from flows.lifecycle import STAGES, lifecycle, stages_of
from tasks.engine.approval import resume_suspended
from tasks.engine.events import dataset_ready
from tasks.engine.fingerprint import reached
from tasks.engine.journal import RECORD_FILE, Journal
from tasks.engine.planner import plan_of
from tasks.engine.run import Request, open_run, require_ready, session_of
from tasks.engine.services import told_of_profile
from tasks.engine.session import Observer, Session, session_open
from tasks.engine.source import require_source
from tasks.engine.stage import Stage
from tasks.serve.prefect_server import live_server, prefect_server, standing_server, through

STAGE_NAMES = tuple(stage.name for stage in STAGES)


def n_stages(request: Request) -> int:
    """Of the life cycle that is asked for."""
    return len(stages_of(request.recipe))


def plan_lifecycle(request: Request, settings: Settings) -> list[dict[str, Any]]:
    """What a run would do, stage by stage; nothing is run and no server is started."""
    require_source(request.source, settings, trusted=request.trusted)
    session = session_of(request, settings, Journal(settings.runs / "plan" / RECORD_FILE))
    return plan_of(lifecycle.fn, session, request.recipe, request.source)


def run_lifecycle(request: Request, settings: Settings, *, observer: Observer | None = None) -> Journal:
    """Run, or continue.

    Raises:
        EdgewrightError: what ended the run; the journal holds it as `error`.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same command continues.
    """
    with _launched(request, settings, stages=STAGES, observer=observer) as session:
        lifecycle(request.recipe, request.source)
        return session.journal


def run_experiment(
    request: Request, config: EfficiencyConfig, settings: Settings, *, results: Path, observer: Observer | None = None
) -> Journal:
    """Run the label-efficiency experiment, or continue it; the journal names the page that it ends with.

    Raises:
        EdgewrightError: what ended it. KeyboardInterrupt: Ctrl-C; the same command continues after the last line.
    """
    from flows.label_efficiency import STAGES as OF_EXPERIMENT
    from flows.label_efficiency import label_efficiency

    with _launched(request, settings, stages=OF_EXPERIMENT, observer=observer) as session:
        label_efficiency(request.recipe, config, request.source, str(results.resolve()))
        return session.journal


def run_budget(
    request: Request, config: BudgetConfig, settings: Settings, *, observer: Observer | None = None
) -> Journal:
    """Look for the best detector within a budget, or continue; the journal names the page that it ends with.

    Raises:
        EdgewrightError: what ended it. KeyboardInterrupt: Ctrl-C; the same command continues.
    """
    from flows.budget import STAGES as OF_BUDGET
    from flows.budget import budget

    with _launched(request, settings, stages=OF_BUDGET, observer=observer) as session:
        budget(request.recipe, config, request.source)
        return session.journal


def run_rehearsal(
    request: Request, config: RehearsalConfig, settings: Settings, *, results: Path, observer: Observer | None = None
) -> Journal:
    """Rehearse a change of the simulated line, or continue; the journal names the page that it ends with.

    Raises:
        EdgewrightError: what ended it. KeyboardInterrupt: Ctrl-C; the same command continues.
    """
    from flows.rehearsal import STAGES as OF_REHEARSAL
    from flows.rehearsal import rehearsal

    with _launched(request, settings, stages=OF_REHEARSAL, observer=observer) as session:
        rehearsal(request.recipe, config, request.source, str(results.resolve()))
        return session.journal


def resume_flow_run(journal: Journal, settings: Settings, *, choice: str, person: str, why: str) -> bool:
    """Hand an answer to the flow run that waits for it on a server; False where none does."""
    if not journal.state["prefect_flow_run_id"] or not (settings.prefect_api_url or live_server(settings.home)):
        return False
    with prefect_server(settings) as server, through(server):
        return resume_suspended(journal, choice=choice, person=person, why=why)


def announce_dataset(settings: Settings, *, project: str, digest: str) -> None:
    """Say on the standing server, where there is one, that reviewed labels are a data set now."""
    if settings.prefect_api_url or live_server(settings.home):
        with standing_server(settings):
            dataset_ready(project=project, digest=digest)


@contextmanager
def _launched(
    request: Request, settings: Settings, *, stages: Sequence[Stage[...]], observer: Observer | None
) -> Iterator[Session]:
    """The server starts while MLflow is opened and the stages' code is read: each takes a second or more."""
    require_ready(request, settings)
    if said := told_of_profile(settings):
        print(f"edgewright: {said}", file=sys.stderr)
    with (
        terminate_as_interrupt(),
        prefect_server(settings) as server,
        open_run(request, settings, observer=observer) as session,
    ):
        for stage in stages:
            reached(stage.fn)
        server.wait()
        with through(server), session_open(session):
            yield session


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: the checkpoint stands, the journal says interrupted, the server is ended.

    Only in the main thread, which alone may say what a signal does; in another one the process stays as it is.
    """
    if current_thread() is not main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
