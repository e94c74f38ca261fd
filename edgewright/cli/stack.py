"""`edgewright up`, `down`, `status`: the servers and workers of a home, from one command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewright.cli import completion
from edgewright.cli.home import home_settings, recording_settings
from edgewright.cli.printed import print_json
from edgewright.cli.words import SetOption
from edgewright.errors import InputError, StageFailed
from edgewright.settings import Settings

if TYPE_CHECKING:
    from tasks.serve.deployed import Wanted
    from tasks.serve.stack import Stack, Up

_DETACHED_WITHIN_S = 900.0
"""Longer than all that it waits for: each of that says better what is missing."""


def add_stack(application: typer.Typer) -> None:
    for command in (up, down, status, deploy, doctor):
        application.command()(command)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return when all of it is up; `down` ends it")] = False,
    mlflow_port: Annotated[int, typer.Option()] = 5000,
    prefect_port: Annotated[int, typer.Option()] = 4200,
    host: Annotated[
        str, typer.Option(help="Address to serve on; others than this machine need passwords")
    ] = "127.0.0.1",
    pool: Annotated[list[str], typer.Option(help="A worker for this pool; may be repeated. Default: all five")] = [],  # noqa: B006
    collector: Annotated[
        bool, typer.Option("--collector", help="The fleet's too; a home that has a fleet needs not ask")
    ] = False,
    pages_port: Annotated[int, typer.Option(help="Of the fleet's pages, on this machine alone")] = 8473,
) -> None:
    """Start Prefect, MLflow, the releases and a worker for each pool; deploy everything. Until Ctrl-C or SIGTERM."""
    settings = recording_settings()
    from edgewright.cli.launch import terminate_as_interrupt
    from tasks.engine.stage import POOLS
    from tasks.serve.stack import Stack, bring_up

    stack = Stack(prefect_port, mlflow_port, tuple(pool) or POOLS, host, collector, pages_port)
    if detach:
        _detached(settings, stack)
        return
    with terminate_as_interrupt():
        bring_up(settings, stack, say=_say)


def down() -> None:
    """End what `up` has started in this home, and what its workers run."""
    settings = home_settings()
    from tasks.serve.stack import take_down

    print("ended" if take_down(settings) else "nothing is up in this home")


def status(json_: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Say what of `up` is well; exit status 1 where something is not."""
    settings = home_settings()
    from tasks.serve.stack import state_of

    parts = state_of(settings)
    if json_:
        print_json([{"name": part.name, "well": part.well, "said": part.said} for part in parts])
    else:
        for part in parts:
            print(f"{part.name:<14} {'well' if part.well else 'NOT WELL':<9} {part.said}")
        if not parts:
            print("nothing is up in this home")
    if not parts or not all(part.well for part in parts):
        raise typer.Exit(1)


def deploy(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A preset or a YAML file; empty with --list or --delete", autocompletion=completion.recipes
        ),
    ] = "",
    source: Annotated[str, typer.Option(help="As for `run`; a folder must lie under EDGEWRIGHT_SOURCES")] = "",
    project: Annotated[str, typer.Option(help="Default: the source's name")] = "",
    set_: SetOption = [],  # noqa: B006 - typer's way to say "none"
    name: Annotated[str, typer.Option(help="Default: the recipe's name and the project")] = "",
    cron: Annotated[str, typer.Option(help="When, as '0 2 * * *'; none: by hand and by events")] = "",
    timezone: Annotated[str, typer.Option(help="Of the schedule, as Europe/Berlin")] = "UTC",
    list_: Annotated[bool, typer.Option("--list", help="Show what was deployed so")] = False,
    delete: Annotated[str, typer.Option(help="Delete the deployment of this name")] = "",
) -> None:
    """Put a recipe and its source on the Prefect server, to be started there by hand, by a schedule or by an event."""
    settings = recording_settings()
    from tasks.serve.prefect_server import standing_server

    with standing_server(settings) as server:
        from tasks.serve.deployed import delete_own, deploy_own, own_deployments

        if delete:
            delete_own(delete)
            _say(f"deleted {delete}")
        elif list_:
            for one in own_deployments():
                _say(f"{one.name:<32} {one.schedule:<28} {one.source}")
        else:
            wanted = _wanted(recipe, source, project, name=name, cron=cron, timezone=timezone, overrides=set_)
            _say(f"{deploy_own(wanted, settings)}  {server.api_url.removesuffix('/api')}/deployments")


def doctor(
    pool: Annotated[list[str], typer.Option(help="Look at this pool; may be repeated. Default: all five")] = [],  # noqa: B006
    json_: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Look at everything that a run needs, and say how to cure what is wrong; exit status 1 where something is."""
    settings = home_settings()
    from tasks.engine.stage import POOLS
    from tasks.serve.doctor import examine

    findings = []
    for finding in examine(settings, pools=pool or POOLS):
        findings.append(finding)
        if not json_:
            _say(f"{finding.name:<28} {'well' if finding.well else 'WRONG':<6} {finding.said}")
            if finding.cure:
                _say(f"{'':<35} Next: {finding.cure}")
    if json_:
        print_json([asdict(finding) for finding in findings])
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


def _wanted(
    recipe: str, source: str, project: str, *, name: str, cron: str, timezone: str, overrides: list[str]
) -> Wanted:
    """What is asked for, with the source and the names that a run of the same words would have."""
    from edgewright.recipe import resolve, source_for
    from tasks.engine.run import make_request
    from tasks.serve.deployed import Wanted

    if not recipe:
        raise InputError("a recipe is needed", expected="a preset or a YAML file", next_step="edgewright deploy RECIPE")
    resolved = resolve(recipe, overrides=overrides)
    request = make_request(resolved, source=source_for(resolved, source), project=project or None)
    named = name or f"{Path(recipe).stem}-{request.project}".lower()
    return Wanted(named, resolved, request.source, request.project, cron=cron, timezone=timezone)


def _detached(settings: Settings, stack: Stack) -> None:
    """Another process of the same command, in a session of its own; what it says goes to a file."""
    from tasks.serve.stack import ready_lines, record_of

    log = settings.home / "up.log"
    ports = ["--mlflow-port", str(stack.mlflow_port), "--prefect-port", str(stack.prefect_port)]
    host = ["--host", stack.host]
    fleet = ["--pages-port", str(stack.pages_port), *(["--collector"] if stack.collector else [])]
    pools = [word for pool in stack.pools for word in ("--pool", pool)]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgewright.cli", "up", *ports, *host, *fleet, *pools],
            env={**os.environ, "EDGEWRIGHT_HOME": str(settings.home)},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    deadline = time.monotonic() + _DETACHED_WITHIN_S
    try:
        while (found := _of(process, record_of(settings))) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise StageFailed("it did not come up", got=log.read_text()[-300:], where=log)
            time.sleep(0.2)
    except BaseException:
        process.terminate()  # what is not said to be up is not left behind
        raise
    for line in ready_lines(found, settings)[:-1]:
        _say(line)
    _say("`edgewright down` ends all of it")


def _of(process: subprocess.Popen[bytes], found: Up | None) -> Up | None:
    return found if found is not None and found.pid == process.pid else None


def _say(line: str) -> None:
    print(line, flush=True)
