"""A device that lives: the real agent's update beside it, a real server, frames all the while."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgewright.device import watch as watching
from edgewright.device.enroll import enroll
from edgewright.device.feed import Folder
from edgewright.device.files import Files
from edgewright.device.frames_policy import EscalationPolicy, FramesPolicy
from edgewright.device.home import Home, init_home, open_home
from edgewright.device.process import agent_command
from edgewright.device.report import DeviceReport
from edgewright.device.runner import FeedReport, run_feed
from edgewright.device.sighting import Message, Sighting
from edgewright.device.start import start
from edgewright.device.watch import Watch
from edgewright.errors import ArtifactCorrupt, StoreUnavailable
from edgewright.files import try_locked
from edgewright.release.keys import read_keys
from edgewright.release.repository import ReleaseReport, set_policy
from edgewright.release.server import RepositoryServer
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.selftest import SelfTest
from edgewright.runtime.session import load_network, predictor
from tests.collectors import RunningCollector, running_collector
from tests.disks import FullDisk
from tests.edgewright.device.conftest import Device
from tests.listeners import silent
from tests.model_servers import application_of, listening_as_model

Make = Callable[..., Path]
Publish = Callable[..., ReleaseReport]
MakeDevice = Callable[..., Device]
PATIENCE_S = 120.0


def reports(server: RepositoryServer) -> list[DeviceReport]:
    return [DeviceReport.from_json(value) for value in server.received.get("device-0", [])]


def test_a_bare_device_comes_to_detect_and_takes_the_next_release_while_it_does(
    make_bundle: Make,
    publish: Publish,
    make_device: MakeDevice,
    server: RepositoryServer,
    feed: Path,
    tmp_path: Path,
) -> None:
    publish(make_bundle(release=1))
    device, said, seen = make_device(), list[str](), list[int]()
    began = time.monotonic()

    def on_sighting(sighting: Sighting) -> None:
        seen.append(int(sighting.message["release"]))
        if len(seen) == 1:
            publish(make_bundle(release=2, gain=0.9))

    def told_of_the_second() -> bool:
        newest = reports(server)[-1:]
        done = bool(newest) and newest[0].latest is not None and newest[0].release == 2
        return done or time.monotonic() - began > PATIENCE_S

    watch = Watch(device.home, Folder(feed), tmp_path / "out", 1.0, said.append, watchers=(on_sighting,))
    watch.run(until=told_of_the_second)
    assert seen == sorted(seen) and set(seen) == {1, 2}, "the first until the second is there"
    assert (device.running, device.state.on_trial, said) == (2, False, [])
    ran = [report for report in reports(server) if report.command == "run"]
    assert {report.release for report in ran} >= {1} and all(report.feed and report.feed.frames for report in ran)
    slots = {report.release: report.slot for report in ran}
    assert slots[1] == "a" and set(slots.items()) <= {(1, "a"), (2, "b")}, "each by what had seen it"
    assert (tmp_path / "out/summary.json").exists()


def test_a_feed_that_gives_nothing_is_told_and_waited_for(
    make_bundle: Make,
    publish: Publish,
    make_device: MakeDevice,
    server: RepositoryServer,
    feed: Path,
    tmp_path: Path,
) -> None:
    """Neither counts as a start of a release on trial, of which it has three."""
    publish(make_bundle(release=1))
    device, said, pictures = make_device(), list[str](), tmp_path / "pictures"
    device.update()
    began = time.monotonic()

    def done() -> bool:
        told = reports(server)
        if any(report.unseen for report in told) and not pictures.exists():
            pictures.mkdir()
            (pictures / "000.png").write_bytes((feed / "000.png").read_bytes())
        seen = any(report.feed is not None for report in told)
        return seen or time.monotonic() - began > PATIENCE_S

    Watch(device.home, Folder(pictures), tmp_path / "out", 1.0, said.append).run(until=done)
    told = reports(server)
    assert "feed cannot be read" in next(report.unseen for report in told if report.unseen)
    assert told[-1].feed is not None or told[-2].feed is not None
    assert [sentence for sentence in said if "feed" in sentence] == said[:1], "once, however often it was tried"
    assert (device.running, device.state.on_trial) == (1, False)


def test_it_ends_when_it_is_told_to(
    make_bundle: Make, publish: Publish, make_device: MakeDevice, feed: Path, tmp_path: Path
) -> None:
    publish(make_bundle(release=1))
    device = make_device()
    arguments = ("--home", str(device.home.root), "--feed", str(feed), "--out", str(tmp_path / "out"), "--to", "-")
    with subprocess.Popen(
        agent_command("watch", *arguments), stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as running:
        try:
            assert running.stdout
            lines = [json.loads(next(iter(running.stdout))) for _ in range(7)]
            assert {line["device"] for line in lines} == {"device-0"}, "JSON lines, and nothing else"
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
            assert all(json.loads(line) for line in running.stdout)
        finally:
            running.kill()
    assert device.running == 1


def test_who_kills_it_ends_its_update_too(
    make_bundle: Make, publish: Publish, make_device: MakeDevice, feed: Path, tmp_path: Path
) -> None:
    """An update that went on alone would hold the home's lock, here for as long as a silent server is waited for."""
    publish(make_bundle(release=1))
    device = make_device()
    device.update()
    device.start_and_commit()
    with silent() as port:
        root, url = device.home.trust_root, f"http://127.0.0.1:{port}"
        init_home(device.home.root, trust_root=root, config=replace(device.home.config, server_url=url), files=Files())
        arguments = ("--home", str(device.home.root), "--feed", str(feed), "--out", str(tmp_path / "out"))
        with subprocess.Popen(agent_command("watch", *arguments), env=dict(os.environ)) as running:
            try:
                update = wait_for(lambda: children_of(running.pid, "update"))[0]
                wait_for(lambda: not can_be_locked(device.home))
            finally:
                running.kill()
        began = time.monotonic()
        wait_for(lambda: not psutil.pid_exists(update))
        assert can_be_locked(device.home)
        assert time.monotonic() - began < 5


def wait_for(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def children_of(pid: int, word: str) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children() if word in child.cmdline()]


def can_be_locked(home: Home) -> bool:
    with try_locked(home.root) as free:
        return free


def permit(tmp_path: Path, to: str, **changes: Any) -> None:
    """By the channel, as a person signs it."""
    asked = EscalationPolicy(
        to, **{"share_per_mille": 1_000, "deadline_ms": 5_000, "bytes_an_hour": 4_000_000_000, **changes}
    )
    set_policy(
        lambda before: replace(before, frames=FramesPolicy(an_hour=0, escalation=asked)),
        repository=tmp_path / "repository",
        channel="stable",
        now=datetime.now(UTC),
        read=partial(read_keys, tmp_path / "keys"),
    )


def enrolled_device(collector: RunningCollector, server: RepositoryServer, root: bytes, folder: Path) -> Device:
    enroll(folder, collector.token(device="device-0", root=root, server_url=server.url), files=Files())
    device = object.__new__(Device)
    device.home = open_home(folder, files=Files())
    return device


def test_doubted_frames_are_asked_about_as_the_channel_permits_and_what_came_of_it_is_reported(
    make_bundle: Make, publish: Publish, server: RepositoryServer, feed: Path, tmp_path: Path
) -> None:
    publish(make_bundle(release=1, gain=0.5))
    larger = Bundle.load(make_bundle(gain=1.0))
    predict = predictor(load_network(larger.model), larger.manifest.spec)
    root = (tmp_path / "repository/metadata/1.root.json").read_bytes()
    told, rounds, said = list[Message](), list[DeviceReport](), list[str]()
    with (
        running_collector(tmp_path / "fleet", root=root) as collector,
        listening_as_model(tmp_path / "fleet", application_of(collector, predict)) as url,
    ):
        permit(tmp_path, url)
        device = enrolled_device(collector, server, root, tmp_path / "device")
        device.update()
        began = time.monotonic()

        def done() -> bool:
            answered = sum(report.escalated.answered for report in rounds if report.escalated)
            return answered >= 2 or time.monotonic() - began > PATIENCE_S

        watch = Watch(
            device.home,
            Folder(feed),
            tmp_path / "out",
            1.0,
            said.append,
            watchers=(lambda sighting: told.append(sighting.message),),
            on_round=rounds.append,
            answered=told.append,
        )
        watch.run(until=done)
    answers = [message for message in told if message.get("by") == "cloud"]
    assert len(answers) >= 2 and said == []
    for answer in answers:
        before = told[: told.index(answer)]
        assert any(each["frame"] == answer["frame"] and "by" not in each for each in before), "the local one first"
    counts = [report.escalated for report in rounds if report.escalated]
    assert sum(each.answered for each in counts) <= len(answers) and counts[-1].breaker == "closed"
    assert DeviceReport.from_json(rounds[-1].to_json()) == rounds[-1]
    older = {name: value for name, value in rounds[-1].to_json().items() if name != "escalated"}
    assert DeviceReport.from_json(older).escalated is None


def test_it_ends_at_once_with_a_frame_under_way_to_a_server_that_is_silent(
    make_bundle: Make, publish: Publish, server: RepositoryServer, feed: Path, tmp_path: Path
) -> None:
    publish(make_bundle(release=1, gain=0.5))
    root = (tmp_path / "repository/metadata/1.root.json").read_bytes()
    with running_collector(tmp_path / "fleet", root=root) as collector, silent() as port:
        permit(tmp_path, f"https://127.0.0.1:{port}", deadline_ms=10_000)
        device = enrolled_device(collector, server, root, tmp_path / "device")
        device.update()
        arguments = ("--home", str(device.home.root), "--feed", str(feed), "--out", str(tmp_path / "out"), "--to", "-")
        command = agent_command("watch", *arguments, "--every", "1")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as running:
            try:
                assert running.stdout
                frames = [json.loads(next(iter(running.stdout)))["frame"] for _ in range(30)]
                assert len(set(frames)) == 7, "round after round, while one frame is asked about"
                began = time.monotonic()
                running.send_signal(signal.SIGTERM)
                assert running.wait(30) == 0
                assert time.monotonic() - began < 5, "well before the deadline of that frame"
            finally:
                running.kill()


def test_a_full_disk_stops_no_detecting(
    make_bundle: Make, publish: Publish, make_device: MakeDevice, feed: Path, tmp_path: Path
) -> None:
    """Nothing can be written into `out`: what is detected is told all the same."""
    publish(make_bundle(release=1))
    device, said, seen = make_device(), list[str](), list[Sighting]()
    device.update()
    (tmp_path / "out").write_text("no folder")
    began = time.monotonic()

    def done() -> bool:
        return len(seen) >= 14 or time.monotonic() - began > PATIENCE_S

    Watch(device.home, Folder(feed), tmp_path / "out", 1.0, said.append, watchers=(seen.append,)).run(until=done)
    assert len(seen) >= 14 and "what is detected cannot be written" in said[0]
    assert device.state.proven == "a", "and the release is committed"


@pytest.mark.parametrize(("fails_from", "release"), [(0, 1), (11, 2)])  # before its start is counted, and after
def test_a_disk_that_takes_no_word_of_a_trial_stops_no_detecting(
    make_bundle: Make,
    publish: Publish,
    make_device: MakeDevice,
    feed: Path,
    tmp_path: Path,
    fails_from: int,
    release: int,
) -> None:
    publish(make_bundle(release=1))
    device, said, seen = make_device(), list[str](), list[int]()
    device.update()
    device.start_and_commit()
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    home, began = replace(device.home, files=FullDisk(fails_from)), time.monotonic()

    def done() -> bool:
        return len(seen) >= 14 or time.monotonic() - began > PATIENCE_S

    def on_sighting(sighting: Sighting) -> None:
        seen.append(int(sighting.message["release"]))

    Watch(home, Folder(feed), tmp_path / "out", 1.0, said.append, watchers=(on_sighting,)).run(until=done)
    assert len(seen) >= 14 and set(seen) == {release}
    assert any("No space left" in each for each in said) and device.state.on_trial, "until the disk is well"


def test_a_model_that_fails_on_frames_falls_back_after_three_starts(
    make_bundle: Make, publish: Publish, make_device: MakeDevice, feed: Path, tmp_path: Path
) -> None:
    """It passes its self-test and answers no frame."""
    publish(make_bundle(release=1))
    device, said, seen = make_device(), list[str](), list[int]()
    device.update()
    device.start_and_commit()
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    began = time.monotonic()

    def failing(bundle: Bundle, *given: object, **named: object) -> FeedReport:
        seen.append(bundle.manifest.release)
        if bundle.manifest.release == 2:
            raise ArtifactCorrupt("the model fails")
        return run_feed(bundle, *given, **named)  # type: ignore[arg-type]

    def done() -> bool:
        return 1 in seen or time.monotonic() - began > PATIENCE_S

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(watching, "run_feed", failing)
        Watch(device.home, Folder(feed), tmp_path / "out", 1.0, said.append).run(until=done)
    assert (seen, device.running) == ([2, 2, 2, 1], 1)
    assert len(device.slots.state().failed) == 1, "and it is not tried again"


def test_what_ends_a_self_test_from_outside_condemns_nothing(
    make_bundle: Make, publish: Publish, make_device: MakeDevice
) -> None:
    """`systemctl stop` in the middle of a start: the child hears it before its parent."""
    publish(make_bundle(release=1))
    device = make_device()
    device.update()
    before = device.slots.state()
    assert before.on_trial

    def ended(_: Path) -> SelfTest:
        raise StoreUnavailable("the self-test was ended from outside")

    with pytest.raises(StoreUnavailable):
        start(device.slots, selftest=ended)
    assert device.slots.state() == before


def test_a_start_without_a_picture_is_none_of_the_three(
    make_bundle: Make, publish: Publish, make_device: MakeDevice, tmp_path: Path
) -> None:
    """The camera is unplugged, and the device is begun again and again."""
    publish(make_bundle(release=1))
    device = make_device()
    device.update()
    (tmp_path / "empty").mkdir()
    for _ in range(4):
        told: list[str] = []
        began = time.monotonic()

        def done(said: list[str] = told, since: float = began) -> bool:
            return bool(said) or time.monotonic() - since > PATIENCE_S

        Watch(device.home, Folder(tmp_path / "empty"), tmp_path / "out", 60.0, told.append).run(until=done)
    assert (device.running, device.slots.state().starts) == (1, 0)
