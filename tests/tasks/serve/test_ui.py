"""`edgewright ui` refuses before it starts anything; that it ends what it started is tested in tests/slow."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edgewright.errors import InputError, StoreUnavailable
from edgewright.settings import read_settings
from tasks.serve.ui import serve_interfaces
from tests.listeners import closed_port


@pytest.mark.parametrize("option", ["mlflow_port", "prefect_port"])
def test_a_port_that_is_taken_is_said_before_anything_starts(option: str, tmp_path: Path) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"mlflow_port": closed_port(), "prefect_port": closed_port(), option: other.getsockname()[1]}
        with pytest.raises(InputError, match=f"is taken .*another --{option.replace('_', '-')}"):
            serve_interfaces(read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home")}), **ports, say=said.append)
    assert said == []
    assert not (tmp_path / "home").exists()


def test_a_port_each(tmp_path: Path) -> None:
    port = closed_port()
    with pytest.raises(InputError, match="need a port each"):
        serve_interfaces(
            read_settings({"EDGEWRIGHT_HOME": str(tmp_path)}), mlflow_port=port, prefect_port=port, say=print
        )


def test_what_is_named_elsewhere_must_answer(tmp_path: Path) -> None:
    elsewhere = {"EDGEWRIGHT_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{closed_port()}"}
    ports = {"mlflow_port": closed_port(), "prefect_port": closed_port()}
    with pytest.raises(StoreUnavailable, match="MLFLOW_TRACKING_URI names does not answer"):
        serve_interfaces(read_settings(elsewhere), **ports, say=print)
