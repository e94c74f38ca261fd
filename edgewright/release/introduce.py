"""A home's own devices, told where the home serves its releases now.

Decides which devices are the home's to tell: those in its folder that trust one of its repositories and pull from this
machine. Refuses to tell any other: one that pulls from a server elsewhere was introduced to it on purpose.

>>> introduce_devices(Path("no/devices"), releases=Path("no/releases"), url="http://127.0.0.1:20000")
[]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from edgewright.device.files import Files
from edgewright.device.home import CONFIG_FILE, init_home, locked, open_home
from edgewright.errors import EdgewrightError
from edgewright.release.metadata import FIRST_ROOT
from edgewright.release.server import METADATA


def introduce_devices(devices: Path, *, releases: Path, url: str) -> list[str]:
    """The devices that pull from another address of this machine pull from `url` now; their ids.

    A device whose agent is at work, or whose folder cannot be read, is left as it is.
    """
    roots = {path.read_bytes(): path.parents[1].name for path in releases.glob(f"*/{METADATA}/{FIRST_ROOT}")}
    folders = sorted(path.parent for path in devices.glob(f"*/{CONFIG_FILE}"))
    return [folder.name for folder in folders if _introduced(folder, roots, url)]


def _introduced(folder: Path, roots: Mapping[bytes, str], url: str) -> bool:
    try:
        home = open_home(folder, files=Files())
        project = roots.get(home.trust_root)
        told = replace(home.config, server_url=f"{url}/{project}")
        if project is None or told == home.config or not _is_this_machine(home.config.server_url):
            return False
        with locked(home):
            init_home(folder, trust_root=home.trust_root, config=told, files=home.files)
    except (EdgewrightError, OSError):
        return False
    return True


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
