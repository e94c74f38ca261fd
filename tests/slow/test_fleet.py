"""Three devices' loops over HTTPS: a bad release ends at the canary, a good one reaches all, no event is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.release import bundle as bundles
from tests.small_fleet import SmallFleet, releases_told

pytestmark = pytest.mark.slow

N = 3


def test_a_bad_release_ends_at_the_canary_and_a_good_one_reaches_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "_report", lambda out: None)  # nobody looks at the bad one's golden pictures
    fleet = SmallFleet(tmp_path, N)
    fleet.publish(1)
    with fleet.served():
        with fleet.devices_run():
            fleet.await_first_figures()
            fleet.see_a_bad_one_withdrawn()
            fleet.roll_out(3, gain=0.95)
            fleet.see_it_reach_all(3)
        fleet.check_in()
    ran = sorted(map(releases_told, fleet.require_each_event_once()))
    assert ran == [[1, 2, 3], *[[1, 3]] * (N - 1)], "the bad one was at the canary alone"
