"""The page of a drift rehearsal: what was noticed, what came home, how much of the loss came back, by which way.

Decides the words; the order stands in `templates/rehearsal.html`. One file, no script, no request.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.rehearsal.plan import ARMS, BEFORE, FULL, SHIPPED, RehearsalConfig
from edgewright.rehearsal.results import ArmResult, Recovery, recoveries
from edgewright.rehearsal.story import Story
from edgewright.report.charts import draw_curves
from edgewright.report.data import Curve, Series
from edgewright.report.shell import render_page
from edgewright.report.tables import MISSING, words

_CHANGES = {
    "night": "night fell",
    "dirty-lens": "the lens got dirty",
    "new-part": "nuts came with a new look",
}


def render_rehearsal(results: Sequence[ArmResult], story: Story, config: RehearsalConfig, *, project: str) -> str:
    """The whole page as HTML. Args: results: of one shift and equal settings, every seed."""
    found = {one.arm: one for one in recoveries(results)}
    seeds = sorted({one.seed for one in results})
    return render_page(
        "rehearsal.html",
        project=project,
        n_seeds=len(seeds),
        headline=headline(results, config),
        noticed=_noticed(story),
        came_home=f"{len(story.kept)} of {story.seen:,} frames that devices saw under the policy came home.",
        shipped=story.shipped,
        curves=draw_curves([recovery_curve(story, project=project)]),
        arms=[_arm_row(arm, results, found.get(arm)) for arm in ARMS if any(one.arm == arm for one in results)],
        runs=[_run_row(one) for one in sorted(results, key=lambda one: (one.seed, list(ARMS).index(one.arm)))],
    )


def headline(results: Sequence[ArmResult], config: RehearsalConfig) -> str:
    """What was lost, and what the shipped way brought back."""
    known = {one.arm: one for one in recoveries(results)}
    lost = _mean(results, BEFORE, "day_map50"), _mean(results, BEFORE, "map50"), _mean(results, FULL, "map50")
    said = (
        f"After {_CHANGES[config.shift]}, mAP50 fell from {lost[0]:.2f} to {lost[1]:.2f}; with every changed frame "
        f"labeled it would be {lost[2]:.2f}."
    )
    shipped = known.get(SHIPPED)
    if shipped is None:
        return f"{said} Nothing can be said of what came back yet."
    return f"{said} Hard frames and pictures like them brought {_share(shipped)} of that back."


def recovery_curve(story: Story, *, project: str) -> Curve:
    """mAP50 of what devices reported, over the frames of one device: a line a phase."""
    phases = dict.fromkeys(part.phase for part in story.parts)
    series = []
    for phase in phases:
        own = [part for part in story.parts if part.phase == phase]
        before = [part for part in story.parts if part.frames < own[0].frames][-1:]
        heights = [part.map50 for part in own]
        frames = [before[0].frames if before else 0, *(part.frames for part in own)]
        series.append(Series(phase, frames, [heights[0], *heights]))
    return Curve(f"{project}: what devices saw", "frames of a device", "mAP50 of what was reported", series)


def _noticed(story: Story) -> str:
    told = [number for number in story.noticed if number is not None]
    first = f"{len(told)} of {len(story.noticed)} devices noticed"
    if not told:
        return f"{first}."
    return f"{first}, after {min(told)} to {max(told)} frames: {'; '.join(dict.fromkeys(filter(None, story.why)))}."


def _arm_row(arm: str, results: Sequence[ArmResult], found: Recovery | None) -> tuple[str, ...]:
    own = [one for one in results if one.arm == arm]
    return (
        ARMS[arm].title,
        f"{_mean(results, arm, 'map50'):.3f}",
        f"{_mean(results, arm, 'map50_95'):.3f}",
        f"{_mean(results, arm, 'day_map50'):.3f}",
        _share(found) if found else MISSING,
        f"{sum(one.frames for one in own) / len(own):.0f}",
        f"{sum(one.clicks for one in own) / len(own):.0f}",
    )


def _run_row(one: ArmResult) -> tuple[str, ...]:
    return (
        f"{ARMS[one.arm].title}, seed {one.seed}",
        f"{one.map50:.3f}",
        f"{one.day_map50:.3f}",
        f"{one.frames}",
        f"{one.clicks}",
        words(one.gate) or MISSING,
    )


def _share(found: Recovery) -> str:
    ends = f" [{100 * found.interval.low:.0f}, {100 * found.interval.high:.0f}]" if found.interval else ""
    return f"{100 * found.mean:.0f} %{ends}"


def _mean(results: Sequence[ArmResult], arm: str, what: str) -> float:
    values = [float(getattr(one, what)) for one in results if one.arm == arm]
    return sum(values) / len(values) if values else float("nan")
