"""What the channel offers, as far as it is signed: the TUF client around the agent's own file port.

Decides what is current and allowed. Refuses bad signatures, expired metadata, older versions than it has seen, files
of another length or digest, downloads longer than signed. python-tuf writes into a throw-away copy of its metadata;
what it came to trust is then kept through the port, so that a power cut leaves each file old or new.

>>> with open_channel(home) as channel:
...     channel.release
3
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError, RepositoryError
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

from edgewright.device.home import Home
from edgewright.errors import DeviceUnreachable, EdgewrightError, UpdateRefused
from edgewright.runtime.bundle import MANIFEST_FILE

_SOCKET_TIMEOUT_S = 30
# In the order in which they vouch for each other: a cut between two leaves an older one, which is fetched again.
_KEPT = ("root_history/*.root.json", "timestamp.json", "snapshot.json", "targets.json")


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
    fetcher = Urllib3Fetcher(socket_timeout=_SOCKET_TIMEOUT_S, app_user_agent="edgewright-device")
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
        raise UpdateRefused("not signed as a part of a release", got=path, where=home.config.server_url)
    return target


def _refusal(error: Exception, home: Home, *, what: str) -> EdgewrightError:
    """A server that lies is refused; one that is silent is tried again later."""
    if isinstance(error, RepositoryError | DownloadLengthMismatchError):
        kind = type(error).__name__.removesuffix("Error")
        return UpdateRefused(f"{what} refused", got=f"{kind}: {error}", where=home.config.server_url)
    return DeviceUnreachable(f"{what} cannot be fetched", got=error, where=home.config.server_url)


def _base(home: Home) -> str:
    return home.config.server_url.rstrip("/") + "/"
