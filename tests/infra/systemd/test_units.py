"""The units: systemd knows every line, the programs exist, and a service has no more rights than it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.engine.stage import POOLS
from tests.infra.places import CONTAINERS, PROGRAMS, SYSTEMD

INSTALLED = "/usr/local/lib/edgewright/bin"
ON_DEVICE = "/usr/local/lib/edgewright-device/bin"
SERVICES = sorted(SYSTEMD.glob("*.service"))
MAX_EXPOSURE = 20
"""Of 100, by `systemd-analyze security`: 0 may nothing, 50 is called medium, a unit without a line has 96."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with the programs where this machine has them, and an instance of each worker."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze: Debian's package systemd has it")
    programs = tmp_path / "bin"
    programs.mkdir()
    shutil.copy(CONTAINERS / "device_loop.sh", programs / "device-loop")
    folder = tmp_path / "units"
    shutil.copytree(SYSTEMD, folder)
    for path in folder.glob("*.service"):
        text = path.read_text().replace(INSTALLED, str(PROGRAMS)).replace(ON_DEVICE, str(programs))
        path.write_text(text)
    for pool in POOLS:
        shutil.copy(folder / "edgewright-worker@.service", folder / f"edgewright-worker@{pool}.service")
    return folder


def verify(*units: Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "verify", "--man=no", *map(str, units)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_has_nothing_to_say(units: Path) -> None:
    """It warns of a word that it does not know, and ends with success all the same."""
    done = verify(*sorted(units.glob("*.service")), *sorted(units.glob("*.target")))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("written", "mistaken", "said"),
    [
        ("Restart=always", "Restrat=always", "Unknown key"),  # a word
        ("KillMode=mixed", "KillMode=some", "Failed to parse kill mode"),  # a value
        ("/prefect worker", "/prefekt worker", "not executable"),  # a program
    ],
)
def test_a_mistake_is_found(units: Path, written: str, mistaken: str, said: str) -> None:
    unit = units / "edgewright-worker@cpu.service"
    assert written in unit.read_text()
    unit.write_text(unit.read_text().replace(written, mistaken))
    done = verify(unit)
    assert said in done.stdout + done.stderr


@pytest.mark.parametrize("pool", ["gpu", "fpga"])
def test_a_drop_in_gives_the_devices(pool: str) -> None:
    drop_in = (SYSTEMD / f"edgewright-worker@{pool}.service.d/devices.conf").read_text()
    assert "PrivateDevices=no" in drop_in and "DeviceAllow=" in drop_in and "DevicePolicy=closed" in drop_in
    assert pool in POOLS


@pytest.mark.parametrize("name", [path.name for path in SERVICES])
def test_a_service_has_few_rights(units: Path, name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", str(units / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_service_ends_in_time(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"^TimeoutStopSec=\d+s$", text, re.MULTILINE)
    assert re.search(r"^Restart=(always|on-failure)$", text, re.MULTILINE)
    assert "SIGKILL" not in text  # the first signal is TERM: a worker ends its flow run then


def test_a_worker_is_told_before_its_runs_are() -> None:
    """SIGTERM to all would end a run before its worker could say so."""
    text = (SYSTEMD / "edgewright-worker@.service").read_text()
    assert "\nKillMode=mixed\n" in text
    assert "worker start --pool %i " in text


def test_a_device_waits_for_no_network_and_never_gives_up() -> None:
    text = (SYSTEMD / "edgewright-device.service").read_text()
    assert "network" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    assert "\nStartLimitIntervalSec=0\n" in text and "\nRestart=always\n" in text
    assert (
        "\nStateDirectory=edgewright-device\n" in text
        and "\nEnvironment=DEVICE_HOME=/var/lib/edgewright-device\n" in text
    )


def test_the_user_can_be_made() -> None:
    if not shutil.which("systemd-sysusers"):
        pytest.skip("no systemd-sysusers: Debian's package systemd has it")
    command = ["systemd-sysusers", "--dry-run", str(SYSTEMD / "edgewright.sysusers")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    users = {
        re.search(r"^User=(.*)$", path.read_text(), re.MULTILINE)[1]
        for path in SERVICES
        if "\nUser=" in path.read_text()
    }  # type: ignore[index]
    assert users == {"edgewright"}


def test_every_file_that_a_unit_reads_has_an_example() -> None:
    read = {
        match
        for path in SERVICES
        for match in re.findall(r"EnvironmentFile=-?/etc/edgewright/([\w.]+)$", path.read_text(), re.MULTILINE)
    }
    assert read == {"environment", "secrets.env", "device"}
    assert {path.name.removesuffix(".example") for path in SYSTEMD.glob("*.example")} == read
