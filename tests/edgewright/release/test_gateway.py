"""A flash: a real server, the real agent in its own process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from edgewright.device.files import Files
from edgewright.device.home import open_home
from edgewright.errors import DeviceUnreachable, InputError, UpdateRefused
from edgewright.release.address import address_in
from edgewright.release.gateway import FlashReport, flash_device
from edgewright.release.repository import ReleaseReport, publish_tiers
from edgewright.release.server import serve_releases

Make = Callable[..., Path]
Publish = Callable[..., ReleaseReport]


@pytest.fixture
def flash(tmp_path: Path, feed: Path) -> Callable[..., FlashReport]:
    def run(**changes: Any) -> FlashReport:
        arguments: dict[str, Any] = {
            "repository": tmp_path / "repository",
            "address": address_in(tmp_path),
            "device_home": tmp_path / "device",
            "device_id": "line-1-0",
            "channel": "stable",
            "feed": feed,
            "out": tmp_path / "out",
            "timeout_s": 60,
            "on_progress": lambda done, total, what: None,
        }
        return flash_device(**{**arguments, **changes})

    return run


def test_flash_twice_then_a_tampered_release(
    make_bundle: Make, publish: Publish, flash: Callable[..., FlashReport], tmp_path: Path
) -> None:
    published = publish(make_bundle())
    steps: list[tuple[int, int]] = []
    first = flash(on_progress=lambda done, total, what: steps.append((done, total)))
    assert (first.version, first.slot, first.digest) == (1, "a", published.digest)
    assert (first.frames, first.detections, first.selftest.passed) == (6, 12, True)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (tmp_path / "out/detections.jsonl").exists()
    address = address_in(tmp_path)
    assert server_of(tmp_path / "device") == f"{address.url}/repository"
    with serve_releases(tmp_path, host=address.host, port=address.port):  # by somebody else
        again = flash()
    assert (again.version, again.slot) == (1, "a")
    assert server_of(tmp_path / "device") == f"{address.url}/repository"

    publish(make_bundle(release=2, gain=0.9))
    model = max(
        (tmp_path / "repository/targets/stable/full").glob("*/*.model.onnx"), key=lambda path: path.stat().st_mtime_ns
    )
    payload = bytearray(model.read_bytes())
    payload[-1] ^= 1
    model.write_bytes(payload)
    with pytest.raises(UpdateRefused, match=r"line-1-0 refuses the release.*model.onnx"):
        flash()


def test_a_device_of_another_tier_runs_that_tiers_bundle(
    make_bundle: Make, flash: Callable[..., FlashReport], tmp_path: Path, now: datetime
) -> None:
    made = {"full": make_bundle(), "basic": make_bundle(gain=0.8)}
    published = publish_tiers(
        made, repository=tmp_path / "repository", keys=tmp_path / "keys", channel="stable", now=now
    )
    report = flash(tier="basic")
    assert (report.version, report.digest) == (1, published.digests["basic"])
    assert open_home(tmp_path / "device", files=Files()).config.tier == "basic"


def server_of(device: Path) -> str:
    return open_home(device, files=Files()).config.server_url


def test_no_release(flash: Callable[..., FlashReport]) -> None:
    with pytest.raises(InputError, match="nothing is released"):
        flash()


def test_a_device_that_takes_too_long(make_bundle: Make, publish: Publish, flash: Callable[..., FlashReport]) -> None:
    publish(make_bundle())
    with pytest.raises(DeviceUnreachable, match=r"did not finish `init` in time.*flash\.timeout_s"):
        flash(timeout_s=0)
