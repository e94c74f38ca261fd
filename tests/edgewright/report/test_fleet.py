"""The page of a fleet: what runs, who is silent, the map in the order of the rollout."""

from __future__ import annotations

import re
from dataclasses import replace

from edgewright.device.offer import place_of
from edgewright.fleet.rollout import Rollout, Told, begin, withdrawn
from edgewright.report.fleet import MAX_ROWS, MAX_TILES, Fleet, render_fleet

NOW = 1_796_000_000.0
NAMES = [f"line-{number}" for number in range(8)]
OLD = {
    name: Told(
        NOW - 60, 1, 1, p95_ms=20.0 + number, detections=4.0, rss_mb=80.0, tier="full" if number % 2 else "basic"
    )
    for number, name in enumerate(NAMES)
}


def rollout() -> Rollout:
    made = begin("spring", release=2, otherwise=1, told=OLD, devices=NAMES, now=NOW - 600, stages=(0.5, 1.0))
    return replace(made, why="waits: <3> of 4 have it")


def fleet(**changes: object) -> Fleet:
    known = Fleet("belt", "stable", OLD, {}, None, superseded=False, history=[], now=NOW)
    return replace(known, **changes)  # type: ignore[arg-type]


def tiles_of(html: str) -> list[tuple[str, str]]:
    found = re.search(r'<ul class="map">(.*?)</ul>', html, re.DOTALL)
    assert found
    return re.findall(r'<li class="([^"]*)" title="([^":]*)', found[1])


def test_the_map_is_in_the_order_of_the_rollout() -> None:
    told = {**OLD, NAMES[0]: replace(OLD[NAMES[0]], release=2), NAMES[1]: replace(OLD[NAMES[1]], at=NOW - 4_000)}
    told[NAMES[2]] = replace(told[NAMES[2]], failed=True)
    html = render_fleet(fleet(told=told, rollout=rollout(), unreadable={"odd": "a <list>"}))
    tiles = tiles_of(html)
    places = [place_of(device, "spring") for _, device in tiles]
    assert places == sorted(places)
    for kind, device in tiles:
        expected = {NAMES[0]: "new", NAMES[1]: "silent", NAMES[2]: "failed", "odd": "odd"}.get(device, "old")
        assert kind.split() == [expected, "within"] if place_of(device, "spring") < 0.5 else [expected]
    assert "waits: &lt;3&gt; of 4 have it" in html and "a &lt;list&gt;" in html
    assert "[50 %] → 100 %" in html and "to 50.0 %, otherwise 1; running" in html


def test_the_headline_counts_who_was_heard() -> None:
    told = {**OLD, NAMES[0]: replace(OLD[NAMES[0]], release=2), NAMES[1]: replace(OLD[NAMES[1]], at=NOW - 4_000)}
    assert "8 devices: 6 run release\u00a01, 1 run release\u00a02, 1 silent." in render_fleet(fleet(told=told))
    assert "No device has been heard yet." in render_fleet(fleet(told={}))
    assert "8 devices: 8 silent." in render_fleet(fleet(now=NOW + 86_400))


def test_a_rollout_that_ended_or_was_superseded_says_so() -> None:
    assert "withdrawn by a person" in render_fleet(fleet(rollout=withdrawn(rollout(), now=NOW)))
    assert "devices are told another plan" in render_fleet(fleet(rollout=rollout(), superseded=True))


def test_medians_stand_by_release_and_by_tier() -> None:
    html = render_fleet(fleet(told={**OLD, "quiet": Told(NOW, 3, 3, tier="")}))
    rows = [re.findall(r">([^<>]*)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]
    assert ["release 1", "8", "", "", "23.5", "4.00", "80"] in rows
    assert ["release 3", "1", "", "", "–", "–", "–"] in rows
    assert ["basic", "4", "", "", "23.0", "4.00", "80"] in rows
    assert ["not said", "1", "", "", "–", "–", "–"] in rows


def test_what_came_of_asking_a_larger_model_is_added_up_where_a_device_says_it() -> None:
    asking = replace(OLD[NAMES[0]], asked=12, answered=9)
    earlier = [(NAMES[0], replace(asking, at=NOW - 600, asked=3, answered=3)), (NAMES[1], OLD[NAMES[1]])]
    told = {**OLD, NAMES[0]: asking}
    whole = {row[0]: row[6] for row in rows_of(render_fleet(fleet(told=told, history=[*earlier, (NAMES[0], asking)])))}
    last = {row[0]: row[6] for row in rows_of(render_fleet(fleet(told=told)))}
    assert (whole[NAMES[0]], whole[NAMES[1]]) == ("12 of 15", "–")
    assert (last[NAMES[0]], last[NAMES[1]]) == ("9 of 12", "–")


def rows_of(html: str) -> list[list[str]]:
    """Of the table of devices."""
    rows = [re.findall(r">([^<>]*)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]
    return [row for row in rows if row and row[0] in NAMES]


def test_what_devices_told_over_time_is_drawn() -> None:
    history = [(name, replace(said, at=NOW - 3_600 * hours)) for hours in (20, 10, 1) for name, said in OLD.items()]
    html = render_fleet(fleet(history=history))
    assert html.count("<svg") >= 3 and "Devices heard" in html
    assert "<svg" not in render_fleet(fleet())


def test_a_large_fleet_is_a_page_all_the_same() -> None:
    told = {f"device-{number:05d}": Told(NOW, 1, 1) for number in range(MAX_TILES + 7)}
    html = render_fleet(fleet(told=told))
    assert len(tiles_of(html)) == MAX_TILES
    assert "and 7 more" in html and f"and {MAX_TILES + 7 - MAX_ROWS} more" in html


def test_only_one_that_is_served_asks_again() -> None:
    assert '<meta http-equiv="refresh" content="30">' in render_fleet(fleet(), refresh_s=30)
    assert "refresh" not in render_fleet(fleet())
