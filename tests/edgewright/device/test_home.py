"""A device's folder: what an older agent has written, and what it can read."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home, open_home, told_by
from edgewright.errors import InputError

CONFIG = DeviceConfig("line-1", "http://127.0.0.1:9", "stable", collector_url="https://gate:8472")


def test_a_broker_is_kept_until_another_way_is_wanted(tmp_path: Path) -> None:
    home = init_home(tmp_path / "device", trust_root=b"root", config=CONFIG, files=Files())
    before = (home.root / "device.json").read_bytes()
    assert set(json.loads(before)) == {*asdict(CONFIG)} - {"broker_url"}, "an agent that knows no broker reads it"
    told_by(home, "mqtts://gate:8883")
    again = init_home(
        home.root, trust_root=b"root", config=DeviceConfig("line-1", "http://new:9", "beta"), files=Files()
    )
    assert (again.config.broker_url, again.config.channel) == ("mqtts://gate:8883", "beta")
    told_by(again, "")
    assert open_home(home.root, files=Files()).config.broker_url == ""


@pytest.mark.parametrize("address", ["gate", "http://gate", "mqtt://", "mqtt://me:secret@gate"])
def test_what_is_no_broker_or_would_put_a_password_into_the_file_is_refused(address: str, tmp_path: Path) -> None:
    home = init_home(tmp_path / "device", trust_root=b"root", config=CONFIG, files=Files())
    with pytest.raises(InputError):
        told_by(home, address)
    assert open_home(home.root, files=Files()).config == CONFIG


def test_a_device_of_no_fleet_has_nobody_to_tell(tmp_path: Path) -> None:
    alone = DeviceConfig("line-1", "http://127.0.0.1:9", "stable")
    home = init_home(tmp_path / "device", trust_root=b"root", config=alone, files=Files())
    with pytest.raises(InputError, match="of no fleet"):
        told_by(home, "mqtt://gate")
