"""What the environment names and how it is refused: silence, a closed door, a stranger, a proxy in the way."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgewright.errors import EdgewrightError, InputError, StoreUnavailable
from edgewright.settings import Settings, read_settings
from tasks.engine.services import MLFLOW, PREFECT, require_services, told_of_profile
from tests.listeners import answering, closed_port, silent, speechless

PAGE = b"<html>hello</html>"
UNKNOWN = json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no experiment Default"}).encode()


def settings(tmp_path: Path, environ: Mapping[str, str]) -> Settings:
    return read_settings({"EDGEWRIGHT_HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path), **environ})


def refusal(tmp_path: Path, **environ: str) -> EdgewrightError:
    """The one sentence; it comes within seconds."""
    began = time.monotonic()
    with pytest.raises(EdgewrightError) as caught:
        require_services(settings(tmp_path, environ), within_s=0.5)
    assert time.monotonic() - began < 3
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("variable", [PREFECT, MLFLOW])
def test_nobody_there(variable: str, tmp_path: Path) -> None:
    port = closed_port()
    error = refusal(tmp_path, **{variable: f"http://me:secret@127.0.0.1:{port}/api"})
    assert isinstance(error, StoreUnavailable)
    assert f"that {variable} names does not answer" in str(error)
    assert "got connection refused" in str(error)
    assert f"in http://127.0.0.1:{port}/api" in str(error), "the value, without the password"
    assert "unset it: the home then keeps its own" in (error.next_step or "")


@pytest.mark.parametrize("variable", [PREFECT, MLFLOW])
def test_silence(variable: str, tmp_path: Path) -> None:
    with silent() as port:
        error = refusal(tmp_path, **{variable: f"http://127.0.0.1:{port}"})
    assert "does not answer (expected an answer within 0.5 s, got no answer in time" in str(error)


def test_both_are_asked_at_once(tmp_path: Path) -> None:
    with silent() as port:
        refusal(tmp_path, **dict.fromkeys((PREFECT, MLFLOW), f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize("variable", [PREFECT, MLFLOW])
@pytest.mark.parametrize(("status", "body"), [(200, PAGE), (404, PAGE), (404, b'{"detail":"Not Found"}'), (200, b"OK")])
def test_another_program(variable: str, status: int, body: bytes, tmp_path: Path) -> None:
    with answering(status, body) as stranger:
        error = refusal(tmp_path, **{variable: stranger.url})
    assert f"another program answers at the address that {variable} names" in str(error)
    assert f"HTTP {status}, text/html" in str(error)


def test_a_program_that_speaks_no_http(tmp_path: Path) -> None:
    with speechless() as port:
        assert "got something that is not HTTP" in str(refusal(tmp_path, PREFECT_API_URL=f"http://127.0.0.1:{port}"))


def test_a_server_that_is_ill(tmp_path: Path) -> None:
    with answering(503) as ill:
        assert "names is not well (expected HTTP 200, got HTTP 503" in str(refusal(tmp_path, PREFECT_API_URL=ill.url))


@pytest.mark.parametrize(
    ("variable", "status", "body"),
    [
        (PREFECT, 200, b"true"),
        (PREFECT, 401, b""),  # whom it lets in is the client's to find out
        (MLFLOW, 404, UNKNOWN),
        (MLFLOW, 200, b'{"experiment": {}}'),
        (MLFLOW, 403, b""),
    ],
)
def test_the_right_one(variable: str, status: int, body: bytes, tmp_path: Path) -> None:
    with answering(status, body, kind="application/json") as server:
        require_services(settings(tmp_path, {variable: f"{server.url}/base"}))
    assert [request.startswith("GET /base/") for request in server.requests] == [True]


def test_nothing_named_costs_nothing(tmp_path: Path) -> None:
    began = time.monotonic()
    require_services(settings(tmp_path, {MLFLOW: f"sqlite:///{tmp_path}/mlflow.db"}))
    require_services(settings(tmp_path, {}))
    assert time.monotonic() - began < 0.3


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (PREFECT, "127.0.0.1:4200/api"),
        (PREFECT, "localhost"),
        (PREFECT, "http://host:port/api"),
        (PREFECT, "http://[::1"),
        (MLFLOW, "127.0.0.1:5000"),
        (MLFLOW, "tracking.example:5000/mlflow"),
    ],
)
def test_no_address_at_all(variable: str, value: str, tmp_path: Path) -> None:
    error = refusal(tmp_path, **{variable: value})
    assert isinstance(error, InputError)
    assert f"{variable} is not the address of a server" in str(error)


def test_a_database_that_is_away(tmp_path: Path) -> None:
    error = refusal(tmp_path, MLFLOW_TRACKING_URI=f"postgresql+psycopg2://me:secret@127.0.0.1:{closed_port()}/mlflow")
    assert "the MLflow database that MLFLOW_TRACKING_URI names does not answer" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
def test_a_proxy_that_does_not_answer_is_named(variable: str, tmp_path: Path) -> None:
    with silent() as port:
        proxy = {variable: f"http://me:secret@127.0.0.1:{port}"}
        error = refusal(tmp_path, MLFLOW_TRACKING_URI="http://tracking.example:5000", **proxy)
    assert f"no answer in time, through the proxy http://127.0.0.1:{port} that {variable} names" in str(error)
    assert f"correct {variable}, or add tracking.example to NO_PROXY" in (error.next_step or "")


def test_a_proxy_that_refuses(tmp_path: Path) -> None:
    with answering(502) as proxy:
        error = refusal(tmp_path, PREFECT_API_URL="http://prefect.example/api", HTTP_PROXY=proxy.url)
    assert proxy.requests == ["GET http://prefect.example/api/health"]
    assert f"got HTTP 502, text/html, through the proxy {proxy.url} that HTTP_PROXY names" in str(error)


def test_a_proxy_that_the_client_cannot_speak_to(tmp_path: Path) -> None:
    error = refusal(tmp_path, PREFECT_API_URL="http://prefect.example/api", ALL_PROXY="socks://127.0.0.1:1080")
    assert isinstance(error, InputError)
    assert "got the proxy socks://127.0.0.1:1080 that ALL_PROXY names" in str(error)


def test_this_machine_is_asked_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(502) as proxy, answering(200, b"true") as prefect:
        monkeypatch.setenv("http_proxy", proxy.url)
        require_services(settings(tmp_path, {PREFECT: prefect.url, "http_proxy": proxy.url}))
    assert (len(prefect.requests), proxy.requests) == (1, [])


def test_a_profile_is_passed_over_and_told(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text(
        'active = "work"\n[profiles.work]\nPREFECT_API_URL = "http://me:secret@10.255.0.1:4200/api"\n'
    )
    found = settings(tmp_path, {})
    require_services(found)
    said = told_of_profile(found)
    assert "the Prefect profile work names http://10.255.0.1:4200/api" in said
    assert "export PREFECT_API_URL=http://10.255.0.1:4200/api" in said
    assert told_of_profile(settings(tmp_path, {PREFECT: "http://127.0.0.1:1/api"})) == ""
    assert told_of_profile(settings(tmp_path, {"PREFECT_PROFILE": "other"})) == ""
    (tmp_path / "profiles.toml").write_text("active = ")
    assert told_of_profile(settings(tmp_path, {})) == ""
