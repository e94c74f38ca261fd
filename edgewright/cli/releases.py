"""Commands about what is released: serve it, mirror it, renew its metadata, say how fresh they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from edgewright.cli import completion
from edgewright.cli.ceremonies import add_ceremonies
from edgewright.cli.home import home_settings
from edgewright.cli.printed import print_json
from edgewright.errors import InputError, StoreUnavailable

if TYPE_CHECKING:
    from edgewright.release.repository import RepositoryState

ProjectOption = Annotated[str, typer.Option(help="One project; default: all", autocompletion=completion.projects)]
_NOTHING = "nothing is released in this home yet. Next: edgewright run"


def add_releases(application: typer.Typer) -> None:
    """`edgewright serve-releases`, `edgewright release …`."""
    application.command(name="serve-releases")(serve_releases)
    group = typer.Typer(help="What is released, by whose keys, and how fresh its signatures are.", no_args_is_help=True)
    group.command(name="status")(release_status)
    group.command(name="renew")(release_renew)
    group.command(name="mirror")(release_mirror)
    add_ceremonies(group)
    application.add_typer(group, name="release")


def serve_releases(
    host: Annotated[str, typer.Option(help="A loopback address; default: the home's")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Kept by the home; default: the home's")] = 0,
) -> None:
    """Serve this home's releases to devices, and keep their metadata fresh, until Ctrl-C or SIGTERM."""
    settings = home_settings()
    from edgewright.cli.launch import terminate_as_interrupt
    from tasks.serve.releases import serve_until_ended

    with terminate_as_interrupt():
        serve_until_ended(settings, host=host, port=port, say=lambda line: print(line, flush=True))


def release_status(
    project: ProjectOption = "", json_: Annotated[bool, typer.Option("--json", help="Print a list of objects")] = False
) -> None:
    """Say what each project has released, where it is served, and when its metadata expire."""
    settings = home_settings()
    from edgewright.release.address import address_in
    from edgewright.release.repository import state_of
    from tasks.serve.releases import projects_of

    url = address_in(settings.releases).url
    states = {path.name: state_of(path) for path in projects_of(settings, project=project)}
    if json_:
        print_json([{"project": name, "url": f"{url}/{name}", **state.to_json()} for name, state in states.items()])
        return
    for name, state in states.items():
        _print_state(name, f"{url}/{name}", state)
    print("served while `edgewright serve-releases` or `edgewright ui` runs" if states else _NOTHING)
    if settings.releases_s3:
        print(f"mirrored to {settings.releases_s3.rstrip('/')}/PROJECT whenever something is signed")


def release_renew(project: ProjectOption = "") -> None:
    """Sign again what is half expired: devices refuse what is a week old. Exit code 2 where keys are missing."""
    settings = home_settings()
    from tasks.serve.releases import renew_metadata

    done = renew_metadata(settings, now=datetime.now(UTC), project=project)
    for renewed in done:
        print(renewed)
    if not done:
        print(_NOTHING)
    if any(renewed.refused or renewed.renewal.offline for renewed in done):
        next_step = f"bring their keys to {settings.keys}, renew, and take them away again"
        raise InputError("not everything could be signed again", next_step=next_step)
    if any(renewed.renewal.refused for renewed in done):
        raise InputError("not everything that waits could be announced", next_step="sign once more what it was to say")
    if any(renewed.unmirrored for renewed in done):
        raise StoreUnavailable("not everything could be mirrored", next_step="edgewright release mirror")


def release_mirror(
    to: Annotated[str, typer.Option(help="s3://bucket/prefix; default: what EDGEWRIGHT_RELEASES_S3 names")] = "",
    project: ProjectOption = "",
) -> None:
    """Copy what is released into a bucket, from which devices pull PREFIX/PROJECT by HTTP without a server of ours.

    With EDGEWRIGHT_RELEASES_S3 it happens by itself whenever something is signed.
    """
    settings = home_settings()
    from tasks.serve.mirrors import mirror_to
    from tasks.serve.releases import projects_of

    place = to or settings.releases_s3
    if not place:
        next_step = "give --to s3://bucket/prefix, or set EDGEWRIGHT_RELEASES_S3"
        raise InputError("a place to mirror to is needed", next_step=next_step)
    repositories = projects_of(settings, project=project)
    for repository in repositories:
        print(f"{repository.name}: {mirror_to(repository, place)}")
    if not repositories:
        print(_NOTHING)


def _print_state(name: str, url: str, state: RepositoryState) -> None:
    from edgewright.device.freshness import in_words, span

    now = datetime.now(UTC)
    print(f"{name}: {', '.join(f'{channel} release {number}' for channel, number in state.releases.items())}, {url}")
    print(f"  signed     {state.signed:%Y-%m-%d %H:%M} UTC, {span(now - state.signed)} ago")
    for role, expires in state.expires.items():
        print(f"  {role:<10} {expires:%Y-%m-%d %H:%M} UTC, {in_words(expires, now=now)}")
