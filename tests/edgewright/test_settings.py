"""What the libraries are told before they are imported, and that a user's own word stands."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgewright.errors import InputError
from edgewright.processes import identity_of
from edgewright.settings import UP_FILE, configure_libraries, read_settings


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({}, {"GOMP_SPINCOUNT": "50000", "OMP_NUM_THREADS": "3"}),
        ({"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "1"}, {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "1"}),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": None}),
    ],
    ids=["nothing said", "as said", "a policy, which a count of spins would outdo"],
)
def test_how_threads_wait(own: dict[str, str], told: dict[str, str | None], tmp_path: Path) -> None:
    environ = dict(own)
    configure_libraries(read_settings({"EDGEWRIGHT_HOME": str(tmp_path), "EDGEWRIGHT_THREADS": "3"}), environ)
    assert {name: environ.get(name) for name in told} == told


def configured(home: Path, **named: str) -> dict[str, str]:
    environ = {"EDGEWRIGHT_HOME": str(home), **named}
    configure_libraries(read_settings(environ), environ)
    return environ


def test_this_machine_is_excepted_from_proxies(tmp_path: Path) -> None:
    environ = configured(tmp_path, HTTP_PROXY="http://p:3128", NO_PROXY=".corp", PREFECT_API_URL="http://127.1.2.3/api")
    assert environ["NO_PROXY"] == ".corp,localhost,127.0.0.1,::1,127.1.2.3"
    assert environ["HTTP_PROXY"] == "http://p:3128"


@pytest.mark.parametrize("url", ["socks://127.0.0.1:1080", "socks4://h:1", "socks5://h:1"])
def test_a_proxy_that_the_libraries_cannot_speak_to_is_left_out(url: str, tmp_path: Path) -> None:
    """As desktops set them. Prefect's client would not even ask its own machine."""
    if url.startswith("socks5") and find_spec("socksio"):
        pytest.skip("here it can")
    environ = configured(tmp_path, all_proxy=url, ALL_PROXY=url, HTTPS_PROXY="http://p:3128")
    assert {name for name in environ if "PROXY" in name.upper()} == {"HTTPS_PROXY", "no_proxy", "NO_PROXY"}


@pytest.mark.parametrize(
    ("environ", "read"),
    [
        ({}, ("processes", "local")),
        ({"EDGEWRIGHT_FANOUT": "ray"}, ("ray", "local")),
        ({"EDGEWRIGHT_FANOUT": "ray", "EDGEWRIGHT_RAY_ADDRESS": "head.lab:6379"}, ("ray", "head.lab:6379")),
        ({"EDGEWRIGHT_RAY_ADDRESS": "[::1]:6379"}, ("processes", "[::1]:6379")),
    ],
)
def test_who_makes_the_shards(environ: dict[str, str], read: tuple[str, str]) -> None:
    settings = read_settings(environ)
    assert (settings.fanout, settings.ray_address) == read


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"EDGEWRIGHT_FANOUT": "dask"}, r"unknown fanout \(expected processes or ray, got dask"),
        ({"EDGEWRIGHT_ROUTER": "dask"}, r"unknown router \(expected inline or pools, got dask"),
        ({"EDGEWRIGHT_RAY_ADDRESS": "ray://head:10001"}, "not an address of a Ray cluster"),
        ({"EDGEWRIGHT_RAY_ADDRESS": "head"}, "not an address of a Ray cluster"),
    ],
)
def test_what_is_not_known_is_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_settings(environ)


def test_a_ray_of_this_machine_alone_is_nobodys_else(tmp_path: Path) -> None:
    local = configured(tmp_path, EDGEWRIGHT_FANOUT="ray")
    assert (local["RAY_AUTH_MODE"], len(local["RAY_AUTH_TOKEN"])) == ("token", 64)
    assert local["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0", "which has it listen on the loopback"
    others = configured(tmp_path, EDGEWRIGHT_FANOUT="ray", EDGEWRIGHT_RAY_ADDRESS="head:6379")
    assert not {"RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"} & others.keys()
    assert not {name for name in configured(tmp_path) if name.startswith("RAY_")} - {"RAY_USAGE_STATS_ENABLED"}


def test_nobody_is_told_what_is_run(tmp_path: Path) -> None:
    environ = configured(tmp_path)
    assert environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert (environ["MLFLOW_DISABLE_TELEMETRY"], environ["PREFECT_SERVER_ANALYTICS_ENABLED"]) == ("true", "false")
    assert environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_clients_are_told_the_passwords_that_the_servers_ask_for(tmp_path: Path) -> None:
    environ = configured(
        tmp_path, PREFECT_SERVER_API_AUTH_STRING="team:secret", MLFLOW_AUTH_ADMIN_PASSWORD="a-long-secret"
    )
    assert environ["PREFECT_API_AUTH_STRING"] == "team:secret"
    assert (environ["MLFLOW_TRACKING_USERNAME"], environ["MLFLOW_TRACKING_PASSWORD"]) == ("admin", "a-long-secret")
    assert "secret" not in repr(read_settings(environ))
    assert not {"PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_USERNAME"} & set(configured(tmp_path))


def test_commands_in_a_home_that_is_up_record_where_it_does(tmp_path: Path) -> None:
    me = identity_of(os.getpid())
    assert me is not None
    known = {"pid": me.pid, "began_s": me.began_s, "prefect_url": "http://p", "mlflow_url": "http://m"}
    home = {"EDGEWRIGHT_HOME": str(tmp_path)}

    def standing(**changed: object) -> tuple[str, str]:
        (tmp_path / UP_FILE).write_text(json.dumps({**known, "tracking_uri": "http://m", **changed}))
        found = read_settings(home)
        return found.mlflow_tracking_uri, found.shown_prefect

    own = f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert standing() == ("http://m", "http://p")
    assert standing(began_s=me.began_s + 1) == (own, ""), "another process has its number"
    (tmp_path / UP_FILE).write_text("{")
    assert read_settings(home).mlflow_tracking_uri == own
    standing()
    named = read_settings({**home, "MLFLOW_TRACKING_URI": "http://mine", "PREFECT_API_URL": "http://also/api"})
    assert (named.mlflow_tracking_uri, named.shown_prefect) == ("http://mine", "http://also/api")
