"""What the doctor finds wrong, and that each finding names a cure. With workers: tests/slow/test_stack.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings

from edgewright.settings import Settings, read_settings
from tasks.serve import doctor
from tasks.serve.collector import collector_served
from tasks.serve.doctor import Finding, examine
from tests.conftest import free_port
from tests.listeners import answering, closed_port

SettingsOf = Callable[..., Settings]


@pytest.fixture
def settings_of(tmp_path: Path) -> SettingsOf:
    """Settings of an empty home, with what the environment names beside it."""
    (tmp_path / "home").mkdir()
    return lambda **environment: read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home"), **environment})


def found(settings: Settings, *pools: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(settings, pools=pools)}


def said_of(pool: str, settings: Settings) -> list[str]:
    """What is wrong with a pool, up to the reason; each with a cure."""
    of_pool = [finding for finding in examine(settings, pools=[pool]) if finding.name == f"pool {pool}"]
    assert all(not finding.well and finding.cure for finding in of_pool)
    return [finding.said.partition(":")[0] for finding in of_pool]


def test_a_home_alone_lacks_a_server_and_nothing_else(settings_of: SettingsOf) -> None:
    findings = found(settings_of(), "cpu")
    wrong = [finding for finding in findings.values() if not finding.well]
    assert [finding.name for finding in wrong] == ["Prefect"], wrong
    assert wrong[0].cure.startswith("edgewright up")
    assert "every library in its range" in findings["versions"].said
    assert "pool cpu" not in findings, "it was not asked, so nothing is said of it"


def test_a_pool_is_looked_at_until_something_is_wrong(settings_of: SettingsOf, prefect_api: str) -> None:
    settings = settings_of(PREFECT_API_URL=prefect_api)
    findings = found(settings, "doctored")
    assert {name for name, finding in findings.items() if not finding.well} == {"pool doctored"}
    assert findings["WebSocket"].said == "events pass"
    assert "there is none" in findings["pool doctored"].said

    with temporary_settings({PREFECT_API_URL: prefect_api}), get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="doctored", type="process"))
        assert said_of("doctored", settings) == ["no limit", "no worker is online"]
        client.update_work_pool("doctored", WorkPoolUpdate(concurrency_limit=1))
        assert said_of("doctored", settings) == ["no worker is online"]


def test_an_mlflow_that_is_not_there_is_said_with_its_address(settings_of: SettingsOf) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    finding = found(settings_of(MLFLOW_TRACKING_URI=address))["MLflow"]
    assert (finding.well, address in finding.said, finding.cure != "") == (False, True, True)


def test_a_server_elsewhere_is_asked_through_its_proxy(settings_of: SettingsOf) -> None:
    with answering(200, b'{"experiment": {}}', kind="application/json") as proxy:
        finding = found(settings_of(MLFLOW_TRACKING_URI="http://tracking.example", HTTP_PROXY=proxy.url))["MLflow"]
    assert (finding.well, finding.said) == (True, "http://tracking.example")
    assert [request.partition("?")[0] for request in proxy.requests] == [
        "GET http://tracking.example/api/2.0/mlflow/experiments/get-by-name"
    ] * 2, "once whether it is one, once whether it knows its name"


def test_devices_that_find_no_collector_are_told_of(settings_of: SettingsOf) -> None:
    settings = settings_of()
    assert "collector" not in found(settings), "a home without a fleet needs none"
    with collector_served(settings, port=free_port(), say=lambda line: None) as where:
        assert found(settings)["collector"] == Finding("collector", True, where.url)
    finding = found(settings)["collector"]
    assert (finding.well, where.url in finding.said, "edgewright serve-collector" in finding.cure) == (
        False,
        True,
        True,
    )


@pytest.mark.parametrize(("ahead_s", "well"), [(0, True), (-600, False), (3600, False)])
def test_a_clock_that_goes_wrong_is_said(settings_of: SettingsOf, ahead_s: float, well: bool) -> None:
    with answering(200, b"true", kind="application/json", clock_s=time.time() + ahead_s) as server:
        findings = examine(settings_of(PREFECT_API_URL=f"{server.url}/api"), pools=())
        finding = next(finding for finding in findings if finding.name == "clock of Prefect")
    assert (finding.well, bool(finding.cure)) == (well, not well)


def test_a_full_disk_is_said(settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1 << 60)
    finding = found(settings_of())["space in home"]
    assert (finding.well, "edgewright gc" in finding.cure) == (False, True)
