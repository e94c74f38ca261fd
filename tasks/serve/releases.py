"""`edgewright serve-releases`: the home's releases at the home's address, their metadata kept fresh, until it is ended.

Decides when metadata are renewed: when it starts, and whenever half of a role's life is over; a bucket that the
settings name has them with it. Refuses to serve a home twice. A project whose keys are offline is served, and said to
be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from edgewright.device.freshness import in_words
from edgewright.errors import EdgewrightError, HomeBusy, InputError, meant
from edgewright.files import try_locked
from edgewright.release.address import Address, address_in, keep
from edgewright.release.introduce import introduce_devices
from edgewright.release.mirror import Mirrored
from edgewright.release.repository import Renewal, renew, repositories_in, state_of
from edgewright.release.server import serve_releases
from edgewright.settings import Settings
from tasks.serve.mirrors import keep_mirrored
from tasks.serve.repeated import repeated, wait_until_ended

Say = Callable[[str], None]
_LOCK_FILE = "serving.lock"
_LOOK_EVERY_S = 3600.0
"""A timestamp lives for days; an hour is nothing to it, and little to a machine that was asleep."""


@dataclass(frozen=True)
class Renewed:
    """What became of one project's metadata: signed again, still fresh, or why not.

    Attributes: mirrored: what the bucket had of it. unmirrored: why it has not got all.
    """

    project: str
    renewal: Renewal
    refused: str = ""
    mirrored: Mirrored | None = None
    unmirrored: str = ""

    @property
    def news(self) -> bool:
        """Whether anything was done, or could not be."""
        return bool(
            self.refused
            or self.unmirrored
            or self.renewal.signed
            or self.renewal.offline
            or self.renewal.refused
            or (self.mirrored and (self.mirrored.written or self.mirrored.removed))
        )

    def __str__(self) -> str:
        if self.refused:
            return f"{self.project}: {self.refused}"
        signed, offline = (", ".join(roles) for roles in (self.renewal.signed, self.renewal.offline))
        return (
            f"{self.project}: {f'signed {signed}' if signed else 'fresh' if not offline else ''}"
            + (f"{'; ' if signed else ''}half expired, and their keys are not here: {offline}" if offline else "")
            + "".join(f"; not announced: {each}" for each in self.renewal.refused)
            + (f"; {self.mirrored or self.unmirrored}" if self.mirrored or self.unmirrored else "")
        )


def projects_of(settings: Settings, *, project: str = "") -> list[Path]:
    """The repository of one project, or all. Raises InputError for a project that has released nothing."""
    known = {path.name: path for path in repositories_in(settings.releases)}
    if project and project not in known:
        raise InputError(
            "nothing is released for the project",
            expected=", ".join(known),
            got=project,
            where=settings.releases,
            next_step=meant(project, known),
        )
    return [known[project]] if project else list(known.values())


def renew_metadata(settings: Settings, *, now: datetime, project: str = "") -> list[Renewed]:
    """Sign again what is half expired and whose keys are here; of one project, or of all."""
    return [_renewed(path, settings, now) for path in projects_of(settings, project=project)]


def serve_until_ended(settings: Settings, *, host: str, port: int, say: Say) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        HomeBusy: another process serves them. StoreUnavailable: another program has the port.
        InputError: an address that is not this machine's own.
    """
    with releases_served(settings, host=host, port=port, say=say):
        wait_until_ended(say)


@contextmanager
def releases_served(settings: Settings, *, say: Say, host: str = "", port: int = 0) -> Iterator[Address]:
    """Serve in this block; `host` and `port`, where given, are the home's address from now on. Raises as above."""
    kept = address_in(settings.releases)
    address = replace(kept, host=host or kept.host, port=port or kept.port)
    with (
        try_locked(settings.releases / _LOCK_FILE) as free,
        _at(address, settings, free=free),
        _kept_fresh(settings, say),
    ):
        if address != kept:
            keep(settings.releases, address)
        _tell(settings, address, say)
        yield address


@contextmanager
def served_beside(settings: Settings, *, say: Say) -> Iterator[None]:
    """The same beside something else, which goes on where the releases cannot be served here: that is said."""
    with ExitStack() as held:
        try:
            held.enter_context(releases_served(settings, say=say))
        except EdgewrightError as error:
            say(f"Releases {error}")
        yield


@contextmanager
def _at(address: Address, settings: Settings, *, free: bool) -> Iterator[None]:
    if not free:
        raise HomeBusy("this home's releases are served already", where=address.url)
    with serve_releases(settings.releases, host=address.host, port=address.port):
        yield


@contextmanager
def _kept_fresh(settings: Settings, say: Say) -> Iterator[None]:
    """Renew now, and look again every hour until the block ends."""

    def look() -> None:
        for renewed in renew_metadata(settings, now=datetime.now(UTC)):
            if renewed.news:
                say(f"Renewed  {renewed}")

    look()
    with repeated(look, every_s=_LOOK_EVERY_S, say=say):
        yield


def _renewed(repository: Path, settings: Settings, now: datetime) -> Renewed:
    try:
        done = renew(repository, keys=settings.keys / repository.name, now=now, secret=settings.keys_opened_by)
    except EdgewrightError as error:
        return Renewed(repository.name, Renewal((), ()), refused=str(error))
    try:
        return Renewed(repository.name, done, mirrored=keep_mirrored(settings, repository))
    except EdgewrightError as error:
        return Renewed(repository.name, done, unmirrored=str(error))


def _tell(settings: Settings, address: Address, say: Say) -> None:
    say(f"Releases {address.url}")
    now = datetime.now(UTC)
    for repository in projects_of(settings):
        try:
            state = state_of(repository)
        except EdgewrightError as error:
            say(f"  {repository.name}: {error}")
            continue
        offered = ", ".join(f"{channel} release {number}" for channel, number in state.releases.items())
        say(f"  {repository.name}: {offered}, {in_words(state.expires['timestamp'], now=now)}")
    for device in introduce_devices(settings.devices, releases=settings.releases, url=address.url):
        say(f"  device {device} pulls from here now")
