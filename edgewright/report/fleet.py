"""The page of a fleet: what runs where, how the rollout stands, who is silent, and what devices told over time.

Decides the words and what counts as silent; the order stands in `templates/fleet.html`. One file, no script, no
request. Says of a device nothing but what it told: one that was never heard is not on the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from edgewright.device.offer import place_of
from edgewright.fleet.reports import SILENT_AFTER_S
from edgewright.fleet.rollout import Rollout, Told
from edgewright.report.charts import draw_curves
from edgewright.report.data import Curve, Series
from edgewright.report.shell import render_page

MAX_TILES, MAX_ROWS = 2_000, 500
_BINS = 48


@dataclass(frozen=True)
class Fleet:
    """What the page is made of.

    Attributes:
        told: of each device what it said last. unreadable: device => why its report cannot be read.
        rollout: the last one; None where there was none. superseded: devices are told another plan than its.
        history: what devices told, the oldest first.
        now: seconds since 1970, as `Told.at`.
    """

    project: str
    channel: str
    told: Mapping[str, Told]
    unreadable: Mapping[str, str]
    rollout: Rollout | None
    superseded: bool
    history: Sequence[tuple[str, Told]]
    now: float


@dataclass(frozen=True)
class Tile:
    """A device on the map.

    Attributes: kind: `new`, `old`, `failed`, `silent` or `odd`. within: it is of the rollout's cohort.
    """

    device: str
    kind: str
    within: bool
    title: str


def render_fleet(fleet: Fleet, *, refresh_s: int = 0) -> str:
    """The whole page as HTML. Args: refresh_s: how often a browser asks again; 0: never."""
    tiles = [_tile(fleet, device) for device in _in_order(fleet)]
    asked = _asked(fleet)
    return render_page(
        "fleet.html",
        project=fleet.project,
        channel=fleet.channel,
        refresh_s=refresh_s,
        n_devices=len(fleet.told) + len(fleet.unreadable),
        headline=_headline(fleet),
        rollout=_rollout(fleet),
        tiles=tiles[:MAX_TILES],
        tiles_left=max(0, len(tiles) - MAX_TILES),
        releases=_grouped(fleet, lambda said: f"release {said.release}"),
        tiers=_grouped(fleet, lambda said: said.tier or "not said"),
        curves=draw_curves(_curves(fleet)),
        devices=[_row(fleet, device, asked.get(device, "–")) for device in sorted(fleet.told)[:MAX_ROWS]],
        devices_left=max(0, len(fleet.told) - MAX_ROWS),
        unreadable=sorted(fleet.unreadable.items()),
    )


def _in_order(fleet: Fleet) -> list[str]:
    """By their place in the rollout: its cohort is a beginning of that."""
    devices = [*fleet.told, *fleet.unreadable]
    if fleet.rollout is None:
        return sorted(devices)
    name = fleet.rollout.plan.id
    return sorted(devices, key=lambda device: place_of(device, name))


def _tile(fleet: Fleet, device: str) -> Tile:
    rollout = fleet.rollout
    within = rollout is not None and place_of(device, rollout.plan.id) < rollout.plan.share
    said = fleet.told.get(device)
    if said is None:
        return Tile(device, "odd", within, f"{device}: its report cannot be read")
    new = rollout is not None and said.release == rollout.plan.release
    kind = "silent" if _silent(fleet, said) else "failed" if said.failed else "new" if new else "old"
    return Tile(device, kind, within, f"{device}: release {said.release}{', refused ' * said.failed}")


def _silent(fleet: Fleet, said: Told) -> bool:
    return fleet.now - said.at > SILENT_AFTER_S


def _headline(fleet: Fleet) -> str:
    heard = [said for said in fleet.told.values() if not _silent(fleet, said)]
    if not fleet.told:
        return "No device has been heard yet."
    counts = {release: sum(said.release == release for said in heard) for release in {said.release for said in heard}}
    most = sorted(counts.items(), key=lambda item: -item[1])[:3]
    parts = [f"{count} run {_release(release)}" for release, count in most]
    if silent := len(fleet.told) - len(heard):
        parts.append(f"{silent} silent")
    if blind := sum(bool(said.unseen) for said in heard):
        parts.append(f"{blind} get no picture")
    if changed := sum(bool(said.drift) for said in heard):
        parts.append(f"{changed} see something else than at first")
    if old := sum(said.needs_agent for said in heard):
        parts.append(f"{old} need a newer agent")
    return f"{len(fleet.told)} devices: {', '.join(parts)}."


def _release(number: int) -> str:
    return f"release\u00a0{number}" if number else "nothing"


def _rollout(fleet: Fleet) -> dict[str, str] | None:
    if fleet.rollout is None:
        return None
    plan = fleet.rollout.plan
    return {
        "name": plan.id,
        "release": str(plan.release),
        "otherwise": str(plan.otherwise or "whatever runs"),
        "share": f"{100 * plan.share:.1f} %",
        "course": "superseded: devices are told another plan" if fleet.superseded else str(plan.state.value),
        "why": fleet.rollout.why,
        "stages": " → ".join(
            f"[{100 * share:g} %]" if number == fleet.rollout.stage else f"{100 * share:g} %"
            for number, share in enumerate(fleet.rollout.stages)
        ),
    }


def _grouped(fleet: Fleet, name_of: object) -> list[tuple[str, ...]]:
    groups: dict[str, list[Told]] = {}
    for said in fleet.told.values():
        groups.setdefault(name_of(said), []).append(said)  # type: ignore[operator]
    return [
        (
            name,
            str(len(group)),
            str(sum(_silent(fleet, said) for said in group) or ""),
            str(sum(said.failed for said in group) or ""),
            _middle([said.p95_ms for said in group], "{:.1f}"),
            _middle([said.detections for said in group], "{:.2f}"),
            _middle([said.rss_mb for said in group], "{:.0f}"),
        )
        for name, group in sorted(groups.items())
    ]


def _middle(values: Sequence[float | None], shape: str) -> str:
    known = [value for value in values if value is not None]
    return shape.format(median(known)) if known else "–"


def _asked(fleet: Fleet) -> dict[str, str]:
    """Device => of how many frames that it asked a larger model about how many were answered; no one that says nothing.

    Each report says what came of it since the one before, so that those of the history are added up.
    """
    sums: dict[str, tuple[int, int]] = {}
    for device, said in fleet.history or fleet.told.items():
        if said.asked is not None:
            asked, answered = sums.get(device, (0, 0))
            sums[device] = asked + said.asked, answered + said.answered
    return {device: f"{answered} of {asked}" for device, (asked, answered) in sums.items()}


def _row(fleet: Fleet, device: str, asked: str) -> tuple[str, ...]:
    said = fleet.told[device]
    state = [
        "on trial" * said.on_trial,
        f"refused {said.offered}" * said.failed,
        "own wish" * (not said.follows),
        "needs a newer agent" * said.needs_agent,
        said.unseen,
        f"drift: {said.drift}" * bool(said.drift),
        "silent" * _silent(fleet, said),
    ]
    return (
        device,
        str(said.release or "–"),
        said.tier or "–",
        _middle([said.p95_ms], "{:.1f}"),
        _middle([said.detections], "{:.2f}"),
        _middle([said.rss_mb], "{:.0f}"),
        asked,
        _ago(fleet.now - said.at),
        ", ".join(filter(None, state)),
    )


def _ago(seconds: float) -> str:
    if seconds < 5400:
        return f"{max(0.0, seconds) / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def _curves(fleet: Fleet) -> list[Curve]:
    """Over the hours before now: devices heard by release, and what their frames take and hold."""
    if not fleet.history:
        return []
    first = fleet.history[0][1].at
    width = max(1.0, (fleet.now - first) / _BINS)
    bins: dict[int, dict[str, Told]] = {}
    for device, said in fleet.history:
        bins.setdefault(int((said.at - first) / width), {})[device] = said
    hours = {number: (first + (number + 0.5) * width - fleet.now) / 3600 for number in sorted(bins)}
    releases = sorted({said.release for heard in bins.values() for said in heard.values()})
    by_release = [
        Series(
            f"release {release}" if release else "nothing",
            list(hours.values()),
            [sum(said.release == release for said in bins[number].values()) for number in hours],
        )
        for release in releases
    ]
    return [
        Curve("Devices heard", "hours", "devices, by what they run", by_release),
        _measured(bins, hours, "Time of a frame", "p95, ms, the median device", "p95_ms"),
        _measured(bins, hours, "Found", "detections a frame, the median device", "detections"),
    ]


def _measured(
    bins: Mapping[int, Mapping[str, Told]], hours: Mapping[int, float], title: str, unit: str, field: str
) -> Curve:
    points = [
        (hour, median(known))
        for number, hour in hours.items()
        if (known := [value for said in bins[number].values() if (value := getattr(said, field)) is not None])
    ]
    return Curve(title, "hours", unit, [Series(title, [x for x, _ in points], [y for _, y in points])])
