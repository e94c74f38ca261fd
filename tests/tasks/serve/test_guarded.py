"""Servers that others can reach ask for a password, or are not begun."""

from __future__ import annotations

import socket

import pytest

from edgewright.errors import InputError
from edgewright.settings import Passwords
from tasks.serve.guarded import allowed_hosts, local_name, require_guarded, told_name

BOTH = Passwords(prefect="team:a-long-password", mlflow="another-long-password")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.7"])
def test_this_machine_alone_needs_none(host: str) -> None:
    assert require_guarded(host, Passwords()) == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "tracking.example"])
@pytest.mark.parametrize(
    ("passwords", "missing"),
    [
        (Passwords(), "PREFECT_SERVER_API_AUTH_STRING and MLFLOW_AUTH_ADMIN_PASSWORD"),
        (Passwords(prefect=BOTH.prefect), "without MLFLOW_AUTH_ADMIN_PASSWORD"),
        (Passwords(mlflow=BOTH.mlflow), "without PREFECT_SERVER_API_AUTH_STRING"),
    ],
)
def test_others_are_kept_out_or_it_does_not_begin(host: str, passwords: Passwords, missing: str) -> None:
    with pytest.raises(InputError, match="others could reach these servers") as refused:
        require_guarded(host, passwords)
    assert missing in str(refused.value)
    assert "long-password" not in str(refused.value)


def test_with_both_it_is_said_what_plain_http_means() -> None:
    assert "Put a proxy with TLS before it" in require_guarded("0.0.0.0", BOTH)


def test_names() -> None:
    assert local_name("0.0.0.0") == "127.0.0.1"
    assert local_name("10.0.0.5") == told_name("10.0.0.5") == "10.0.0.5"
    assert local_name("fe80::1") == "[fe80::1]"
    assert told_name("::") == socket.getfqdn()
    assert {"10.0.0.5", "10.0.0.5:5000", "localhost:5000"} <= set(allowed_hosts("10.0.0.5", 5000).split(","))
