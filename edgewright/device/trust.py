"""What the channel offers, as far as it is signed: the TUF client around the agent's own file port.

Decides what is current and allowed. Refuses bad signatures, expired metadata, older versions than it has seen, files
of another length or digest, downloads longer than signed. python-tuf writes into a throw-away copy of its metadata;
what it came to trust is then kept through the port, so that a power cut leaves each file old or new. Expiry is a matter
of two clocks: where it fails, the message shows the device's own.

>>> with open_channel(home) as channel:
...     channel.release
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

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

from edgewright.addresses import proxy_for, shown, why
from edgewright.device.home import Home
from edgewright.device.process import network_environment
from edgewright.errors import DeviceUnreachable, EdgewrightError, UpdateRefused
from edgewright.runtime.bundle import MANIFEST_FILE

_SOCKET_TIMEOUT_S = 30
_ROLE_FILE = re.compile(r"(?:\d+\.)?(root|timestamp|snapshot|targets)\.json")
_OF_THE_CLOCK = ("not yet valid", "has expired")
"""What TLS says of a certificate, when the fault may be the device's."""
# In the order in which they vouch for each other: a cut between two leaves an older one, which is fetched again.
_KEPT = ("root_history/*.root.json", "timestamp.json", "snapshot.json", "targets.json")


class _Fetcher(Urllib3Fetcher):
    """TUF's own, which keeps what it fetched last of each role, because an error does not say what had expired when."""

    def __init__(self) -> None:
        super().__init__(socket_timeout=_SOCKET_TIMEOUT_S, app_user_agent="edgewright-device")
        self.metadata: dict[str, bytes] = {}

    def download_bytes(self, url: str, max_length: int) -> bytes:
        payload = super().download_bytes(url, max_length)
        if role := _ROLE_FILE.fullmatch(url.rpartition("/")[2]):
            self.metadata[role[1]] = payload
        return payload


@dataclass(frozen=True)
class Channel:
    """The home's channel as its signed metadata describe it now.

    Attributes:
        manifest: the signed manifest target of the current release.
    """

    home: Home
    updater: Updater
    fetcher: FetcherInterface
    manifest: TargetFile

    @property
    def release(self) -> int:
        """The signed release number; known before a byte of the bundle is fetched."""
        custom = self.manifest.custom or {}
        return int(custom.get("release", 0))

    @property
    def manifest_sha256(self) -> str:
        return self.manifest.hashes["sha256"]

    def fetch(self, name: str, *, max_bytes: int) -> bytes:
        """A file of the release, verified. Raises UpdateRefused, DeviceUnreachable."""
        target = _target(self.updater, self.home, name)
        if target.length > max_bytes:
            raise UpdateRefused("a file over its cap", expected=f"<= {max_bytes} bytes", got=target.length, where=name)
        directory, _, base = target.path.rpartition("/")
        url = f"{_base(self.home)}targets/{directory}/{target.hashes['sha256']}.{base}"
        try:
            payload = self.fetcher.download_bytes(url, target.length)
            target.verify_length_and_hashes(payload)
        except (DownloadError, RepositoryError) as error:
            raise _refusal(error, self.home, what=name) from error
        return payload


@contextmanager
def open_channel(home: Home) -> Iterator[Channel]:
    """Refresh the metadata and keep what is trusted now.

    Raises:
        UpdateRefused: the metadata are not acceptable, or the channel has no release.
        DeviceUnreachable: the server cannot be reached or lacks a file.
    """
    network_environment()
    fetcher = _Fetcher()
    with tempfile.TemporaryDirectory(prefix="edgewright-tuf-") as name:
        scratch = Path(name)
        if home.trust.is_dir():
            shutil.copytree(home.trust, scratch, dirs_exist_ok=True)
        try:
            updater = Updater(
                metadata_dir=name,
                metadata_base_url=f"{_base(home)}metadata/",
                fetcher=fetcher,
                bootstrap=home.trust_root,
            )
            updater.refresh()
        except ExpiredMetadataError as error:
            raise _expired(error, home, {**_kept_roots(home), **fetcher.metadata}) from error
        except (DownloadError, RepositoryError) as error:
            raise _refusal(error, home, what="the channel's metadata") from error
        _keep(home, scratch)
        yield Channel(home, updater, fetcher, _target(updater, home, MANIFEST_FILE))


def _keep(home: Home, scratch: Path) -> None:
    for pattern in _KEPT:
        for path in sorted(scratch.glob(pattern)):
            kept = home.trust / path.relative_to(scratch)
            payload = path.read_bytes()
            if not kept.exists() or kept.read_bytes() != payload:
                home.files.make_dir(kept.parent)
                home.files.replace(kept, payload)


def _target(updater: Updater, home: Home, name: str) -> TargetFile:
    path = f"{home.config.channel}/{name}"
    target = updater.get_targetinfo(path)
    if target is None or "sha256" not in target.hashes:
        raise UpdateRefused("not signed as a part of a release", got=path, where=shown(home.config.server_url))
    return target


def _refusal(error: Exception, home: Home, *, what: str) -> EdgewrightError:
    """A server that lies is refused; one that is silent is tried again later."""
    where = shown(home.config.server_url)
    if isinstance(error, RepositoryError | DownloadLengthMismatchError):
        kind = type(error).__name__.removesuffix("Error")
        return UpdateRefused(f"{what} refused", got=f"{kind}: {error}" if str(error) else kind, where=where)
    reason, next_step = why(error), "see that the server runs and that the device reaches it"
    if any(words in reason for words in _OF_THE_CLOCK):
        reason, next_step = f"{reason}; the device's clock says {_now()}", "set the device's clock, if it is wrong"
    elif proxy := proxy_for(home.config.server_url, network_environment()):
        reason = f"{reason}, through {proxy}"
        next_step = f"correct {proxy.variable}, or add the server to NO_PROXY"
    return DeviceUnreachable(f"{what} cannot be fetched", got=reason, where=where, next_step=next_step)


def _expired(error: ExpiredMetadataError, home: Home, fetched: Mapping[str, bytes]) -> UpdateRefused:
    """The message's dates are not proven, and nothing is decided by them."""
    role = next((role for role in ("root", "timestamp", "snapshot", "targets") if role in str(error)), "metadata")
    try:
        until = json.loads(fetched[role])["signed"]["expires"]
    except (KeyError, TypeError, ValueError):
        until = "a date that cannot be read"
    return UpdateRefused(
        "the channel's metadata refused: Expired",
        expected=f"{role} metadata that hold now",
        got=f"valid until {until}, while the device's clock says {_now()}",
        where=shown(home.config.server_url),
        next_step="set the device's clock, if it is wrong; else have the release repository signed again",
    )


def _kept_roots(home: Home) -> dict[str, bytes]:
    """The newest root that the device has: it is fetched only where there is a newer one."""
    roots = sorted(home.trust.glob("root_history/*.root.json"), key=lambda path: int(path.name.partition(".")[0]))
    return {"root": roots[-1].read_bytes() if roots else home.trust_root}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _base(home: Home) -> str:
    return home.config.server_url.rstrip("/") + "/"
