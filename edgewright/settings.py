"""The environment. The only module that reads it; only the CLI and `tasks` use it.

Decides where a machine keeps things. Refuses nothing about a run: that is the recipe's. Secrets are never held here:
S3 credentials stay in boto3's own chain.

    EDGEWRIGHT_HOME      the one folder of this machine: store, MLflow, Prefect, keys, devices   (.edgewright)
    EDGEWRIGHT_STORE     where artifacts lie: a folder or s3://bucket/prefix                     (<home>/store)
    EDGEWRIGHT_SOURCES   folders that a form or an event may name a source under, ":"-separated  (none)
    EDGEWRIGHT_ROUTER    inline: stages run in the process that calls them; pools: on workers    (inline)
    EDGEWRIGHT_FANOUT    processes: a stage's shards are made on this machine; ray: on a cluster too    (processes)
    EDGEWRIGHT_RAY_ADDRESS  HOST:PORT of a Ray cluster that this machine is a node of, or local         (local)
    EDGEWRIGHT_THREADS   CPU threads a stage may use                                             (all cores)
    EDGEWRIGHT_WEBHOOK   what `edgewright up` has Prefect tell of runs that fail, wait or are refused   (none)
    EDGEWRIGHT_KEYS_SECRET  a file elsewhere that opens the keys which nobody has to open   (beside each project's keys)
    EDGEWRIGHT_RELEASES_S3  s3://bucket/prefix that releases are mirrored to whenever something is signed   (nowhere)
    EDGEWRIGHT_DATABASE  PostgreSQL for the servers of `edgewright up` and the fleet's register  (sqlite in the home)
    PREFECT_API_URL      use this Prefect server instead of the home's own
    MLFLOW_TRACKING_URI  use this MLflow instead of the home's own
    HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY    the way to both; never to an address of this machine
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tomllib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from edgewright.addresses import Proxy, proxies, proxy_for, spare_loopback
from edgewright.errors import InputError

NAMES = (
    "EDGEWRIGHT_HOME",
    "EDGEWRIGHT_STORE",
    "EDGEWRIGHT_SOURCES",
    "EDGEWRIGHT_ROUTER",
    "EDGEWRIGHT_FANOUT",
    "EDGEWRIGHT_RAY_ADDRESS",
    "EDGEWRIGHT_THREADS",
    "EDGEWRIGHT_WEBHOOK",
    "EDGEWRIGHT_DATABASE",
    "EDGEWRIGHT_KEYS_SECRET",
    "EDGEWRIGHT_RELEASES_S3",
)
PREFECT_PASSWORD, MLFLOW_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING", "MLFLOW_AUTH_ADMIN_PASSWORD"
"""What makes a server of `edgewright up` ask for it; its clients on this machine are told."""
UP_FILE = "up.json"
"""In the home: what is up there, as `edgewright up` writes it."""
SERVICES = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")
HEARTBEAT_S = 60
"""How often a flow run tells Prefect that its process lives."""
_ASKS_AGAIN = 6
"""Times that Prefect's client asks again, each after twice the time of the one before: two minutes of a server that is
started again, or of a network that is away, and a worker is back within one."""
ROUTERS = ("inline", "pools")
FANOUTS = ("processes", "ray")
_RAY_ADDRESS = re.compile(r"local|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")
_BUCKET = re.compile(r"s3://[^/\s]+(?:/[^\s]*)?")
_SPINS = "50000"
"""Looks a waiting OpenMP thread takes before it sleeps: one to three milliseconds, by processor."""


@dataclass(frozen=True)
class Service:
    """What a variable names to record in, and the proxy that it is asked through."""

    variable: str
    url: str
    proxy: Proxy | None


@dataclass(frozen=True)
class Profile:
    """A Prefect profile that names a server."""

    name: str
    url: str
    path: Path


@dataclass(frozen=True)
class Standing:
    """The servers of a home that is up.

    Attributes:
        prefect_url, mlflow_url: their pages. tracking_uri: what commands in this home record in.
    """

    prefect_url: str
    mlflow_url: str
    tracking_uri: str


@dataclass(frozen=True)
class Passwords:
    """What the servers of `edgewright up` ask for: Prefect's `user:password`, MLflow's administrator's; "": nothing."""

    prefect: str = field(default="", repr=False)
    mlflow: str = field(default="", repr=False)
    mlflow_user: str = "admin"


@dataclass(frozen=True)
class Settings:
    """Where this machine keeps things, and how many threads a stage may use.

    Attributes:
        services: what is recorded elsewhere than in the home.
        webhook, database: addresses that may hold a secret.
        passed_over: the profile that Prefect alone would follow; a run records in the home all the same.
        up: the servers of `edgewright up` in this home, while it is up.
    """

    home: Path
    store: str
    sources: tuple[Path, ...]
    router: str
    threads: int
    prefect_api_url: str
    mlflow_tracking_uri: str
    services: tuple[Service, ...] = ()
    webhook: str = field(default="", repr=False)
    database: str = field(default="", repr=False)
    keys_opened_by: Path | None = None
    releases_s3: str = ""
    passwords: Passwords = Passwords()
    fanout: str = FANOUTS[0]
    ray_address: str = "local"
    passed_over: Profile | None = None
    up: Standing | None = None

    def proxy_to(self, url: str) -> Proxy | None:
        """What a server elsewhere is asked through; None where `url` lies on none of them."""
        return next((service.proxy for service in self.services if url.startswith(service.url.rstrip("/"))), None)

    @property
    def shown_mlflow(self) -> str:
        """Where MLflow's pages are; "" or a file's address where `edgewright ui` is to serve them."""
        elsewhere = self.mlflow_tracking_uri.startswith(("http://", "https://"))
        return self.mlflow_tracking_uri if elsewhere or self.up is None else self.up.mlflow_url

    @property
    def shown_prefect(self) -> str:
        """Where Prefect's pages are; "" where `edgewright ui` is to serve them."""
        return self.prefect_api_url or (self.up.prefect_url if self.up else "")

    @property
    def scratch(self) -> Path:
        """Work in progress: checkpoints, staged files, fetched sources."""
        return self.home / "scratch"

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def fleet(self) -> Path:
        """The collector's: whom devices believe, who belongs to the fleet, what was told."""
        return self.home / "fleet"

    @property
    def devices(self) -> Path:
        return self.home / "devices"

    @property
    def releases(self) -> Path:
        return self.home / "releases"


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Raises InputError where a variable cannot be used."""
    env = os.environ if environ is None else environ
    home = Path(env.get("EDGEWRIGHT_HOME") or ".edgewright").expanduser().resolve()
    up = _standing(home)
    return Settings(
        home=home,
        store=env.get("EDGEWRIGHT_STORE") or str(home / "store"),
        sources=tuple(Path(part).resolve() for part in (env.get("EDGEWRIGHT_SOURCES") or "").split(":") if part),
        router=_one_of(ROUTERS, env, "EDGEWRIGHT_ROUTER"),
        threads=_threads(env.get("EDGEWRIGHT_THREADS") or ""),
        prefect_api_url=env.get("PREFECT_API_URL") or "",
        mlflow_tracking_uri=env.get("MLFLOW_TRACKING_URI")
        or (up.tracking_uri if up else f"sqlite:///{home}/mlflow/mlflow.db"),
        services=tuple(Service(name, url, proxy_for(url, env)) for name in SERVICES if (url := env.get(name))),
        webhook=env.get("EDGEWRIGHT_WEBHOOK") or "",
        database=env.get("EDGEWRIGHT_DATABASE") or "",
        keys_opened_by=Path(secret).expanduser().resolve() if (secret := env.get("EDGEWRIGHT_KEYS_SECRET")) else None,
        releases_s3=_bucket(env.get("EDGEWRIGHT_RELEASES_S3") or ""),
        passwords=Passwords(
            prefect=env.get(PREFECT_PASSWORD) or "",
            mlflow=env.get(MLFLOW_PASSWORD) or "",
            mlflow_user=env.get("MLFLOW_AUTH_ADMIN_USERNAME") or "admin",
        ),
        fanout=_one_of(FANOUTS, env, "EDGEWRIGHT_FANOUT"),
        ray_address=_ray_address(env.get("EDGEWRIGHT_RAY_ADDRESS") or "local"),
        passed_over=None if env.get("PREFECT_API_URL") else _profile(env),
        up=up,
    )


def configure_libraries(settings: Settings, environ: MutableMapping[str, str] | None = None) -> None:
    """Tell Prefect, MLflow and the numeric libraries where they live; call it before importing them.

    Makes the home where there is none. What the user has set stands, but for proxies: no address of this machine is
    asked through one, and one that Prefect's client cannot speak to is left out, since with it the client does not
    even begin. The reasons for the rest: Prefect's telemetry heartbeat locks its own sqlite file; its console handler
    would write into the progress display, as would MLflow's bars; the addresses that MLflow prints would stand before
    what `--json` does; its git probing and telemetry have no place offline; its job runners (they judge what language
    models answer) are eight processes that nobody here calls; OpenMP threads that spin as long as they like took six
    times the CPU time on a shared machine, and ones that sleep at once half as long again on a quiet one, for a
    training step has a thousand waits; Ray prints a node's every misfortune into what a command says, and one that is
    begun here would listen beyond this machine and write its password into the user's home.

    Raises:
        InputError: the home cannot be made.
    """
    env = os.environ if environ is None else environ
    try:
        (settings.home / "prefect").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("the home cannot be written", got=error.strerror, where=settings.home) from error
    for name, value in {
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_CLIENT_MAX_RETRIES": str(_ASKS_AGAIN),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "ORT_DISABLE_TELEMETRY": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        **(_for_ray(settings.ray_address) if settings.fanout == "ray" else {}),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "OMP_NUM_THREADS": str(settings.threads),
        **({} if "OMP_WAIT_POLICY" in env else {"GOMP_SPINCOUNT": _SPINS}),  # which would outdo the policy
        "OPENBLAS_NUM_THREADS": "1",
        **_credentials(settings.passwords),
    }.items():
        env.setdefault(name, value)
    spare_loopback(env, *(service.url for service in settings.services))
    for proxy in proxies(env):
        if not can_use(proxy):
            del env[proxy.variable]


def _for_ray(address: str) -> dict[str, str]:
    """One of this machine alone is on its loopback, with a password that lives as long as this process's children."""
    quiet = {"RAY_DEDUP_LOGS_SKIP_REGEX": "."}
    if address != "local":
        return quiet
    password = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {**quiet, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", **password}


def can_use(proxy: Proxy) -> bool:
    """Whether Prefect's client, which is the pickier one, can speak to it."""
    return proxy.scheme in ("http", "https") or (proxy.scheme in ("socks5", "socks5h") and bool(find_spec("socksio")))


def _credentials(passwords: Passwords) -> dict[str, str]:
    """What clients are to say to servers that ask, as Prefect and MLflow name it."""
    prefect = {"PREFECT_API_AUTH_STRING": passwords.prefect} if passwords.prefect else {}
    mlflow = {"MLFLOW_TRACKING_USERNAME": passwords.mlflow_user, "MLFLOW_TRACKING_PASSWORD": passwords.mlflow}
    return prefect | (mlflow if passwords.mlflow else {})


def _standing(home: Path) -> Standing | None:
    if not (home / UP_FILE).exists():
        return None
    from edgewright.processes import ProcessIdentity, is_alive  # psutil: the light base has none, nor a home that is up

    try:
        known = json.loads((home / UP_FILE).read_bytes())
        process = ProcessIdentity(known["pid"], known["began_s"])
        found = Standing(known["prefect_url"], known["mlflow_url"], known["tracking_uri"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if is_alive(process) else None


def _profile(env: Mapping[str, str]) -> Profile | None:
    """The active profile of the user's own Prefect, where it names a server."""
    named = env.get("PREFECT_PROFILES_PATH") or f"{env.get('PREFECT_HOME') or '~/.prefect'}/profiles.toml"
    try:
        path = Path(named).expanduser()
        document = tomllib.loads(path.read_text())
        name = str(env.get("PREFECT_PROFILE") or document["active"])
        return Profile(name, str(document["profiles"][name]["PREFECT_API_URL"]), path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError):
        return None  # there is none, or Prefect itself would complain of it


def _one_of(known: tuple[str, ...], env: Mapping[str, str], name: str) -> str:
    """The first one where the variable is not set."""
    word = env.get(name) or known[0]
    if word not in known:
        what = f"unknown {name.rpartition('_')[2].lower()}"
        raise InputError(what, expected=" or ".join(known), got=word, where=name)
    return word


def _bucket(text: str) -> str:
    if text and not _BUCKET.fullmatch(text):
        raise InputError("not an S3 address", expected="s3://bucket/prefix", got=text, where="EDGEWRIGHT_RELEASES_S3")
    return text


def _ray_address(text: str) -> str:
    """Ray's client (`ray://`) needs gRPC, and is another way of calling that nobody tried here."""
    if not _RAY_ADDRESS.fullmatch(text):
        raise InputError(
            "not an address of a Ray cluster",
            expected="local, or HOST:PORT of the cluster's head",
            got=text,
            where="EDGEWRIGHT_RAY_ADDRESS",
            next_step="`ray start --address=HOST:PORT --num-cpus=0` makes this machine a node of it",
        )
    return text


def _threads(text: str) -> int:
    if not text:
        return len(os.sched_getaffinity(0))
    if not text.isdigit() or int(text) < 1:
        raise InputError("not a number of threads", expected="1 or more", got=text, where="EDGEWRIGHT_THREADS")
    return int(text)
