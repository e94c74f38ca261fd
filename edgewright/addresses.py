"""Addresses of servers: as a message may show them, which proxy stands before one, and why one did not answer.

Decides that this machine's own addresses are never asked through a proxy, and what a failed connection is called.
Refuses to show a password: an address is shown without its user and its query. Opens no connection, and reads the
environment that it is given, no other.

>>> shown("https://me:secret@tracking.example/mlflow?token=1")
'https://tracking.example/mlflow'
>>> proxy_for("http://tracking.example", {"HTTP_PROXY": "http://me:secret@10.0.0.1:3128", "no_proxy": "localhost"})
Proxy(variable='HTTP_PROXY', url='http://me:secret@10.0.0.1:3128')
>>> why(ConnectionRefusedError(111, "Connection refused"))
'connection refused'
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from http.client import IncompleteRead
from ipaddress import ip_address
from urllib.error import HTTPError
from urllib.parse import SplitResult, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from edgewright.errors import InputError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NO_PROXY = ("no_proxy", "NO_PROXY")
_SCHEMES = ("http", "https", "all")
_NOT_TOLD = ("MaxRetryError", "DownloadError", "URLError")
"""These only carry another error."""


@dataclass(frozen=True)
class Proxy:
    """What a variable names as the way out."""

    variable: str
    url: str

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0].lower() if "://" in self.url else "http"

    def __str__(self) -> str:
        return f"the proxy {shown(self.url)} that {self.variable} names"


def checked(url: str, *, schemes: Collection[str] = ("http", "https")) -> str:
    """The address of a server. Raises InputError where it is none."""
    parts = _split(url)
    try:
        wrong = parts is None or parts.port == 0 or parts.query or parts.fragment
    except ValueError:  # a port beyond the last
        wrong = True
    if wrong or parts is None or parts.scheme not in schemes or not parts.hostname:
        raise InputError("not a server's address", expected=f"{'|'.join(schemes)}://host[:port][/path]", got=shown(url))
    return url


def shown(url: str) -> str:
    """The address without user, password and query. Law: what it shows it shows again."""
    parts = _split(url)
    if parts is None or not parts.netloc:
        return url.rpartition("@")[2]
    return SplitResult(parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "").geturl()


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own, as it is written: names are not looked up."""
    parts = _split(url)
    host = (parts.hostname if parts else None) or ""
    try:
        return host in LOOPBACK or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def spare_loopback(environ: MutableMapping[str, str], *urls: str) -> None:
    """Have no loopback address, nor one of `urls` that is, asked through a proxy; what the user has excepted stays so.

    Law: twice is once.
    """
    own = [*LOOPBACK, *dict.fromkeys(host for url in urls if is_loopback(url) and (host := _host(url)))]
    for name in [name for name in _NO_PROXY if name in environ] or _NO_PROXY:
        entries = [entry.strip() for entry in environ.get(name, "").split(",") if entry.strip()]
        if "*" not in entries:  # which already stands for every address, and only alone
            environ[name] = ",".join([*entries, *(host for host in own if host not in entries)])


def proxies(environ: Mapping[str, str]) -> list[Proxy]:
    """Every proxy that is named, in the spelling that counts: lower case first, as the libraries have it."""
    named = ((spelled(f"{scheme}_proxy"), scheme) for scheme in _SCHEMES for spelled in (str.lower, str.upper))
    return [Proxy(variable, environ[variable]) for variable, _ in named if environ.get(variable)]


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """What an address is asked through; None where it is asked directly, as every loopback address is."""
    parts, excepted = _split(url), environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if parts is None or is_loopback(url) or proxy_bypass_environment(_host(url), {"no": excepted}):
        return None
    wanted = [f"{parts.scheme}_proxy", "all_proxy"]
    found = [proxy for name in wanted for proxy in proxies(environ) if proxy.variable.lower() == name]
    return found[0] if found else None


def why(error: BaseException) -> str:
    """What a failed connection came to, in a few words: never empty, and never a library's way of saying it."""
    chain = list(_chain(error))
    known = (words for what in (_known, _waited) for found in chain if (words := what(found)))
    told = (str(found).strip() for found in chain if type(found).__name__ not in _NOT_TOLD)
    return next(known, None) or next((words for words in told if words), type(error).__name__)


def _known(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "no such host: its name cannot be looked up"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no secure connection: {(error.reason or 'TLS failed').replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionError | IncompleteRead):
        return "it closed the connection"
    return error.strerror.lower() if type(error) is OSError and error.strerror else ""


def _waited(error: BaseException) -> str:
    """By name, and only where nothing else is known: TUF calls a refused connection slow, too."""
    return "no answer in time" if any(word in type(error).__name__ for word in ("Timeout", "Slow")) else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, in whichever of the ways libraries keep that."""
    waiting: list[object] = [error]
    seen: list[object] = []
    while waiting:
        found = waiting.pop(0)
        if not isinstance(found, BaseException) or found in seen:
            continue
        seen.append(found)
        yield found
        context = None if found.__suppress_context__ else found.__context__
        waiting += [found.__cause__, getattr(found, "reason", None), *found.args, context]


def _host(url: str) -> str:
    parts = _split(url)
    return (parts.hostname if parts else None) or ""


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None
