"""Who steps a rollout; the schedule of a real server is switched in tests/slow/test_stack.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.device.report import DeviceReport
from edgewright.errors import StageFailed
from edgewright.fleet.rollout import halted, resumed
from edgewright.settings import Settings
from tasks.serve import rollouts
from tasks.serve.fleet import begin_rollout, change_rollout, running_rollouts
from tasks.serve.rollouts import have_stepped, step_by_schedule, step_running, stepping
from tests.stack import wait_for


@pytest.fixture
def rolled_out(settings: Settings, publish: Callable[..., None]) -> Path:
    """Release 2 goes to one device, which has told of release 1; its box of reports."""
    publish(1)
    publish(2, gain=0.95)
    box = settings.releases / "belt/reports"
    box.mkdir()
    tell(box, release=1)
    begin_rollout(settings, "belt", "stable", release=2, stages=(1.0,), dwell_s=0.0)
    return box


def tell(box: Path, *, release: int) -> None:
    report = DeviceReport("line-1", "run", "a", release, "f" * 64, offered=release, channel="stable", tier="full")
    (box / "line-1.json").write_text(json.dumps(report.to_json()))


def test_what_runs_is_stepped_and_nothing_else(settings: Settings, rolled_out: Path) -> None:
    assert running_rollouts(settings) == [("belt", "stable")]
    (waits,) = step_running(settings)
    assert "1 of 1 have not answered" in str(waits)
    change_rollout(settings, "belt", "stable", halted)
    assert step_running(settings) == []
    change_rollout(settings, "belt", "stable", resumed)
    tell(rolled_out, release=2)
    (done,) = step_running(settings)
    assert str(done).startswith("belt stable: stable-2-") and "every stage is done" in str(done)
    assert step_running(settings) == []


def test_one_that_cannot_be_stepped_is_said(
    settings: Settings, rolled_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings.releases / "belt/rollouts/stable.json").write_text("{")
    (refused,) = step_running(settings)
    assert "the rollout cannot be read" in refused.refused
    monkeypatch.setattr(rollouts, "read_settings", lambda: settings)
    with pytest.raises(StageFailed, match="the rollout cannot be read"):
        step_by_schedule()


def test_a_block_steps_until_it_ends(settings: Settings, rolled_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "STEP_EVERY_S", 0.05)
    said: list[str] = []
    with stepping(settings, said.append):
        wait_for(lambda: said)
        tell(rolled_out, release=2)
        wait_for(lambda: "every stage is done" in said[-1])
    assert len(said) == 2, "what does not change is said once"


def test_a_home_without_a_server_says_who_steps(settings: Settings) -> None:
    assert have_stepped(settings) == "stepped while `edgewright serve-collector` or `edgewright fleet watch` runs"
