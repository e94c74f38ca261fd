"""`edgewright release init|publish|rotate-key|revoke|floor|frames|verify|list`: what people do with a project's keys.

Decides who is asked for a passphrase: whoever sits at the terminal, once a key, of a new one twice. Says of what was
signed away from the online keys that it waits, not that it is out. Refuses to ask where nobody sits.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgewright.cli import completion
from edgewright.cli.home import home_settings
from edgewright.cli.printed import print_json
from edgewright.errors import InputError

if TYPE_CHECKING:
    from edgewright.device.offer import Policy
    from edgewright.release.keys import Keys
    from edgewright.settings import Settings

Project = Annotated[str, typer.Option(help="Whose releases", autocompletion=completion.projects)]
Channel = Annotated[str, typer.Option(help="Of the project")]


def add_ceremonies(group: typer.Typer) -> None:
    """Into the group `edgewright release`."""
    commands: dict[str, Callable[..., None]] = {
        "init": init,
        "publish": publish,
        "rotate-key": rotate,
        "revoke": revoke,
        "floor": floor,
        "frames": frames,
        "verify": verify,
        "list": list_releases,
    }
    for name, command in commands.items():
        group.command(name=name)(command)


def init(
    project: Annotated[str, typer.Argument(help="A project that has released nothing yet")],
    passphrases: Annotated[
        bool, typer.Option("--passphrases/--unattended", help="Ask for one for each offline key: root's and targets'")
    ] = True,
) -> None:
    """Make a project's keys and a repository that permits nothing yet."""
    settings = home_settings()
    from edgewright.release.ceremony import init_repository

    where = {"repository": settings.releases / project, "keys": settings.keys / project}
    signed = init_repository(
        **where, now=datetime.now(UTC), passphrase=_new if passphrases else None, secret=settings.keys_opened_by
    )
    print(f"signed {', '.join(signed)}; keys in {where['keys']}")
    _mirror(settings, project)
    if passphrases:
        print("take root-1, root-2, root-3 and targets elsewhere: devices need them for nothing")


def publish(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder")],
    project: Project,
    channel: Channel = "stable",
    tier: Annotated[Literal["full", "optimized", "basic"], typer.Option(help="Of devices that it is for")] = "full",
    roll_out: Annotated[
        bool, typer.Option("--roll-out/--permit", help="To all devices now, or leave that to a rollout")
    ] = False,
) -> None:
    """Sign a bundle as a release that devices of the channel may run."""
    settings = home_settings()
    from edgewright.release.repository import publish_release

    done = publish_release(
        bundle,
        repository=settings.releases / project,
        keys=settings.keys / project,
        channel=channel,
        now=datetime.now(UTC),
        tier=tier,
        roll_out=roll_out,
        secret=settings.keys_opened_by,
        passphrase=_known,
    )
    if done.waits:
        said = "is permitted once that is announced"
    else:
        said = "permitted" if done.published else "was permitted already"
    print(f"{channel} release {done.version}, {tier}, {said}; {_outcome(done.signed, done.waits)}")
    _mirror(settings, project)


def rotate(
    name: Annotated[str, typer.Argument(help="root-1, root-2, root-3, targets, rollout, snapshot or timestamp")],
    project: Project,
) -> None:
    """Replace a key by a new one, which devices learn of by the others."""
    settings = home_settings()
    from edgewright.release.ceremony import rotate_key

    signed = rotate_key(
        name,
        repository=settings.releases / project,
        keys=settings.keys / project,
        now=datetime.now(UTC),
        passphrase=_known,
        new_passphrase=_new,
        secret=settings.keys_opened_by,
    )
    print(f"{name} is a new key; signed {', '.join(dict.fromkeys(signed)) or 'nothing'}")
    _mirror(settings, project)


def revoke(
    release: Annotated[int, typer.Argument(help="The release's number")], project: Project, channel: Channel = "stable"
) -> None:
    """Permit a release no longer; the files stay, and no device takes them."""
    settings = home_settings()
    from edgewright.release.repository import revoke_release

    signed = revoke_release(
        release,
        repository=settings.releases / project,
        channel=channel,
        now=datetime.now(UTC),
        read=_opening(settings, project),
    )
    said = "is permitted no longer" if _is_out(signed) else "is permitted until that is announced"
    print(f"{channel} release {release} {said}; {_outcome(signed)}")
    _mirror(settings, project)


def floor(
    release: Annotated[int, typer.Argument(help="No lower release may be run")],
    project: Project,
    channel: Channel = "stable",
    allow_rollback: Annotated[
        bool, typer.Option("--allow-rollback", help="Devices that know a higher floor lower it to this one")
    ] = False,
) -> None:
    """Set the lowest release that devices of the channel may run."""
    settings = home_settings()
    from edgewright.release.repository import set_policy

    def change(before: Policy) -> Policy:
        if release < before.floor and not allow_rollback:
            raise InputError(
                "a floor that falls",
                expected=f">= {before.floor}",
                got=release,
                next_step="--allow-rollback lets devices go back",
            )
        return replace(before, floor=release, allow_rollback_to=release if allow_rollback else None)

    policy, signed = set_policy(
        change,
        repository=settings.releases / project,
        channel=channel,
        now=datetime.now(UTC),
        read=_opening(settings, project),
    )
    said = f"no release below {policy.floor}"
    print(f"{channel}: {said}{'' if _is_out(signed) else ', once that is announced'}; {_outcome(signed)}")
    _mirror(settings, project)


def frames(
    project: Project,
    channel: Channel = "stable",
    an_hour: Annotated[
        int,
        typer.Option(min=0, help="Hard frames that a device keeps in an hour, at most; 0: with --escalate-to alone"),
    ] = 6,
    a_day: Annotated[int, typer.Option(min=1, help="…and in a day")] = 60,
    max_mb: Annotated[int, typer.Option(min=1, help="What may wait on a device")] = 50,
    blur: Annotated[list[str] | None, typer.Option(help="A class to hide wherever it is suspected; repeatable")] = None,
    blur_bundle: Annotated[
        Path | None, typer.Option(help="A bundle whose classes are all hidden; devices have it in their `blur/`")
    ] = None,
    escalate_to: Annotated[
        str, typer.Option(help="https://host:port of `edgewright serve-model`, which doubted frames are asked about")
    ] = "",
    escalate_share: Annotated[float, typer.Option(min=0, max=1, help="…of all frames, at most")] = 0.05,
    deadline_ms: Annotated[int, typer.Option(help="…after which an answer counts no longer")] = 300,
    escalate_mb: Annotated[int, typer.Option(min=1, help="…that may leave for it in an hour")] = 50,
    escalate_doubt: Annotated[float, typer.Option(min=0.01, max=1, help="…from this doubt on")] = 0.5,
    escalate_px: Annotated[int, typer.Option(help="…made no larger than this")] = 640,
    none: Annotated[bool, typer.Option("--none", help="No frame leaves a device any longer")] = False,
) -> None:
    """Let devices of the channel keep hard frames, and ask a larger model about doubted ones, or forbid it."""
    settings = home_settings()
    from edgewright.device.frames_policy import EscalationPolicy, FramesPolicy
    from edgewright.release.repository import set_policy
    from edgewright.runtime.bundle import Bundle

    digest = Bundle.load_whole(blur_bundle).manifest_sha256 if blur_bundle else ""
    try:
        asked = (
            EscalationPolicy(
                escalate_to,
                share_per_mille=round(1_000 * escalate_share),
                deadline_ms=deadline_ms,
                bytes_an_hour=1_000_000 * escalate_mb,
                doubt_percent=round(100 * escalate_doubt),
                side_px=escalate_px,
            )
            if escalate_to
            else None
        )
        kept_by = (an_hour, a_day, 1_000_000 * max_mb, tuple(blur or ()), digest)
        wanted = None if none else FramesPolicy(*kept_by, asked)
    except ValueError as error:
        raise InputError("not a policy of frames", got=error) from error
    policy, signed = set_policy(
        lambda before: replace(before, frames=wanted),
        repository=settings.releases / project,
        channel=channel,
        now=datetime.now(UTC),
        read=_opening(settings, project),
    )
    kept = policy.frames
    some = kept is not None and kept.an_hour > 0
    said = f"at most {kept.an_hour} hard frames an hour and {kept.a_day} a day" if kept and some else "no hard frames"
    if kept and kept.escalation:
        said += f"; {kept.escalation.to} is asked about at most {kept.escalation.share:.1%} of frames"
    print(f"{channel}: {said}{'' if _is_out(signed) else ', once that is announced'}; {_outcome(signed)}")
    _mirror(settings, project)


def verify(project: Annotated[str, typer.Option(help="One project; default: all")] = "") -> None:
    """Look whether everything is there as it is signed, and for how long. Exit code 2 where something is wrong."""
    settings = home_settings()
    from edgewright.release.ceremony import verify_repository
    from tasks.serve.releases import projects_of

    found = {
        path.name: verify_repository(path, now=datetime.now(UTC)) for path in projects_of(settings, project=project)
    }
    for name, wrong in found.items():
        print(f"{name}: {'; '.join(wrong) or 'as it is signed'}")
    if any(found.values()):
        raise InputError("not everything holds", got=", ".join(name for name, wrong in found.items() if wrong))


def list_releases(
    project: Annotated[str, typer.Option(help="One project; default: all")] = "",
    json_: Annotated[bool, typer.Option("--json", help="Print a list of objects")] = False,
) -> None:
    """Say what each channel permits, its floor, and which release is rolled out to whom."""
    settings = home_settings()
    from edgewright.release.repository import state_of
    from tasks.serve.releases import projects_of

    states = {path.name: state_of(path) for path in projects_of(settings, project=project)}
    if json_:
        print_json([{"project": name, **state.to_json()} for name, state in states.items()])
        return
    for name, state in states.items():
        for channel, permitted in state.permitted.items():
            numbers, plan = ", ".join(map(str, permitted)) or "nothing", state.plans.get(channel)
            print(f"{name} {channel}: permits {numbers}; floor {state.policies[channel].floor}")
            if plan:
                print(
                    f"  {plan.state} {plan.id}: release {plan.release} to {plan.share:.0%}, "
                    f"otherwise {plan.otherwise or 'what runs'}"
                )


def _mirror(settings: Settings, project: str) -> None:
    """Where the settings name a bucket."""
    from tasks.serve.mirrors import keep_mirrored

    if mirrored := keep_mirrored(settings, settings.releases / project):
        print(mirrored)


def _is_out(signed: tuple[str, ...]) -> bool:
    return "timestamp" in signed


def _outcome(signed: tuple[str, ...], waits: tuple[str, ...] | None = None) -> str:
    """What was signed, and where it is. Waits: by default what was signed, where no timestamp names it."""
    left = waits if waits is not None else () if _is_out(signed) else signed
    if not left:
        return f"signed {', '.join(signed) or 'nothing'}"
    return f"{', '.join(left)} waits in metadata/pending/: run `edgewright release renew` where the online keys are"


def _opening(settings: Settings, project: str) -> Callable[[tuple[str, ...]], Keys]:
    """Those of the wanted roles whose keys are here."""
    from edgewright.release.keys import read_keys, roles_in

    folder = settings.keys / project

    def read(roles: tuple[str, ...]) -> Keys:
        here = [role for role in roles if role in roles_in(folder) or role == roles[0]]
        return read_keys(folder, here, passphrase=_known, secret=settings.keys_opened_by)

    return read


def _new(name: str) -> bytes:
    """A passphrase for a new key, typed twice."""
    said = _asked(f"new passphrase of {name}: ")
    if said != _asked("once more: "):
        raise InputError("the two are not the same", where=name)
    return said.encode()


def _known(name: str) -> bytes:
    return _asked(f"passphrase of {name}: ").encode()


def _asked(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise InputError("a passphrase is asked for, and nobody is there", where=prompt.rstrip(": "))
    return getpass.getpass(prompt)
