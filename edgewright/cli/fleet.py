"""`edgewright serve-collector`, `edgewright fleet …`: words in, sentences out. Decides nothing."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewright.cli import completion
from edgewright.cli.home import home_settings
from edgewright.cli.printed import print_json
from edgewright.errors import ArtifactCorrupt, InputError, StoreUnavailable

if TYPE_CHECKING:
    from edgewright.fleet.rollout import Rollout
    from edgewright.settings import Settings
    from tasks.serve.fleet import Fleet

Project = Annotated[str, typer.Option(help="Whose devices", autocompletion=completion.projects)]
Channel = Annotated[str, typer.Option(help="Of the project")]


def add_fleet(application: typer.Typer) -> None:
    """`edgewright fleet …`."""
    group = typer.Typer(help="Many devices: what they run, and how a release spreads.", no_args_is_help=True)
    for command in (invite, expel, status, twin, page, frames, rollout, step, watch, halt, resume, rollback):
        group.command()(command)
    application.add_typer(group, name="fleet")
    application.command(name="serve-collector")(serve_collector)


def serve_collector(
    name: Annotated[str, typer.Option(help="By which devices find it; default: the home's, first 127.0.0.1")] = "",
    host: Annotated[str, typer.Option(help="Address to listen on; default: the home's, first 127.0.0.1")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Kept by the home; default: the home's, first 8472")] = 0,
    pages_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the fleet's pages, on this machine alone")
    ] = 8473,
    mqtt: Annotated[
        str,
        typer.Option(help="A broker at which devices are heard, too: mqtt(s)://host, @FILE or off; kept by the home"),
    ] = "",
) -> None:
    """Let devices in, hear what they tell, and step rollouts by it, until Ctrl-C or SIGTERM.

    TLS with certificates at both ends, so that it may listen to the world.
    """
    settings = home_settings()
    from edgewright.cli.launch import terminate_as_interrupt
    from tasks.serve.watching import serve_until_ended

    with terminate_as_interrupt():
        serve_until_ended(
            settings,
            name=name,
            host=host,
            port=port,
            pages_port=pages_port,
            broker=mqtt,
            say=lambda line: print(line, flush=True),
        )


def invite(
    project: Project,
    channel: Channel = "stable",
    device: Annotated[str, typer.Option(help="Its name; default: the device says it")] = "",
    tier: Annotated[str, typer.Option(help="Which of a release's bundles it runs; auto: it measures")] = "full",
    hours: Annotated[float, typer.Option(min=0, help="How long the token is good")] = 168.0,
    releases_url: Annotated[str, typer.Option(help="Where it pulls releases; default: the home's address")] = "",
) -> None:
    """Print a token that lets one device in, once: for `edgewright-device enroll` on it. It is a secret."""
    settings = home_settings()
    from edgewright.addresses import checked
    from edgewright.device.offer import AUTO, TIERS
    from tasks.serve.collector import invited

    if tier not in (*TIERS, AUTO):
        raise InputError("not a tier", expected=", ".join((*TIERS, AUTO)), got=tier)
    url = checked(releases_url) if releases_url else ""
    token = invited(settings, project, channel=channel, tier=tier, device=device, life_s=3600 * hours, releases_url=url)
    print(token.to_text())


def expel(
    device: Annotated[str, typer.Argument(help="Its name")],
    project: Project,
    why: Annotated[str, typer.Option(help="Said to the device, and kept")],
) -> None:
    """Hear a device no more, from its next question on. A token that names it lets it in again, with a new key."""
    settings = home_settings()
    from tasks.serve.collector import expelled

    expelled(settings, project, device, why=why)
    print(f"{device} is heard no more")


def status(
    project: Project,
    channel: Channel = "stable",
    json_: Annotated[bool, typer.Option("--json", help="One object")] = False,
) -> None:
    """Say what each device runs, when it was heard last, and how the rollout stands."""
    settings = home_settings()
    from tasks.serve.fleet import fleet_of

    fleet = fleet_of(settings, project, channel)
    if json_:
        print_json(
            {
                "project": project,
                "channel": channel,
                "devices": {name: told.__dict__ for name, told in fleet.told.items()},
                "unreadable": fleet.unreadable,
                "rollout": fleet.rollout.to_json() if fleet.rollout else None,
                "superseded": fleet.superseded,
            }
        )
        return
    _print_devices(fleet)
    if fleet.rollout:
        _print(fleet.rollout)
    if fleet.superseded:
        print(f"superseded: devices are told {fleet.signed.id if fleet.signed else 'no plan'}")


def twin(
    device: Annotated[str, typer.Argument(help="Its name")], project: Project, channel: Channel = "stable"
) -> None:
    """What a device is to be, as it is signed, beside what it said last: JSON."""
    settings = home_settings()
    from tasks.serve.fleet import twin_in

    print_json(twin_in(settings, project, channel, device))


def page(
    project: Project,
    channel: Channel = "stable",
    out: Annotated[Path, typer.Option(help="An HTML file")] = Path("fleet.html"),
) -> None:
    """Write the fleet as a page: the rollout, a map of its cohort, what runs, what devices told over a day."""
    settings = home_settings()
    from edgewright.files import READABLE, write_atomically
    from tasks.serve.fleet import page_of

    write_atomically(out, page_of(settings, project, channel).encode(), mode=READABLE)
    print(f"written to {out}")


def frames(
    project: Project,
    json_: Annotated[bool, typer.Option("--json")] = False,
    forget_reviewed: Annotated[
        bool,
        typer.Option("--forget-reviewed", help="Those that a person has answered: show what would go, or remove it"),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run/--yes", help="For --forget-reviewed")] = True,
) -> None:
    """Hard frames that the project's devices sent. `edgewright review export RUN --part fleet` writes them out."""
    settings = home_settings()
    if forget_reviewed:
        _forget_reviewed(settings, project, dry_run=dry_run)
        return
    from tasks.serve.collector import frames_of

    found = frames_of(settings).frames(project)
    if json_:
        print_json([{"id": frame.id, "picture": str(frame.picture), **frame.facts} for frame in found])
        return
    for device in sorted({frame.device for frame in found}):
        own = [frame for frame in found if frame.device == device]
        why = Counter(max(frame.facts["why"], key=frame.facts["why"].get) for frame in own)
        print(f"{device}: {len(own)} hard frames, {', '.join(f'{count} {name}' for name, count in why.most_common())}")
    print(f"{len(found)} hard frames in {settings.fleet / 'frames' / project}")


def _forget_reviewed(settings: Settings, project: str, *, dry_run: bool) -> None:
    from edgewright.cli.home import home_store
    from tasks.serve.hard_frames import find_reviewed, forget

    found = find_reviewed(settings, home_store(settings), project)
    if not dry_run:
        forget(settings, found)
    what = f"{len(found.frames)} reviewed frames of {project}, {found.bytes / 1e6:.1f} MB"
    print(f"{'would free' if dry_run else 'freed'} {what}; {found.waiting} wait for a review")
    if dry_run and found.frames:
        print(f"nothing was removed. Next: edgewright fleet frames --project {project} --forget-reviewed --yes")


def rollout(
    release: Annotated[int, typer.Argument(help="A permitted release's number")],
    project: Project,
    channel: Channel = "stable",
    stages: Annotated[str, typer.Option(help="Shares of the devices, rising to 1")] = "0.01,0.05,0.25,1",
    dwell_minutes: Annotated[float, typer.Option(help="How long each stage lasts at least")] = 30.0,
) -> None:
    """Begin to roll a release out: to a first few devices."""
    settings = home_settings()
    from tasks.serve.fleet import begin_rollout

    try:
        shares = [float(part) for part in stages.split(",")]
    except ValueError as error:
        raise InputError("not shares", expected="as 0.01,0.05,0.25,1", got=stages) from error
    _print(begin_rollout(settings, project, channel, release=release, stages=shares, dwell_s=60 * dwell_minutes))
    _print_who_steps()


def step(project: Project, channel: Channel = "stable") -> None:
    """Look at what devices said since, and take the next step."""
    settings = home_settings()
    from tasks.serve.fleet import step_rollout

    _print(step_rollout(settings, project, channel))


def watch(
    project: Project,
    channel: Channel = "stable",
    every_s: Annotated[float, typer.Option(help="Seconds between two steps")] = 60.0,
) -> None:
    """Step until the rollout has ended, or Ctrl-C. What cannot be read or written now is tried again."""
    settings = home_settings()
    from tasks.serve.fleet import step_rollout

    said = ""
    while True:
        try:
            now = step_rollout(settings, project, channel)
        except (StoreUnavailable, ArtifactCorrupt) as error:
            print(f"tries again: {error}", file=sys.stderr)
            time.sleep(every_s)
            continue
        if now.why != said:
            _print(now)
            said = now.why
        if now.ended:
            return
        time.sleep(every_s)


def halt(project: Project, channel: Channel = "stable") -> None:
    """Who has the release keeps it, nobody else takes it."""
    from edgewright.fleet.rollout import halted

    _changed(project, channel, halted)


def resume(project: Project, channel: Channel = "stable") -> None:
    """Go on where it was halted; the stage begins anew."""
    from edgewright.fleet.rollout import resumed

    _changed(project, channel, resumed)
    _print_who_steps()


def rollback(project: Project, channel: Channel = "stable") -> None:
    """Whoever has the release goes back to what ran before, within a poll."""
    from edgewright.fleet.rollout import withdrawn

    _changed(project, channel, withdrawn)


def _changed(project: str, channel: str, change: object) -> None:
    settings = home_settings()
    from tasks.serve.fleet import change_rollout

    _print(change_rollout(settings, project, channel, change))  # type: ignore[arg-type]


def _print_who_steps() -> None:
    settings = home_settings()
    from tasks.serve.rollouts import have_stepped

    print(have_stepped(settings))


def _print(rollout: Rollout) -> None:
    plan = rollout.plan
    print(f"{plan.id}: release {plan.release} to {plan.share:.1%}, otherwise {plan.otherwise}; {rollout.why}")


def _print_devices(fleet: Fleet) -> None:
    from edgewright.fleet.reports import SILENT_AFTER_S

    now = datetime.now(UTC).timestamp()
    for name in fleet.devices:
        if name in fleet.unreadable:
            print(f"{name:24} sent what cannot be read: {fleet.unreadable[name]}")
            continue
        told = fleet.told[name]
        parts = [
            f"release {told.release}",
            f"refused {told.offered}" if told.failed else "",
            f"{told.p95_ms:.0f} ms" if told.p95_ms else "",
            f"{told.detections:.1f} detections a frame" if told.detections is not None else "",
            f"silent for {(now - told.at) / 3600:.0f} h" if now - told.at > SILENT_AFTER_S else "",
        ]
        print(f"{name:24} {', '.join(filter(None, parts))}")
    if not fleet.devices:
        print("no device has reported yet")
