"""The device's folder: who it is, whom it trusts, where things lie.

    device.json   id, servers, channel, tier      root.json      the trust root, given by hand once
    state.json    which slot runs; .bak: a copy   trust/         TUF metadata seen last
    slots/a b     bundles                         outbox.sqlite  what is to be told and was not yet
    wish.json     what somebody here wants        identity/      its key and certificate, where it was enrolled
    tier.json     the tier that it measured, where nobody chose one; engine.json, latest.json: what was measured else

Decides the device's identity. Refuses to be told another trust root than its first: then it is another device's home.

>>> DeviceConfig("line-1-0", "http://127.0.0.1:8080", "stable").channel
'stable'
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from edgewright.addresses import checked
from edgewright.device.files import Files
from edgewright.device.offer import AUTO, NO_WISH, TIERS, Wish
from edgewright.errors import HomeBusy, InputError, StoreUnavailable
from edgewright.files import try_locked
from edgewright.runtime.bundle import CHANNEL_NAME

CONFIG_FILE, ROOT_FILE, WISH_FILE = "device.json", "root.json", "wish.json"
MAX_ROOT_BYTES = 512_000
_DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_INIT_HINT = "edgewright-device init --home HOME --root FILE --server URL --device-id ID"


@dataclass(frozen=True)
class DeviceConfig:
    """Law: `DeviceConfig(**asdict(c)) == c`.

    Attributes:
        collector_url: of the fleet that the device was enrolled in; "": of none.
        broker_url: of the broker that events go by, or `@FILE` that holds it; "": they go to the collector by HTTPS.
    """

    device_id: str
    server_url: str
    channel: str
    tier: str = TIERS[0]
    collector_url: str = ""
    broker_url: str = ""

    def __post_init__(self) -> None:
        if not _DEVICE_ID.fullmatch(self.device_id):
            raise InputError("not a device id", expected="letters, digits, . _ -, at most 128", got=self.device_id)
        if not CHANNEL_NAME.fullmatch(self.channel):
            raise InputError("not a channel", expected=CHANNEL_NAME.pattern, got=self.channel)
        if self.tier not in (*TIERS, AUTO):
            raise InputError("not a tier", expected=", ".join((*TIERS, AUTO)), got=self.tier)
        checked(self.server_url)
        if self.collector_url:
            checked(self.collector_url, schemes=("https",))
        if self.broker_url and not self.broker_url.startswith("@"):
            if urlsplit(checked(self.broker_url, schemes=("mqtt", "mqtts"))).path.strip("/"):
                raise InputError("a broker's address has no topic here", expected="mqtt(s)://host[:port]")
            if "@" in self.broker_url:
                raise InputError("a password in device.json", expected="@FILE", next_step="put the address into a file")

    def to_bytes(self) -> bytes:
        """Of `device.json`. What an older agent does not know is left out where it says nothing."""
        fields = {name: value for name, value in asdict(self).items() if name != "broker_url" or value}
        return json.dumps(fields, indent=1, sort_keys=True).encode()


@dataclass(frozen=True)
class Home:
    """An initialized device folder and the port through which it is written."""

    root: Path
    config: DeviceConfig
    files: Files

    @property
    def trust(self) -> Path:
        return self.root / "trust"

    @property
    def identity(self) -> Path:
        return self.root / "identity"

    @property
    def trust_root(self) -> bytes:
        """The first root, as it was given at init."""
        return (self.root / ROOT_FILE).read_bytes()


def init_home(root: Path, *, trust_root: bytes, config: DeviceConfig, files: Files) -> Home:
    """Make the folder, or give an existing one a new server or channel; `device.json` comes last.

    Raises:
        InputError: the folder belongs to a device with another trust root or id.
    """
    if len(trust_root) > MAX_ROOT_BYTES:
        raise InputError("not a trust root", expected=f"<= {MAX_ROOT_BYTES} bytes", got=len(trust_root))
    files.make_dir(root)
    if (root / CONFIG_FILE).exists():
        known = open_home(root, files=files)
        if known.trust_root != trust_root or known.config.device_id != config.device_id:
            raise InputError(
                "this folder belongs to another device, or to one that trusts another repository",
                expected=known.config.device_id,
                got=config.device_id,
                where=root,
                next_step="give another --home, or remove this one to install the device anew",
            )
        # `init` given again, as at each start of a unit, tells of no fleet and takes none away.
        config = replace(
            config,
            collector_url=config.collector_url or known.config.collector_url,
            broker_url=config.broker_url or known.config.broker_url,
        )
        if known.config == config:
            return known
    else:
        for folder in (root / "trust", root / "trust/root_history", root / "slots", root / "slots/a", root / "slots/b"):
            files.make_dir(folder)
            files.fsync_dir(folder.parent)
        files.fsync_dir(root.parent)
        files.replace(root / ROOT_FILE, trust_root)
    files.replace(root / CONFIG_FILE, config.to_bytes())
    return Home(root, config, files)


def open_home(root: Path, *, files: Files) -> Home:
    """Raises InputError where the folder was never initialized or its `device.json` cannot be read."""
    try:
        return Home(root, DeviceConfig(**json.loads((root / CONFIG_FILE).read_bytes())), files)
    except FileNotFoundError as error:
        raise InputError("not a device's folder", where=root, next_step=_INIT_HINT) from error
    except (OSError, ValueError, TypeError) as error:
        raise InputError("device.json cannot be read", got=error, where=root, next_step=_INIT_HINT) from error


def told_by(home: Home, broker_url: str) -> Home:
    """Have events go by this broker from now on; "": by HTTPS. Raises InputError for a device of no fleet."""
    if not home.config.collector_url:
        next_step = "edgewright-device enroll, with a token of the collector"
        raise InputError("a device of no fleet tells nothing by a broker", where=home.root, next_step=next_step)
    config = replace(home.config, broker_url=broker_url)
    if config != home.config:
        home.files.replace(home.root / CONFIG_FILE, config.to_bytes())
    return replace(home, config=config)


def wish_of(home: Home) -> Wish:
    """What somebody at the device wants. Raises InputError where what is kept cannot be read."""
    try:
        return Wish.from_bytes((home.root / WISH_FILE).read_bytes())
    except FileNotFoundError:
        return NO_WISH


def keep_wish(home: Home, wish: Wish) -> None:
    home.files.replace(home.root / WISH_FILE, wish.to_bytes())


@contextmanager
def locked(home: Home) -> Iterator[None]:
    """One agent a home; the lock dies with its process. Raises HomeBusy, StoreUnavailable."""
    with ExitStack() as held:
        try:
            free = held.enter_context(try_locked(home.root))
        except OSError as error:
            raise StoreUnavailable("cannot open the device's folder", got=error.strerror, where=home.root) from error
        if not free:
            raise HomeBusy("another agent runs on this folder", where=home.root, next_step="wait for it")
        yield
