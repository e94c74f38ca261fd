"""A small fleet: real agents, a real server between them and the rollout; releases good, over budget and blind."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgewright.cli import fleet as commands
from edgewright.cli import main
from edgewright.device import cli as agent
from edgewright.device import commands as agent_commands
from edgewright.device import updater
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home, keep_wish, open_home
from edgewright.device.offer import Wish
from edgewright.device.slots import Slots
from edgewright.device.start import start
from edgewright.errors import InputError
from edgewright.fleet.rollout import halted, resumed, withdrawn
from edgewright.release.metadata import FIRST_ROOT
from edgewright.release.repository import publish_release, state_of
from edgewright.release.server import serve_releases
from edgewright.settings import Settings
from tasks.serve import fleet as fleet_tasks
from tasks.serve.fleet import begin_rollout, change_rollout, fleet_of, refuse_while_rolled_out, step_rollout
from tests.edgewright.device.conftest import selftest_here

N = 5
STAGES = (0.01, 0.5, 1.0)


class Devices:
    """The agents' own commands, in this process; only what would start another process is done here."""

    def __init__(self, settings: Settings, folder: Path, feed: Path, url: str) -> None:
        self.folder, self.feed = folder, feed
        root = (settings.releases / "belt/metadata" / FIRST_ROOT).read_bytes()
        for number in range(N):
            config = DeviceConfig(f"line-{number}", f"{url}/belt", "stable")
            init_home(folder / f"line-{number}", trust_root=root, config=config, files=Files())

    def poll(self) -> None:
        for number in range(N):
            home = str(self.folder / f"line-{number}")
            agent.main(["update", "--home", home])  # what it refuses is told to the server
            out = str(self.folder / f"out-{number}")
            assert agent.main(["run", "--home", home, "--feed", str(self.feed), "--out", out, "--threads", "1"]) == 0

    @property
    def running(self) -> list[int]:
        homes = (open_home(self.folder / f"line-{number}", files=Files()) for number in range(N))
        bundles = [(slots := Slots(home)).bundle(slots.state().active) for home in homes]
        return [bundle.manifest.release if bundle else 0 for bundle in bundles]


@pytest.fixture
def devices(
    settings: Settings,
    publish: Callable[..., None],
    tmp_path: Path,
    cells_feed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Devices]:
    update = updater.update
    monkeypatch.setattr(updater, "update", lambda home, **words: update(home, selftest=selftest_here, **words))
    monkeypatch.setattr(agent_commands, "start", lambda slots: start(slots, selftest=selftest_here))
    monkeypatch.setattr(agent_commands, "keep_fastest", lambda home, bundle: None)
    publish(1)
    with serve_releases(settings.releases, host="127.0.0.1", port=0) as server:
        made = Devices(settings, tmp_path / "devices", cells_feed, server.url)
        made.poll()
        assert made.running == [1] * N
        yield made


def test_a_good_release_goes_to_one_to_some_to_all(
    settings: Settings, devices: Devices, publish: Callable[..., None]
) -> None:
    publish(2, gain=0.95)
    devices.poll()
    assert devices.running == [1] * N, "permitted is not rolled out"
    begin_rollout(settings, "belt", "stable", release=2, stages=STAGES, dwell_s=0.0)
    with pytest.raises(InputError, match="a rollout lives"):
        begin_rollout(settings, "belt", "stable", release=2)
    taken = []
    for _ in range(8):
        devices.poll()
        taken.append(sum(release == 2 for release in devices.running))
        if step_rollout(settings, "belt", "stable").ended:
            break
    assert taken[0] == 1
    assert taken == sorted(taken)
    assert devices.running == [2] * N
    assert fleet_of(settings, "belt", "stable").rollout.why == "every stage is done: all devices have it"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gain": 0.95, "latency_budget_ms": 1e-6}, "that took it failed"),  # it fails its self-test on the canary
        ({"gain": 0.3}, "0.00 detections a frame"),  # it passes its golden pictures, and finds nothing in the field
    ],
)
def test_a_bad_release_ends_at_the_canary_which_is_back_within_a_poll(
    settings: Settings,
    devices: Devices,
    publish: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, float],
    said: str,
) -> None:
    from edgewright.release import bundle

    monkeypatch.setattr(bundle, "_report", lambda out: None)  # the factory is faster than the device
    publish(2, **changes)
    began = begin_rollout(settings, "belt", "stable", release=2, stages=STAGES, dwell_s=0.0)
    (canary,) = began.cohort(fleet_of(settings, "belt", "stable").devices)
    devices.poll()
    after = step_rollout(settings, "belt", "stable")
    assert (after.plan.state, said in after.why) == ("withdrawn", True), after.why
    devices.poll()
    assert devices.running == [1] * N
    assert step_rollout(settings, "belt", "stable") == after
    assert canary in fleet_of(settings, "belt", "stable").told


def test_a_person_halts_resumes_and_takes_back(
    settings: Settings,
    devices: Devices,
    publish: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "home_settings", lambda: settings)

    def told(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["fleet", *words, "--project", "belt"])
        assert not ended.value.code
        return capsys.readouterr().out

    publish(2, gain=0.95)
    capsys.readouterr()
    assert "begins with" in told("rollout", "2", "--stages", "0.01,1", "--dwell-minutes", "0")
    devices.poll()
    some = devices.running.count(2)
    assert 0 < some < N
    change_rollout(settings, "belt", "stable", halted)
    devices.poll()
    assert devices.running.count(2) == some, "who has it keeps it, nobody else takes it"
    capsys.readouterr()
    assert f"{'release 2':}" in told("status")
    change_rollout(settings, "belt", "stable", resumed)
    assert "waits" in told("step") or "advances" in told("step")
    assert "withdrawn by a person" in told("rollback")
    devices.poll()
    assert devices.running == [1] * N
    capsys.readouterr()
    state = json.loads(told("status", "--json"))
    assert {told["release"] for told in state["devices"].values()} == {1}
    assert state_of(settings.releases / "belt").plans["stable"].state == "withdrawn"
    assert change_rollout(settings, "belt", "stable", withdrawn).plan.state == "withdrawn"


def test_what_was_taken_back_is_not_what_all_others_run(
    settings: Settings, devices: Devices, publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(2, gain=0.95)
    publish(3, gain=0.94)
    begin_rollout(settings, "belt", "stable", release=2, stages=STAGES, dwell_s=0.0)
    change_rollout(settings, "belt", "stable", halted)
    with pytest.raises(InputError, match="a rollout lives"):
        begin_rollout(settings, "belt", "stable", release=3)
    with pytest.raises(InputError, match="a rollout lives"):
        refuse_while_rolled_out(settings, "belt", "stable")
    (settings.releases / "belt/reports/odd.json").write_text("[" * 100_000)
    change_rollout(settings, "belt", "stable", withdrawn)
    begun = begin_rollout(settings, "belt", "stable", release=3, stages=STAGES, dwell_s=0.0)
    assert (begun.plan.release, begun.plan.otherwise) == (3, 1)
    devices.poll()
    assert 2 not in devices.running


def test_a_rollout_that_was_written_and_not_signed_is_signed_by_the_next_step(
    settings: Settings, devices: Devices, publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(2, gain=0.95)
    begun = begin_rollout(settings, "belt", "stable", release=2, stages=STAGES, dwell_s=0.0)

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fleet_tasks, "set_plan", cut)
        with pytest.raises(KeyboardInterrupt):
            change_rollout(settings, "belt", "stable", withdrawn)
    assert state_of(settings.releases / "belt").plans["stable"] == begun.plan
    after = step_rollout(settings, "belt", "stable")
    assert after.plan.state == "withdrawn"
    assert state_of(settings.releases / "belt").plans["stable"] == after.plan


def test_a_rollout_beside_which_all_were_given_another_release_is_over(
    settings: Settings, devices: Devices, publish: Callable[..., None], make_cells: Callable[..., Path]
) -> None:
    publish(2, gain=0.95)
    begin_rollout(settings, "belt", "stable", release=2, stages=STAGES, dwell_s=0.0)
    publish_release(
        make_cells(release=3, gain=0.94),
        repository=settings.releases / "belt",
        keys=settings.keys / "belt",
        channel="stable",
        now=datetime.now(UTC),
    )
    assert fleet_of(settings, "belt", "stable").superseded
    for change in (step_rollout, lambda *words: change_rollout(*words, withdrawn)):
        with pytest.raises(InputError, match=r"superseded.*got release-3"):
            change(settings, "belt", "stable")
    devices.poll()
    assert devices.running == [3] * N


def test_only_devices_of_the_channel_that_do_what_the_plan_says_are_counted(
    settings: Settings, devices: Devices, publish: Callable[..., None]
) -> None:
    keep_wish(open_home(devices.folder / "line-0", files=Files()), Wish(pin=1))
    devices.poll()
    reports = settings.releases / "belt/reports"
    kept = json.loads((reports / "line-1.json").read_bytes())
    (reports / "elsewhere.json").write_text(json.dumps({**kept, "channel": "night"}))
    (reports / "gone.json").write_text(json.dumps(kept))
    os.utime(reports / "gone.json", (0, 0))
    fleet = fleet_of(settings, "belt", "stable")
    assert fleet.counted(time.time()) == [f"line-{number}" for number in range(1, N)]
    assert set(fleet.devices) == {*(f"line-{number}" for number in range(N)), "gone"}
    (reports / "line-1.json").write_text(json.dumps({**kept, "tier": "basic"}))
    publish(2, gain=0.95)
    with pytest.raises(InputError, match=r"not permitted for all devices.*expected basic"):
        begin_rollout(settings, "belt", "stable", release=2)
    with pytest.raises(InputError, match="not permitted on the channel"):
        begin_rollout(settings, "belt", "stable", release=9)
    assert fleet_of(settings, "belt", "stable").rollout is None, "what is refused is not written down"


def test_without_devices_or_a_rollout_that_is_said(settings: Settings, publish: Callable[..., None]) -> None:
    publish(1)
    publish(2, gain=0.95)
    with pytest.raises(InputError, match="no device has reported yet"):
        begin_rollout(settings, "belt", "stable", release=2)
    with pytest.raises(InputError, match="no release is rolled out"):
        step_rollout(settings, "belt", "stable")
    reports = settings.releases / "belt/reports"
    reports.mkdir()
    (reports / "odd.json").write_text("[]")
    assert list(fleet_of(settings, "belt", "stable").unreadable) == ["odd"]
    with pytest.raises(InputError, match="all devices are to run already"):
        begin_rollout(settings, "belt", "stable", release=1)
