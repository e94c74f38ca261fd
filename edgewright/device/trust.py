"""What the channel offers, as far as it is signed: the TUF client around the agent's own file port.

Decides what is allowed. Refuses bad signatures, expired metadata, older versions than it has seen, files of another
length or digest, a digest that is none (it becomes a name on the disk), downloads longer than signed, what had expired
by a time that was signed and seen, however early the device's clock is, and a time that is later than the end of what
says it. python-tuf writes into a throw-away copy of its metadata; what it came to trust is then kept through the port,
so that a power cut leaves each file old or new. Expiry is a matter of two clocks: where it fails, the message shows the
device's own.

>>> with open_channel(home) as channel:
...     channel.offer_to("line-1", running=2).release
3
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuf.api.exceptions import (
    DownloadError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater

from edgewright.addresses import proxy_for, why
from edgewright.device.core import Offer, State
from edgewright.device.download import downloaded, part_of
from edgewright.device.fetcher import Fetcher, FromFolder, FromServer
from edgewright.device.home import ROOT_FILE, Home
from edgewright.device.offer import AUTO, MAX_PLAN_BYTES, POLICY_FILE, Plan, Policy, plan_path, target_path
from edgewright.device.process import network_environment
from edgewright.device.tier import in_order, standing_of
from edgewright.errors import DeviceUnreachable, EdgewrightError, InputError, UpdateRefused
from edgewright.runtime.bundle import MANIFEST_FILE

BUILT = datetime(2026, 11, 1, tzinfo=UTC)
"""It is no earlier than when this agent was written, whatever a clock says that lost its battery."""
NOTHING_SEEN = State()
_OF_THE_CLOCK = ("not yet valid", "has expired")
"""What TLS says of a certificate, when the fault may be the device's."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
# In the order in which they vouch for each other: a cut between two leaves an older one, which is fetched again.
_KEPT = ("root_history/*.root.json", "timestamp.json", "snapshot.json", "targets.json", "rollout.json")


@dataclass(frozen=True)
class Channel:
    """The home's channel as its signed metadata describe it now.

    Attributes:
        time_keys: ids of the keys that the newest root lets sign times, in order, with commas.
        tiers: whose bundles this device may run, the best first.
    """

    home: Home
    updater: Updater
    fetcher: Fetcher
    time_keys: str
    tiers: tuple[str, ...]

    def offer_to(self, device_id: str, *, running: int, pinned: int = 0) -> Offer:
        """What this device is to run, by the plan of the channel's rollout; without one, the channel's current release.

        Args:
            running: the release that runs; 0 where none does.
            pinned: what somebody at the device wants instead; 0: nothing.

        Raises:
            UpdateRefused: nothing is released for it, or what is chosen is not permitted.
            DeviceUnreachable: the server lacks a file.
        """
        channel, issued = self.home.config.channel, int(issued_in(self.home.trust))
        try:
            signed = self._find(f"{channel}/{POLICY_FILE}")
            policy = Policy.from_json(signed.custom if signed else None)
            plan = self._plan()
        except (ValueError, InputError) as error:
            raise UpdateRefused("the channel's plan cannot be used", got=error) from error
        if plan is None and signed is not None:
            raise UpdateRefused("nothing is rolled out on the channel yet", got=channel, where=self.fetcher.where)
        if plan is None:
            manifest = self._target(f"{channel}/{MANIFEST_FILE}")
            release = int((manifest.custom or {}).get("release", 0))
            return Offer(release, _digest_of(manifest), policy, issued, self.time_keys)
        release = pinned or plan.chosen(device_id, running=running) or running
        if not release:
            raise UpdateRefused("the channel's plan has no release for this device", got=plan.id, where=channel)
        tier, manifest = self._manifest(release)
        return Offer(release, _digest_of(manifest), policy, issued, self.time_keys, tier)

    def fetch(self, offer: Offer, name: str, *, max_bytes: int) -> bytes:
        """A file of the offered release, verified. Raises UpdateRefused, DeviceUnreachable."""
        path = target_path(self.home.config.channel, offer.tier or self.tiers[0], offer.release, name)
        found = self._find(path) or self._target(f"{self.home.config.channel}/{name}")
        return self._fetched(found, max_bytes=max_bytes)

    def _manifest(self, release: int) -> tuple[str, TargetFile]:
        """Of the first of the device's tiers that the release has a bundle for."""
        paths = {tier: target_path(self.home.config.channel, tier, release, MANIFEST_FILE) for tier in self.tiers}
        tier = next((tier for tier, path in paths.items() if self._find(path)), self.tiers[0])
        return tier, self._target(paths[tier])

    def _plan(self) -> Plan | None:
        """None in a repository without rollouts."""
        target = self._find(plan_path(self.home.config.channel))
        return Plan.from_bytes(self._fetched(target, max_bytes=MAX_PLAN_BYTES)) if target else None

    def _fetched(self, target: TargetFile, *, max_bytes: int) -> bytes:
        name, sha256 = target.path, _digest_of(target)
        if target.length > max_bytes:
            raise UpdateRefused("a file over its cap", expected=f"<= {max_bytes} bytes", got=target.length, where=name)
        directory, _, base = target.path.rpartition("/")
        url = f"{self.fetcher.base}targets/{directory}/{sha256}.{base}"
        part = part_of(self.home, sha256)
        try:
            payload = downloaded(lambda first: self.fetcher.beginning(url, first), length=target.length, part=part)
        except DownloadError as error:
            raise _refusal(error, self.fetcher, what=name) from error
        try:
            target.verify_length_and_hashes(payload)
        except RepositoryError as error:
            part.drop()  # nothing to go on from
            raise _refusal(error, self.fetcher, what=name) from error
        return payload

    def _find(self, path: str) -> TargetFile | None:
        """Raises UpdateRefused, DeviceUnreachable: the delegated role's metadata are not acceptable."""
        with _refusing(self.home, self.fetcher):
            return self.updater.get_targetinfo(path)

    def _target(self, path: str) -> TargetFile:
        target = self._find(path)
        if target is None:
            raise UpdateRefused("not signed as a part of a release", got=path, where=self.fetcher.where)
        return target


def _digest_of(target: TargetFile) -> str:
    """python-tuf takes any text for one. Raises UpdateRefused."""
    found = target.hashes.get("sha256", "")
    if not _SHA256.fullmatch(found):
        raise UpdateRefused("a signed digest that is none", expected="sha256", got=found[:80], where=target.path)
    return found


@contextmanager
def open_channel(home: Home, *, folder: Path | None = None, state: State = NOTHING_SEEN) -> Iterator[Channel]:
    """Refresh the metadata and keep what is trusted now.

    Args:
        folder: a repository that was brought by hand; none: the device's server is asked.
        state: with the newest signed time that the device knows, and the keys that could sign it.

    Raises:
        UpdateRefused: the metadata are not acceptable.
        DeviceUnreachable: the server cannot be reached or lacks a file.
    """
    network_environment()
    fetcher = FromFolder(folder) if folder else FromServer(home.config.server_url)
    with tempfile.TemporaryDirectory(prefix="edgewright-tuf-") as name:
        scratch = Path(name)
        if home.trust.is_dir():
            shutil.copytree(home.trust, scratch, dirs_exist_ok=True)
        with _refusing(home, fetcher):
            updater = Updater(
                metadata_dir=name,
                metadata_base_url=f"{fetcher.base}metadata/",
                fetcher=fetcher,
                bootstrap=home.trust_root,
            )
            updater.refresh()
        standing = standing_of(home)
        own = home.config.tier != AUTO
        tiers = (standing.tier,) if own else in_order(standing.tier, barred=standing.barred)
        channel = Channel(home, updater, fetcher, _time_keys(scratch / ROOT_FILE), tiers)  # a link to the newest
        channel._find(plan_path(home.config.channel))  # the delegated role's metadata are kept with the others
        _refuse_stale(scratch, state.trusting(channel.time_keys).seen, fetcher)
        _refuse_impossible(scratch, fetcher)
        _keep(home, scratch)
        yield channel


@contextmanager
def _refusing(home: Home, fetcher: Fetcher) -> Iterator[None]:
    """What TUF finds wrong with metadata, in our words."""
    try:
        yield
    except ExpiredMetadataError as error:
        raise _expired(error, fetcher, {**_kept_roots(home), **fetcher.metadata}) from error
    except (DownloadError, RepositoryError) as error:
        raise _refusal(error, fetcher, what="the channel's metadata") from error


def _keep(home: Home, scratch: Path) -> None:
    for pattern in _KEPT:
        for path in sorted(scratch.glob(pattern)):
            kept = home.trust / path.relative_to(scratch)
            payload = path.read_bytes()
            if not kept.exists() or kept.read_bytes() != payload:
                home.files.make_dir(kept.parent)
                home.files.replace(kept, payload)


def _refuse_stale(folder: Path, seen: float, fetcher: Fetcher) -> None:
    """A clock that went back must not make old metadata new: what had expired when a later time was signed is old.

    Raises:
        UpdateRefused: a role that had expired by then.
    """
    floor = datetime.fromtimestamp(max(seen, BUILT.timestamp()), UTC)
    for role in ("root", "timestamp", "snapshot", "targets", "rollout"):
        path = folder / f"{role}.json"
        until = _signed(path).get("expires") if path.is_file() else None
        if until and datetime.fromisoformat(until) <= floor:
            raise UpdateRefused(
                "the channel's metadata refused: Expired",
                expected=f"{role} metadata that held at {floor:%Y-%m-%dT%H:%M:%SZ}, which was signed",
                got=f"valid until {until}, while the device's clock says {_now()}",
                where=fetcher.where,
                next_step="set the device's clock; else have the release repository signed again",
            )


def _refuse_impossible(folder: Path, fetcher: Fetcher) -> None:
    """A time that is seen holds everything else to it: one that a slip put far ahead must not be.

    Raises:
        UpdateRefused: the timestamp says that it was signed after it had expired.
    """
    signed = _signed(folder / "timestamp.json")
    until = datetime.fromisoformat(signed["expires"]).timestamp() if "expires" in signed else 0.0
    if issued_in(folder) > until:
        raise UpdateRefused(
            "the channel's metadata refused: a time that cannot be",
            expected=f"a timestamp that was signed before it expires, {signed.get('expires')}",
            got=f"signed at {signed.get('issued')}",
            where=fetcher.where,
            next_step="set the clock where the release repository is signed, and have it signed again",
        )


def issued_in(trust: Path) -> float:
    """When the kept timestamp was signed, as it says itself, seconds since 1970; 0 where it says nothing."""
    try:
        issued = datetime.fromisoformat(str(_signed(trust / "timestamp.json")["issued"]))
        return (issued if issued.tzinfo else issued.replace(tzinfo=UTC)).timestamp()
    except (KeyError, ValueError):
        return 0.0


def _time_keys(root: Path) -> str:
    """Of the root that python-tuf came to trust."""
    return ",".join(sorted(_signed(root)["roles"]["timestamp"]["keyids"]))


def _signed(path: Path) -> dict[str, Any]:
    """What a kept file of metadata says; empty where it cannot be read."""
    try:
        return dict(json.loads(path.read_bytes())["signed"])
    except (OSError, KeyError, TypeError, ValueError):
        return {}


def _refusal(error: Exception, fetcher: Fetcher, *, what: str) -> EdgewrightError:
    """A server that lies is refused; one that is silent is tried again later."""
    where = fetcher.where
    if isinstance(error, RepositoryError | DownloadLengthMismatchError):
        kind = type(error).__name__.removesuffix("Error")
        return UpdateRefused(f"{what} refused", got=f"{kind}: {error}" if str(error) else kind, where=where)
    reason, next_step = why(error), "see that the server runs and that the device reaches it"
    if any(words in reason for words in _OF_THE_CLOCK):
        reason, next_step = f"{reason}; the device's clock says {_now()}", "set the device's clock, if it is wrong"
    elif proxy := proxy_for(fetcher.base, network_environment()):
        reason = f"{reason}, through {proxy}"
        next_step = f"correct {proxy.variable}, or add the server to NO_PROXY"
    return DeviceUnreachable(f"{what} cannot be fetched", got=reason, where=where, next_step=next_step)


def _expired(error: ExpiredMetadataError, fetcher: Fetcher, fetched: Mapping[str, bytes]) -> UpdateRefused:
    """The message's dates are not proven, and nothing is decided by them."""
    role = next(
        (role for role in ("root", "timestamp", "snapshot", "targets", "rollout") if role in str(error)), "metadata"
    )
    try:
        until = json.loads(fetched[role])["signed"]["expires"]
    except (KeyError, TypeError, ValueError):
        until = "a date that cannot be read"
    return UpdateRefused(
        "the channel's metadata refused: Expired",
        expected=f"{role} metadata that hold now",
        got=f"valid until {until}, while the device's clock says {_now()}",
        where=fetcher.where,
        next_step="set the device's clock, if it is wrong; else have the release repository signed again",
    )


def _kept_roots(home: Home) -> dict[str, bytes]:
    """The newest root that the device has: it is fetched only where there is a newer one."""
    roots = sorted(home.trust.glob("root_history/*.root.json"), key=lambda path: int(path.name.partition(".")[0]))
    return {"root": roots[-1].read_bytes() if roots else home.trust_root}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
