"""The address at which a home's releases are served: chosen once, kept by the home, what devices are told.

Decides the port: one that was free when it was chosen, below those that Linux lends to outgoing connections. Refuses
nothing: whether it is free now shows when it is bound.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     chosen = address_in(Path(folder))
...     again = keep(Path(folder), Address("127.0.0.1", 8470))
...     chosen.host, chosen.port in PORTS, again == address_in(Path(folder)), again.url
('127.0.0.1', True, True, 'http://127.0.0.1:8470')
"""

from __future__ import annotations

import json
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from edgewright.errors import ArtifactCorrupt
from edgewright.files import locked, write_atomically

ADDRESS_FILE = "address.json"
PORTS = range(20_000, 30_000)
_TRIES = 20


@dataclass(frozen=True)
class Address:
    """Where the server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def address_in(releases: Path) -> Address:
    """The home's address; chosen and written down where there is none yet.

    Raises:
        ArtifactCorrupt: what was written down cannot be read.
    """
    releases.mkdir(parents=True, exist_ok=True)
    with locked(releases):  # two commands that both choose would tell devices of two
        path = releases / ADDRESS_FILE
        if not path.exists():
            return _written(path, Address("127.0.0.1", _free_port()))
        try:
            return Address(**json.loads(path.read_bytes()))
        except (ValueError, TypeError) as error:
            next_step = "remove it; devices then have to be introduced to the new address"
            raise ArtifactCorrupt("the address of releases", got=error, where=path, next_step=next_step) from error


def keep(releases: Path, address: Address) -> Address:
    """This is the home's address from now on."""
    releases.mkdir(parents=True, exist_ok=True)
    with locked(releases):
        return _written(releases / ADDRESS_FILE, address)


def _written(path: Path, address: Address) -> Address:
    write_atomically(path, json.dumps(asdict(address), sort_keys=True).encode())
    return address


def _free_port() -> int:
    """A port that nobody listens on now; any of them where all that were tried are taken."""
    for _ in range(_TRIES):
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return secrets.choice(PORTS)
