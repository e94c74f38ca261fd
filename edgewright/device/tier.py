"""Which of a release's bundles suits this device, by what was measured on it.

    full         2 cores with instructions for INT8 (VNNI, AMX, Arm's dot product), 1 GB of memory to be had
    optimized    whatever is between
    basic        less than 200 MB to be had, more than 250 ms a frame, or a line on which 2 MB take 10 minutes

Decides for devices of the tier `auto` alone; any other was chosen by a person. A tier whose model took too long here,
or whose model became slower by half than it was when it was installed and stayed so for five minutes (a hot processor),
is left for BARRED_S. A release that has no bundle of the tier is run by that of the next smaller one, else of the next
larger. Refuses nothing: without a measurement it is `optimized`.

>>> chosen(Capability(cores=4, int8="VNNI", memory_bytes=4 << 30))
Choice(tier='full', why='4 cores with VNNI, 4.3 GB of memory')
>>> chosen(Capability(cores=1, int8="", memory_bytes=100 << 20)).tier
'basic'
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgewright.device.engine import kept
from edgewright.device.home import Home
from edgewright.device.offer import AUTO, TIERS
from edgewright.device.phases import FrameTimes
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.instruction_sets import fast_int8, this_processor

TIER_FILE = "tier.json"
FULL_CORES, FULL_BYTES = 2, 1_000_000_000
LEAST_BYTES, MOST_FRAME_MS, LEAST_BYTES_S = 200_000_000, 250.0, 2_000_000 / 600
LEAST_DOWNLOAD_BYTES = 100_000
"""Of less it is the line's delay that was measured."""
SLOWER, SLOW_S = 1.5, 300.0
BARRED_S, ANEW_S = 7 * 24 * 3600.0, 24 * 3600.0
PLENTY = 1.5
"""Times the memory that a larger tier asks for, before a device goes up to it."""
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Capability:
    """What was measured.

    Attributes:
        cores: that this process may use.
        int8: instructions that add 8-bit products in 32 bits; "" where there are none.
        memory_bytes: that a program could have now. link_bytes_s: of the last download; None before one.
    """

    cores: int
    int8: str
    memory_bytes: int
    link_bytes_s: float | None = None


@dataclass(frozen=True)
class Choice:
    tier: str
    why: str


@dataclass(frozen=True)
class Standing:
    """What is kept of it.

    Attributes:
        tier, why: by the last measurement. taken: of the bundle that the last release had for it.
        barred: tier => until when it is left, seconds since 1970. slow_since: since when its model has been too slow.
        link_bytes_s: of the last download. measured: when, seconds since 1970; 0: never.
    """

    tier: str = TIERS[1]
    why: str = "not measured yet"
    taken: str = ""
    barred: Mapping[str, float] = field(default_factory=dict)
    slow_since: float | None = None
    link_bytes_s: float | None = None
    measured: float = 0.0


def measured(link_bytes_s: float | None = None) -> Capability:
    """This device, now."""
    return Capability(len(os.sched_getaffinity(0)), fast_int8(this_processor()), _available_bytes(), link_bytes_s)


def chosen(capability: Capability, *, barred: Collection[str] = ()) -> Choice:
    """Pure. `barred` tiers are left, unless there is no smaller one."""
    memory = f"{capability.memory_bytes / 1e9:.1f} GB of memory"
    cores = f"{capability.cores} core{'s' * (capability.cores != 1)} with {capability.int8 or 'no INT8 instructions'}"
    slow_link = capability.link_bytes_s is not None and capability.link_bytes_s < LEAST_BYTES_S
    if capability.memory_bytes < LEAST_BYTES:
        found = Choice(TIERS[2], memory)
    elif slow_link:
        found = Choice(TIERS[2], f"{(capability.link_bytes_s or 0) / 1000:.1f} kB/s on the line")
    elif capability.cores >= FULL_CORES and capability.int8 and capability.memory_bytes >= FULL_BYTES:
        found = Choice(TIERS[0], f"{cores}, {memory}")
    else:
        found = Choice(TIERS[1], f"{cores}, {memory}")
    smaller = [tier for tier in TIERS[TIERS.index(found.tier) :] if tier not in barred]
    if not smaller or smaller[0] == found.tier:
        return found
    return Choice(smaller[0], f"{found.tier} was too slow here")


def measured_anew(standing: Standing, capability: Capability, *, now: float) -> Standing:
    """Bars that are over are forgotten; one that ends later than any could was set by a clock that was wrong."""
    barred = {tier: until for tier, until in standing.barred.items() if 0 < until - now <= BARRED_S}
    choice = chosen(capability, barred=barred)
    if standing.measured and TIERS.index(choice.tier) < TIERS.index(standing.tier):
        # Up only where there is plenty: memory at a bound would have it come and go.
        sure = chosen(replace(capability, memory_bytes=int(capability.memory_bytes / PLENTY)), barred=barred)
        choice = choice if sure.tier == choice.tier else Choice(standing.tier, standing.why)
    return replace(
        standing,
        tier=choice.tier,
        why=choice.why,
        barred=barred,
        link_bytes_s=capability.link_bytes_s,
        measured=now,
    )


def after_flash(standing: Standing, frame_ms: float | None, *, now: float) -> Standing:
    """The model that was installed takes so long for a frame, by the engine that was the fastest."""
    fresh = replace(standing, slow_since=None)
    return _barring(fresh, now=now) if frame_ms is not None and frame_ms > MOST_FRAME_MS else fresh


def after_round(standing: Standing, *, compute_ms: float, installed_ms: float, now: float) -> Standing:
    """Medians of the network's time for a frame: in this round, and when it was installed."""
    if compute_ms <= SLOWER * installed_ms:
        return replace(standing, slow_since=None)
    since = standing.slow_since if standing.slow_since is not None and standing.slow_since <= now else now
    if now - since < SLOW_S:
        return replace(standing, slow_since=since)
    return _barring(replace(standing, slow_since=None), now=now)


def _barring(standing: Standing, *, now: float) -> Standing:
    """The tier of what runs; the smallest is never barred."""
    runs = standing.taken or standing.tier
    return standing if runs == TIERS[-1] else replace(standing, barred={**standing.barred, runs: now + BARRED_S})


def in_order(tier: str, *, barred: Collection[str] = ()) -> tuple[str, ...]:
    """The tiers whose bundle a device of this tier may run: its own, smaller ones, larger ones; barred ones last.

    >>> in_order("optimized")
    ('optimized', 'basic', 'full')
    """
    at = TIERS.index(tier)
    order = (*TIERS[at:], *reversed(TIERS[:at]))
    return (*(each for each in order if each not in barred), *(each for each in order if each in barred))


def standing_of(home: Home) -> Standing:
    """As a person chose it, or as it was measured; what cannot be read is measured again."""
    if home.config.tier != AUTO:
        return Standing(home.config.tier, "chosen by a person", home.config.tier)
    try:
        value: dict[str, Any] = json.loads((home.root / TIER_FILE).read_bytes())
        found = Standing(**{**value, "barred": {str(tier): float(until) for tier, until in value["barred"].items()}})
        if found.tier in TIERS and found.taken in ("", *TIERS):
            return found
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    return measured_anew(Standing(), measured(), now=time.time())


def keep_standing(home: Home, standing: Standing) -> None:
    """Where it is the device's to decide."""
    if home.config.tier == AUTO:
        home.files.replace(home.root / TIER_FILE, json.dumps(asdict(standing), indent=1, sort_keys=True).encode())


def keep_after_update(home: Home, *, taken: str, flashed: bool, downloaded_bytes: int, seconds: float) -> None:
    """Measure again, after a flash or a day: the machine, what was installed, and the line, which is at least as fast
    as the whole update was."""
    if home.config.tier != AUTO:
        return
    before, now = replace(standing_of(home), taken=taken), time.time()
    told = downloaded_bytes > LEAST_DOWNLOAD_BYTES and seconds > 0
    link = downloaded_bytes / seconds if told else before.link_bytes_s
    standing = after_flash(before, _installed_ms(home), now=now) if flashed else before
    if flashed or not 0 <= now - standing.measured < ANEW_S:
        standing = measured_anew(standing, measured(link), now=now)
    keep_standing(home, standing)


def keep_after_round(home: Home, bundle: Bundle, times: FrameTimes | None) -> None:
    """Whether what runs is still as fast as when it was installed."""
    installed_ms = _installed_ms(home, bundle.manifest_sha256)
    if times is None or installed_ms is None or home.config.tier != AUTO:
        return
    before, now = standing_of(home), time.time()
    after = after_round(before, compute_ms=times.phases["compute"].p50_ms, installed_ms=installed_ms, now=now)
    if after != before:
        keep_standing(home, measured_anew(after, measured(before.link_bytes_s), now=now))


def _installed_ms(home: Home, manifest_sha256: str = "") -> float | None:
    """Of a golden picture by the engine that was taken, when it was measured; None where it was not."""
    found = kept(home)
    if found is None or manifest_sha256 not in ("", found.digest):
        return None
    return next((row.median_ms for row in found.fastest.rows if row.engine == found.fastest.engine), None)


def _available_bytes() -> int:
    """MemAvailable of Linux; 0 where it does not say."""
    try:
        lines = (line.split() for line in _MEMINFO.read_text(encoding="ascii").splitlines())
        return next((int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"), 0)
    except (OSError, ValueError, IndexError):
        return 0
