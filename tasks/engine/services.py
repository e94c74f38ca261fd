"""The servers that the environment names to record in: asked before anything is begun, all at once and once.

Decides whether each answers in time and is what it should be. Refuses silence, a connection that fails, a proxy that
cannot be spoken to, and another program at the address; each with the variable that named it. Opens no database, logs
in nowhere and trusts no answer: whether MLflow lets us in is its own first call's to find out.

    require_services(settings)      # nothing, or one sentence
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import SplitResult, urlsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, build_opener

from edgewright.addresses import Proxy, shown, why
from edgewright.errors import EdgewrightError, InputError, StoreUnavailable
from edgewright.settings import SERVICES, Service, Settings, can_use

ANSWER_WITHIN_S = 4.0
PREFECT, MLFLOW = SERVICES
_HEALTH_BYTES = 65_536
_HTTP = ("http", "https")
_DATABASES = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mssql": 1433}
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(/.*)?")


@dataclass(frozen=True)
class Answer:
    """What an HTTP server said, and what time it was there (RFC 9110, 6.6.1)."""

    status: int
    kind: str
    body: bytes
    date: str = ""

    def __str__(self) -> str:
        return f"HTTP {self.status}" + (f", {self.kind}" if self.kind else "")


@dataclass(frozen=True)
class _Kind:
    """What stands behind a variable: where it says that it is there, and how one knows it by its answer."""

    name: str
    path: str
    expected: str
    is_it: Callable[[Answer], bool]


def is_prefect(answer: Answer) -> bool:
    """Its health is the JSON value true; its page answers every path with HTML. Whom it does not know, it refuses."""
    return _refuses(answer) or (answer.status == HTTPStatus.OK and answer.body.strip() == b"true")


def is_mlflow(answer: Answer) -> bool:
    """It knows the experiment, or says so in JSON; its health alone is not served by all who serve its interface."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        return _refuses(answer)
    return _refuses(answer) or (isinstance(said, dict) and bool({"experiment", "error_code"} & set(said)))


_KINDS = {
    PREFECT: _Kind("Prefect", "/health", "a Prefect API, as http://127.0.0.1:4200/api", is_prefect),
    MLFLOW: _Kind(
        "MLflow",
        "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default",
        "an MLflow server, as http://127.0.0.1:5000",
        is_mlflow,
    ),
}


def require_services(
    settings: Settings, variables: Sequence[str] = SERVICES, *, within_s: float = ANSWER_WITHIN_S
) -> None:
    """Ask what these variables name.

    Raises:
        InputError: a value that is no address, or a proxy that the clients cannot speak to.
        StoreUnavailable: no answer within `within_s`, a connection that fails, or another program.
    """
    asked = [_Question(service) for service in settings.services if service.variable in variables and _asks(service)]
    until = time.monotonic() + within_s
    for question in asked:
        question.join(max(0.0, until - time.monotonic()))
    for question in asked:
        question.judge(within_s)


def told_of_profile(settings: Settings) -> str:
    """What to say where Prefect alone would follow a profile; "" where there is none."""
    profile = settings.passed_over
    if profile is None:
        return ""
    url = shown(profile.url)
    return (
        f"the Prefect profile {profile.name} names {url} (in {profile.path}); a run is recorded by the home's own "
        f"server all the same. Next: export PREFECT_API_URL={url} to have it there"
    )


def ask(url: str, *, within_s: float, proxy: Proxy | None = None) -> Answer:
    """The answer, whatever its status; asked directly where no proxy is given, whatever the environment names.

    Raises:
        OSError, HTTPException: there is none.
    """
    try:
        with _opener(proxy).open(url, timeout=within_s) as answer:
            headers = answer.headers
            return Answer(
                answer.status, headers.get_content_type(), answer.read(_HEALTH_BYTES), headers.get("Date", "")
            )
    except HTTPError as error:
        with error:
            return Answer(error.code, error.headers.get_content_type(), error.read(_HEALTH_BYTES))


class _Question(threading.Thread):
    """One service, asked in a thread of its own: a name that is looked up in vain takes as long as it likes."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self._service, self._kind = service, _KINDS[service.variable]
        self._answer: Answer | None = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._answer = self._ask()
        except (OSError, HTTPException) as error:
            self._error = error

    def _ask(self) -> Answer:
        parts = urlsplit(self._service.url)
        if parts.scheme in _HTTP:
            url = shown(self._service.url).rstrip("/") + self._kind.path  # nobody is told a password
            return ask(url, within_s=ANSWER_WITHIN_S, proxy=self._service.proxy)
        address = (parts.hostname, parts.port or _DATABASES[_database(parts)])
        with socket.create_connection(address, timeout=ANSWER_WITHIN_S):
            return Answer(HTTPStatus.UNAUTHORIZED, "", b"")  # somebody is there; who, its driver finds out

    def judge(self, within_s: float) -> None:
        """Raises StoreUnavailable."""
        variable, scheme = self._service.variable, urlsplit(self._service.url).scheme
        server = f"the {self._kind.name} {'server' if scheme in _HTTP else 'database'} that {variable} names"
        if self._answer is None:
            got = why(self._error) if self._error else "no answer in time"
            if isinstance(self._error, HTTPException):
                got = "something that is not HTTP"
            raise self._unavailable(f"{server} does not answer", expected=f"an answer within {within_s:g} s", got=got)
        if self._answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise self._unavailable(f"{server} is not well", expected="HTTP 200", got=str(self._answer))
        if not (self._kind.is_it(self._answer) or self._in_the_cloud):
            what = f"another program answers at the address that {variable} names"
            raise self._unavailable(what, expected=self._kind.expected, got=str(self._answer))

    @property
    def _in_the_cloud(self) -> bool:
        """Prefect Cloud tells its health elsewhere."""
        return (urlsplit(self._service.url).hostname or "").endswith(".prefect.cloud")

    def _unavailable(self, what: str, *, expected: str, got: str) -> EdgewrightError:
        service = self._service
        cure = f"start that server, correct {service.variable}, or unset it: the home then keeps its own"
        if service.proxy:
            got = f"{got}, through {service.proxy}"
            host = urlsplit(service.url).hostname
            cure = f"correct {service.proxy.variable}, or add {host} to NO_PROXY; or {cure}"
        return StoreUnavailable(
            what,
            expected=expected,
            got=got,
            where=shown(service.url),
            next_step=cure,
        )


def _asks(service: Service) -> bool:
    """Whether there is a server to ask. Raises InputError."""
    parts = _parts(service)
    if parts.scheme not in _HTTP:
        return bool(parts.hostname) and _database(parts) in _DATABASES
    if service.proxy and not can_use(service.proxy):
        raise InputError(
            f"{service.variable} would be asked through a proxy that its client cannot speak to",
            expected="an http:// proxy",
            got=service.proxy,
            next_step=f"name one in {service.proxy.variable}, or pip install 'httpx[socks]' 'requests[socks]'",
        )
    return True


def _database(parts: SplitResult) -> str:
    """`postgresql` of `postgresql+psycopg2`."""
    return parts.scheme.partition("+")[0]


def _refuses(answer: Answer) -> bool:
    return answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def _opener(proxy: Proxy | None) -> OpenerDirector:
    """Any certificate will do, since nothing is told and nothing believed; the clients' own calls are strict."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a default one reads all authorities: a server is asked often
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    through = {"http": proxy.url, "https": proxy.url} if proxy else {}
    return build_opener(ProxyHandler(through), HTTPSHandler(context=context))


def _parts(service: Service) -> SplitResult:
    """The address taken apart. Raises InputError where it is none."""
    wrong = InputError(
        f"{service.variable} is not the address of a server",
        expected=_KINDS[service.variable].expected,
        got=shown(service.url),
        next_step=f"correct {service.variable}, or unset it: the home then keeps its own",
    )
    try:
        parts = urlsplit(service.url)
        _ = parts.port  # which is read only now
    except ValueError as error:
        raise wrong from error
    http = parts.scheme in _HTTP and bool(parts.hostname)
    if (service.variable == PREFECT or _HOST_AND_PORT.fullmatch(service.url)) and not http:
        raise wrong
    return parts
