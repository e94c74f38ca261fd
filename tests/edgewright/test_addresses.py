"""What a message shows of an address, what is asked through a proxy, and how a failed connection is put into words."""

from __future__ import annotations

import socket
import urllib.request
from http.client import RemoteDisconnected
from typing import Any
from urllib.error import URLError

import httpx
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from edgewright.addresses import LOOPBACK, is_loopback, proxy_for, shown, spare_loopback, why
from tests.listeners import answering, closed_port, silent


def open_url(url: str, **options: Any) -> Any:
    """As `urlopen`, which keeps the proxies that it saw first."""
    return urllib.request.build_opener().open(url, **options)


HOSTS = st.sampled_from(["", "a.example", ".corp", "10.0.0.1", "localhost", "127.0.0.1", " b ", "::1"])


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://me:secret@host:5000/mlflow?token=x#y", "http://host:5000/mlflow"),
        ("postgresql+psycopg2://u:p%40ss@db/mlflow", "postgresql+psycopg2://db/mlflow"),
        ("me:secret@host:5000", "host:5000"),  # without a scheme
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("http://[::1", "http://[::1"),  # not an address at all
    ],
)
def test_no_password_is_shown(url: str, told: str) -> None:
    assert shown(url) == told
    assert shown(told) == told


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:1/api", True),
        ("http://127.9.9.9", True),
        ("http://localhost:4200/api", True),
        ("http://x.localhost", True),
        ("http://[::1]:4200", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1.example", False),
        ("sqlite:///x.db", False),
    ],
)
def test_what_is_this_machine(url: str, own: bool) -> None:
    assert is_loopback(url) == own


@given(st.dictionaries(st.sampled_from(["no_proxy", "NO_PROXY"]), st.lists(HOSTS).map(",".join)))
def test_what_the_user_has_excepted_stays_so(before: dict[str, str]) -> None:
    after = dict(before)
    spare_loopback(after)
    for name, text in after.items():
        entries = text.split(",")
        assert {*LOOPBACK} | {entry.strip() for entry in before.get(name, "").split(",") if entry.strip()} == {*entries}
    again = dict(after)
    spare_loopback(again)
    assert again == after


def test_all_excepted_stays_all_excepted() -> None:
    """`*` counts only where it stands alone."""
    environ = {"NO_PROXY": "*"}
    spare_loopback(environ)
    assert environ == {"NO_PROXY": "*"}


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://p"}, "HTTP_PROXY"),
        ({"HTTP_PROXY": "http://p", "http_proxy": "http://q"}, "http_proxy"),
        ({"HTTPS_PROXY": "http://p"}, None),
        ({"ALL_PROXY": "http://p"}, "ALL_PROXY"),
        ({"ALL_PROXY": "http://p", "http_proxy": "http://q"}, "http_proxy"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "a.example"}, None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "example"}, None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "other.example"}, "HTTP_PROXY"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, None),
    ],
)
def test_which_proxy_stands_before_an_address(environ: dict[str, str], variable: str | None) -> None:
    found = proxy_for("http://a.example:5000", environ)
    assert (found.variable if found else None) == variable
    assert proxy_for("http://127.0.0.1:5000", environ) is None


@pytest.mark.parametrize("get", [requests.get, httpx.get, open_url], ids=["requests", "httpx", "urllib"])
def test_the_libraries_ask_this_machine_directly(get: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(502) as proxy, answering(200, b"here") as server:
        environ = dict.fromkeys(("HTTP_PROXY", "https_proxy", "ALL_PROXY"), proxy.url)
        spare_loopback(environ)
        for name in ("http_proxy", "HTTPS_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        for host in ("127.0.0.1", "localhost"):
            get(f"http://{host}:{server.port}/").close()
    assert len(server.requests) == 2
    assert [asked for asked in proxy.requests if "127.0.0.1" in asked or "localhost" in asked] == []


def raised(call: Any) -> BaseException:
    with pytest.raises((OSError, httpx.HTTPError)) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("get", [requests.get, httpx.get, open_url], ids=["requests", "httpx", "urllib"])
def test_the_libraries_failures_are_called_by_what_happened(get: Any) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    assert why(raised(lambda: get(url))) == "connection refused"
    with silent() as port:
        assert why(raised(lambda: get(f"http://127.0.0.1:{port}", timeout=0.2))) == "no answer in time"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (URLError(socket.gaierror(-2, "Name or service not known")), "no such host: its name cannot be looked up"),
        (RemoteDisconnected("Remote end closed connection"), "it closed the connection"),
        (OSError(113, "No route to host"), "no route to host"),
        (TimeoutError(), "no answer in time"),
        (ValueError("this and that"), "this and that"),
        (ValueError(), "ValueError"),
    ],
)
def test_others_too(error: BaseException, words: str) -> None:
    assert why(error) == words
