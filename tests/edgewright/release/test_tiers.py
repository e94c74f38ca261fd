"""Several bundles of one release: devices of every tier see the old one or all see the new one, whatever is cut off."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, Home, init_home
from edgewright.device.offer import TIERS
from edgewright.device.slots import Slots
from edgewright.device.updater import update
from edgewright.errors import InputError
from edgewright.release import metadata, repository
from edgewright.release.metadata import SignedSet
from edgewright.release.repository import ReleaseReport, publish_tiers, state_of, tiers_of
from edgewright.release.server import serve_repository
from edgewright.runtime.bundle import Bundle
from tests.edgewright.device.conftest import selftest_here

Make = Callable[..., Path]
Publish = Callable[..., ReleaseReport]


@pytest.fixture
def place(tmp_path: Path, now: datetime) -> dict[str, Any]:
    return {"repository": tmp_path / "repository", "keys": tmp_path / "keys", "channel": "stable", "now": now}


@pytest.fixture
def bundles(make_bundle: Make) -> Callable[..., dict[str, Path]]:
    """`bundles(release, full=1.0, basic=0.8)` => tier => a bundle of a detector of that gain."""
    return lambda release, **gains: {tier: make_bundle(release=release, gain=gain) for tier, gain in gains.items()}


@pytest.fixture
def make_devices(tmp_path: Path) -> Iterator[Callable[[], dict[str, Home]]]:
    """A device a tier, of the repository in `tmp_path`, which is served over HTTP."""
    (tmp_path / "repository").mkdir(exist_ok=True)
    with serve_repository(tmp_path / "repository", reports=tmp_path / "reports") as server:

        def make() -> dict[str, Home]:
            root = (tmp_path / "repository/metadata/1.root.json").read_bytes()
            return {
                tier: init_home(
                    tmp_path / "devices" / tier,
                    trust_root=root,
                    config=DeviceConfig(f"device-{tier}", server.url, "stable", tier=tier),
                    files=Files(),
                )
                for tier in TIERS
            }

        yield make


def running(home: Home) -> tuple[int, str]:
    """Release and digest of what a device has, after it has asked."""
    update(home, selftest=selftest_here)
    slots = Slots(home)
    bundle = slots.bundle(slots.state().active)
    assert bundle is not None
    return bundle.manifest.release, bundle.manifest.digest


def test_a_device_of_each_tier_gets_its_own_bundle(
    bundles: Callable[..., dict[str, Path]], place: dict[str, Any], make_devices: Callable[[], dict[str, Home]]
) -> None:
    published = publish_tiers(bundles(1, basic=0.8, full=1.0, optimized=0.9), **place)
    assert (published.version, published.published, [*published.digests]) == (1, True, [*TIERS])
    assert published.digest == published.digests["full"]
    assert len(published.targets) == 3 * 4
    devices = make_devices()
    assert {tier: running(home) for tier, home in devices.items()} == {
        tier: (1, digest) for tier, digest in published.digests.items()
    }
    again = publish_tiers(bundles(2, full=1.0, optimized=0.9, basic=0.8), **place)
    assert (again.version, again.published, again.signed) == (1, False, ())
    one_new = publish_tiers(bundles(2, full=1.0, optimized=0.9, basic=0.7), **place)
    assert (one_new.version, one_new.published) == (2, True)
    assert {running(home)[0] for home in devices.values()} == {2}, "the number is one for all"
    assert one_new.digests["full"] == published.digests["full"]


def test_an_equal_release_numbers_the_bundles_as_it_is_numbered(
    bundles: Callable[..., dict[str, Path]], place: dict[str, Any]
) -> None:
    publish_tiers(bundles(1, full=1.0, basic=0.8), **place)
    again = bundles(2, full=1.0, basic=0.8)
    publish_tiers(again, **place)
    assert [Bundle.load(folder).manifest.release for folder in again.values()] == [1, 1]


def test_a_tier_that_comes_later_makes_a_new_release_of_all(
    bundles: Callable[..., dict[str, Path]], place: dict[str, Any]
) -> None:
    publish_tiers(bundles(1, full=1.0), **place)
    report = publish_tiers(bundles(2, full=1.0, basic=0.8), **place)
    assert (report.version, report.published) == (2, True)
    signed_set = SignedSet.read(place["repository"] / "metadata")
    assert tiers_of(signed_set, "stable") == {1: ("full",), 2: ("full", "basic")}
    fewer = publish_tiers(bundles(3, full=1.0), **place)
    assert (fewer.version, fewer.published) == (2, False), "what is asked for is released"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda bundles: {}, r"not tiers .*got none"),
        (lambda bundles: {"huge": bundles(2, full=0.9)["full"]}, r"not tiers .*got huge"),
        (
            lambda bundles: {**bundles(2, full=0.9), **bundles(3, basic=0.8)},
            r"one release with different numbers \(got 2, 3\)",
        ),
        (lambda bundles: bundles(1, full=1.0, basic=0.8), r"number that is not new \(expected > 1, got 1\)"),
    ],
)
def test_what_is_no_release_is_refused_and_nothing_is_signed(
    bundles: Callable[..., dict[str, Path]], place: dict[str, Any], made: Callable[..., dict[str, Path]], said: str
) -> None:
    publish_tiers(bundles(1, full=1.0), **place)
    before = state_of(place["repository"])
    with pytest.raises(InputError, match=said):
        publish_tiers(made(bundles), **place)
    assert state_of(place["repository"]) == before


class PowerCut(BaseException):
    """Not an Exception: nothing may catch it and go on."""


@pytest.mark.parametrize("after", [False, True], ids=["before a write", "after it"])
def test_the_power_fails_at_each_write(
    bundles: Callable[..., dict[str, Path]],
    place: dict[str, Any],
    make_devices: Callable[[], dict[str, Home]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: bool,
) -> None:
    publish_tiers(bundles(1, full=1.0, optimized=0.9, basic=0.8), **place)
    devices = make_devices()
    assert {running(home)[0] for home in devices.values()} == {1}
    shutil.copytree(tmp_path / "repository", tmp_path / "before")
    new, write = bundles(2, full=0.95, optimized=0.85, basic=0.75), metadata.write_atomically
    seen, cut = {1}, 0
    while seen == {1}:
        left = cut

        def counted(*given: Any, **named: Any) -> None:
            nonlocal left
            left -= 1
            if left == -1 and not after:
                raise PowerCut
            write(*given, **named)
            if left == -1:
                raise PowerCut

        for module in (metadata, repository):
            monkeypatch.setattr(module, "write_atomically", counted)
        with suppress(PowerCut):
            publish_tiers(new, **place)
        for module in (metadata, repository):
            monkeypatch.setattr(module, "write_atomically", write)
        seen = {running(home)[0] for home in devices.values()}
        assert len(seen) == 1, f"cut at {cut}: {seen}"
        assert publish_tiers(new, **place).version == 2, "the same command ends it"
        shutil.rmtree(tmp_path / "repository")
        shutil.copytree(tmp_path / "before", tmp_path / "repository")
        cut += 1
    assert (seen, cut > 20) == ({2}, True)
