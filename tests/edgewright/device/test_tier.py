from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgewright.device.cli import main
from edgewright.device.home import DeviceConfig, Home, init_home
from edgewright.device.offer import AUTO, TIERS
from edgewright.device.tier import (
    BARRED_S,
    SLOW_S,
    TIER_FILE,
    Capability,
    Standing,
    after_flash,
    after_round,
    chosen,
    in_order,
    keep_standing,
    measured,
    measured_anew,
    standing_of,
)
from edgewright.device.updater import update
from edgewright.errors import UpdateRefused
from edgewright.release.repository import ReleaseReport, publish_release
from edgewright.release.server import RepositoryServer
from tests.edgewright.device.conftest import Device, selftest_here

GB = 1_000_000_000
STRONG = Capability(cores=4, int8="VNNI", memory_bytes=4 * GB)
NOW = 1_780_000_000.0


@pytest.mark.parametrize(
    ("capability", "tier"),
    [
        (STRONG, "full"),
        (replace(STRONG, cores=1), "optimized"),
        (replace(STRONG, int8=""), "optimized"),
        (replace(STRONG, memory_bytes=GB - 1), "optimized"),
        (replace(STRONG, memory_bytes=GB // 5 - 1), "basic"),
        (replace(STRONG, link_bytes_s=3000.0), "basic"),
        (replace(STRONG, link_bytes_s=4000.0), "full"),
    ],
)
def test_what_is_measured_decides(capability: Capability, tier: str) -> None:
    found = chosen(capability)
    assert found.tier == tier and found.why
    assert chosen(capability, barred=TIERS).tier == tier, "there is no smaller one that is not barred"


def test_a_barred_tier_is_left_for_a_smaller_one_and_tried_again_later() -> None:
    standing = after_flash(replace(Standing(), tier="full", taken="full"), 400.0, now=NOW)
    left = measured_anew(standing, STRONG, now=NOW)
    assert (left.tier, left.why) == ("optimized", "full was too slow here")
    assert measured_anew(left, STRONG, now=NOW + BARRED_S + 1).tier == "full"
    assert measured_anew(left, STRONG, now=NOW - 1).tier == "full", "set by a clock that was ahead"
    assert after_flash(standing, 30.0, now=NOW) == standing


def test_what_got_slow_for_five_minutes_is_left_and_a_hot_minute_is_not() -> None:
    cool = replace(Standing(), tier="full", taken="full")
    warm = after_round(cool, compute_ms=16.0, installed_ms=10.0, now=NOW)
    assert warm.slow_since == NOW and warm.barred == {}
    assert after_round(warm, compute_ms=14.0, installed_ms=10.0, now=NOW + 60).slow_since is None
    assert after_round(warm, compute_ms=16.0, installed_ms=10.0, now=NOW + SLOW_S - 1).barred == {}
    hot = after_round(warm, compute_ms=16.0, installed_ms=10.0, now=NOW + SLOW_S)
    assert measured_anew(hot, STRONG, now=NOW + SLOW_S).tier == "optimized"
    back = after_round(warm, compute_ms=16.0, installed_ms=10.0, now=NOW - 9999)
    assert back.barred == {} and back.slow_since == NOW - 9999, "a clock that went back has measured nothing"
    least = after_round(replace(warm, taken="basic"), compute_ms=16.0, installed_ms=10.0, now=NOW + SLOW_S)
    assert least.barred == {}, "there is nothing smaller"


def test_memory_at_a_bound_does_not_have_it_come_and_go() -> None:
    low, just = (replace(STRONG, memory_bytes=size) for size in (GB - 1, GB + 1))
    standing = measured_anew(Standing(), just, now=NOW)
    assert standing.tier == "full"
    down = measured_anew(standing, low, now=NOW)
    assert down.tier == "optimized" and measured_anew(down, just, now=NOW).tier == "optimized"
    assert measured_anew(down, STRONG, now=NOW).tier == "full"


def test_a_barred_tier_is_the_last_that_is_run() -> None:
    assert in_order("full", barred=["optimized"]) == ("full", "basic", "optimized")


def test_every_tier_has_an_order_of_what_it_may_run() -> None:
    assert {tier: in_order(tier) for tier in TIERS} == {
        "full": ("full", "optimized", "basic"),
        "optimized": ("optimized", "basic", "full"),
        "basic": ("basic", "optimized", "full"),
    }


def test_this_machine_is_measured() -> None:
    found = measured()
    assert found.cores >= 1 and found.memory_bytes > 10_000_000


@pytest.fixture
def measuring(make_device: Callable[..., Device], publish: object) -> Callable[[], Home]:
    """A device whose tier is its own to measure; something must be published by then."""

    def make() -> Home:
        known = make_device().home
        config = DeviceConfig("device-1", known.config.server_url, "stable", AUTO)
        return init_home(
            known.root.with_name("measuring"), trust_root=known.trust_root, config=config, files=known.files
        )

    return make


def test_a_measuring_device_runs_what_the_release_has_for_it(
    make_bundle: Callable[..., Path],
    publish: Callable[[Path], ReleaseReport],
    measuring: Callable[[], Home],
    make_device: Callable[..., Device],
    tmp_path: Path,
    server: RepositoryServer,
) -> None:
    """Of a release that has `full` alone, that; once there is one of its own tier, that one."""
    publish(make_bundle(release=1))
    home = measuring()
    keep_standing(home, Standing("optimized", "one core"))
    assert update(home, selftest=selftest_here).tier == "full"
    publish_release(
        make_bundle(release=1, gain=0.9),
        repository=tmp_path / "repository",
        keys=tmp_path / "keys",
        channel="stable",
        tier="optimized",
        now=datetime.now(UTC),
    )
    done = update(home, selftest=selftest_here)
    assert (done.changed, done.tier, done.release) == (True, "optimized", 1)
    keep_standing(home, Standing("full", "four cores"))
    assert update(home, selftest=selftest_here).tier == "full"


def test_a_person_s_choice_is_kept_to(
    make_bundle: Callable[..., Path],
    publish: Callable[[Path], ReleaseReport],
    make_device: Callable[..., Device],
) -> None:
    publish(make_bundle(release=1))
    known = make_device().home
    config = replace(known.config, device_id="device-2", tier="basic")
    home = init_home(known.root.with_name("chosen"), trust_root=known.trust_root, config=config, files=known.files)
    assert standing_of(home) == Standing("basic", "chosen by a person", "basic")
    keep_standing(home, Standing("full", "four cores"))
    assert not (home.root / TIER_FILE).exists()
    with pytest.raises(UpdateRefused, match="not signed as a part of a release"):
        update(home, selftest=selftest_here)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"tier": "huge", "barred": {}}', b'{"barred": 3}'])
def test_what_cannot_be_read_is_measured_again(
    make_bundle: Callable[..., Path],
    publish: Callable[[Path], ReleaseReport],
    measuring: Callable[[], Home],
    payload: bytes,
) -> None:
    publish(make_bundle(release=1))
    home = measuring()
    (home.root / TIER_FILE).write_bytes(payload)
    assert standing_of(home).tier in TIERS and standing_of(home).why != Standing().why


def test_the_command_says_what_was_measured_and_what_is_left(
    make_bundle: Callable[..., Path],
    publish: Callable[[Path], ReleaseReport],
    measuring: Callable[[], Home],
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(make_bundle(release=1))
    home = measuring()
    assert main(["update", "--home", str(home.root)]) == 0
    kept = json.loads((home.root / TIER_FILE).read_bytes())
    assert (kept["taken"] == "full" and kept["why"] == chosen(measured()).why) or "too slow" in kept["why"]
    keep_standing(home, replace(standing_of(home), tier="optimized", barred={"full": time.time() + 60}))
    capsys.readouterr()
    assert main(["tier", "--home", str(home.root)]) == 0
    said = capsys.readouterr().out
    assert (
        said.startswith("optimized: ") and "runs the bundle of full" in said and "full was too slow here, and" in said
    )
    assert main(["tier", "--home", str(home.root), "--measure", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tier"] in TIERS[1:]
