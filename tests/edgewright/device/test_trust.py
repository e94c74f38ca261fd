"""What a device says when it cannot fetch or does not believe: the clock, the server, the proxy."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgewright.device.trust import open_channel
from edgewright.errors import DeviceUnreachable, UpdateRefused
from edgewright.release.repository import publish_release
from tests.edgewright.device.conftest import Device
from tests.listeners import answering, closed_port

Make = Callable[..., Path]
PROXIES = [
    spelled(f"{scheme}_proxy") for scheme in ("http", "https", "all", "no") for spelled in (str.lower, str.upper)
]


@pytest.fixture
def published(make_bundle: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """`published(now)`: a repository that was signed then; and no proxy is named."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)

    def publish(now: datetime) -> None:
        paths: dict[str, Any] = {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}
        publish_release(make_bundle(release=1), channel="stable", now=now, **paths)

    return publish


def unreachable(device: Device, url: str, tmp_path: Path) -> str:
    moved = Device(tmp_path / "moved", trust_root=device.home.trust_root, server_url=url)
    with pytest.raises(DeviceUnreachable) as caught, open_channel(moved.home):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("age", "role", "lifetime"),
    [
        (timedelta(days=8), "timestamp", timedelta(days=7)),
        (timedelta(days=366), "root", timedelta(days=365)),
    ],
)
def test_expired_metadata_name_both_clocks(
    published: Any, make_device: Callable[..., Device], age: timedelta, role: str, lifetime: timedelta
) -> None:
    """Whichever of the two is wrong."""
    signed = (datetime.now(UTC) - age).replace(microsecond=0)
    published(signed)
    with pytest.raises(UpdateRefused) as caught, open_channel(make_device().home):
        pass
    said = str(caught.value)
    until = f"{signed + lifetime:%Y-%m-%dT%H:%M:%SZ}"
    assert f"expected {role} metadata that hold now, got valid until {until}" in said
    clock = re.search(r"the device's clock says (\S+Z)", said)
    assert clock
    assert abs(datetime.fromisoformat(clock[1]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert "Next: set the device's clock, if it is wrong" in said


def test_a_refused_connection(published: Any, make_device: Callable[..., Device], tmp_path: Path) -> None:
    published(datetime.now(UTC))
    url = f"http://127.0.0.1:{closed_port()}"
    said = unreachable(make_device(), url, tmp_path)
    assert said.startswith(f"the channel's metadata cannot be fetched (got connection refused, in {url})")


def test_a_proxy_in_the_way_is_named(
    published: Any, make_device: Callable[..., Device], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(datetime.now(UTC))
    device = make_device()
    with answering(502) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:secret@"))
        with open_channel(device.home) as channel:  # its server is on this machine
            assert channel.offer_to("line-1", running=0).release == 1
        assert proxy.requests == []
        said = unreachable(device, "http://releases.example", tmp_path)
    assert f"status 502, through the proxy {proxy.url} that HTTP_PROXY names, in http://releases.example" in said
    assert "Next: correct HTTP_PROXY, or add the server to NO_PROXY" in said
