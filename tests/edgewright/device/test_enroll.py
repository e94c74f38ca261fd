"""A device joins a fleet at a real collector, is heard there, and is refused where it should be."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from edgewright.device import enroll as enroll_module
from edgewright.device.core import State
from edgewright.device.deliver import deliver
from edgewright.device.enroll import RENEW_BEFORE, enroll, renew_identity
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, Home, init_home, open_home
from edgewright.device.identity import Identity, own_key
from edgewright.device.outbox import MAX_BATCH, opened
from edgewright.device.report import DeviceReport, send
from edgewright.device.slots import Slots
from edgewright.errors import DeviceUnreachable, HomeBusy, InputError, UpdateRefused
from edgewright.files import try_locked
from edgewright.fleet.authority import DEVICE_LIFE, authority_in
from tests.collectors import RELEASES, ROOT, RunningCollector, running_collector
from tests.cut_points import CountCutPoints
from tests.disks import CUTS, ERRORS, CutFiles, FastFiles, PowerCut


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with running_collector(tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.fixture
def home(collector: RunningCollector, tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    name = f"device-{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}"
    return enroll(tmp_path / "device", collector.token(), files=FastFiles(), device_id=name)


def test_a_device_is_what_its_collector_says(collector: RunningCollector, tmp_path: Path) -> None:
    home = enroll(tmp_path / "new", collector.token(device="line-1"), files=Files(), device_id="unheeded")
    assert home.config == DeviceConfig("line-1", RELEASES, "stable", "full", collector.url)
    assert home.trust_root == ROOT
    assert oct(home.identity.stat().st_mode)[-3:] == "700"
    assert own_key(home.identity)
    assert open_home(home.root, files=Files()).config == home.config


def test_one_that_was_made_by_hand_joins_and_stays(collector: RunningCollector, tmp_path: Path) -> None:
    by_hand = DeviceConfig("line-2", RELEASES, "stable")
    init_home(tmp_path / "device", trust_root=ROOT, config=by_hand, files=Files())
    home = enroll(tmp_path / "device", collector.token(), files=Files())
    assert home.config == replace(by_hand, collector_url=collector.url)
    again = init_home(tmp_path / "device", trust_root=ROOT, config=by_hand, files=Files())
    assert again.config == home.config  # a unit that says `init` at each start takes it out of no fleet


@pytest.mark.power
@pytest.mark.parametrize("disk", [*CUTS, *ERRORS])
def test_the_disk_fails_at_every_call(
    collector: RunningCollector, tmp_path: Path, disk: type[CutFiles], cut_points: CountCutPoints
) -> None:
    """The same token ends it; nobody but the device has it, and the collector knows it once."""
    counting = CutFiles()
    enroll(tmp_path / "counted", collector.token(), files=counting, device_id=f"{disk.__name__}-counted")
    points = disk.points(counting)
    for at in points:
        root, token, name = tmp_path / f"device-{at}", collector.token(), f"{disk.__name__}-{at}"
        with pytest.raises((PowerCut, OSError)):
            enroll(root, token, files=disk(at), device_id=name)
        home = enroll(root, token, files=FastFiles(), device_id=name)
        assert send(home, DeviceReport(name, "run")) == ""
        member = collector.member(name)
        assert member is not None and member.rewound == 0
    cut_points("enrolment", disk.kind, len(points))


@pytest.mark.power
@pytest.mark.parametrize("disk", [*CUTS, *ERRORS])
def test_the_disk_fails_at_every_call_of_a_renewal(
    collector: RunningCollector, home: Home, disk: type[CutFiles], cut_points: CountCutPoints
) -> None:
    """By the old certificate or the new one: it is heard."""
    soon, counting = datetime.now(UTC) + DEVICE_LIFE - RENEW_BEFORE + timedelta(minutes=1), CutFiles()
    assert renew_identity(replace(home, files=counting), now=soon)
    points = disk.points(counting)
    for at in points:
        with pytest.raises((PowerCut, OSError)):
            renew_identity(replace(home, files=disk(at)), now=soon)
        assert send(home, DeviceReport(home.config.device_id, "run", release=at)) == ""
        assert renew_identity(home, now=soon)
        assert send(home, DeviceReport(home.config.device_id, "run", release=at)) == ""
    told = [json.loads(each.body)["release"] for each in collector.events(home.config.device_id, "report")]
    assert told == [at for at in points for _ in range(2)]
    cut_points("renewal", disk.kind, len(points))


def test_a_token_is_good_once(collector: RunningCollector, tmp_path: Path) -> None:
    token = collector.token()
    first = enroll(tmp_path / "a", token, files=Files(), device_id="once")
    key = own_key(first.identity)
    assert enroll(tmp_path / "a", token, files=Files(), device_id="once").config == first.config
    assert own_key(first.identity) == key
    with pytest.raises(UpdateRefused, match="redeemed by another key"):
        enroll(tmp_path / "b", token, files=Files(), device_id="twice")
    assert collector.member("twice") is None
    assert not (tmp_path / "b/device.json").exists()


def test_one_at_a_time(collector: RunningCollector, tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    with try_locked(tmp_path / "device"), pytest.raises(HomeBusy):
        enroll(tmp_path / "device", collector.token(), files=Files(), device_id="both")
    assert not list((tmp_path / "device").iterdir())


def test_what_has_ended_or_is_unknown_is_refused(collector: RunningCollector, tmp_path: Path) -> None:
    with pytest.raises(UpdateRefused, match="has ended"):
        enroll(tmp_path / "late", collector.token(life_s=-1), files=Files(), device_id="late")
    with pytest.raises(UpdateRefused, match="no such invitation"):
        enroll(tmp_path / "guess", replace(collector.token(), secret="guessed"), files=Files(), device_id="guess")
    with pytest.raises(UpdateRefused, match="not a device's name"):
        enroll(tmp_path / "name", collector.token(), files=Files(), device_id="../up")
    with pytest.raises(UpdateRefused, match="not a device's name"):
        enroll(tmp_path / "none", collector.token(), files=Files())


def test_a_name_is_not_taken_from_who_has_it(collector: RunningCollector, home: Home, tmp_path: Path) -> None:
    name = home.config.device_id
    with pytest.raises(UpdateRefused, match="is taken"):
        enroll(tmp_path / "thief", collector.token(), files=Files(), device_id=name)
    assert send(home, DeviceReport(name, "run")) == ""
    enroll(tmp_path / "replaced", collector.token(device=name), files=Files())  # somebody wanted that
    assert "another key has taken the place" in send(home, DeviceReport(name, "run"))


def test_another_authority_or_root_is_refused(collector: RunningCollector, tmp_path: Path) -> None:
    token = collector.token()
    with pytest.raises(UpdateRefused, match="another authority"):
        enroll(tmp_path / "a", replace(token, authority_sha256="0" * 64), files=Files(), device_id="misled")
    assert collector.member("misled") is None  # nothing was told on that line
    with pytest.raises(UpdateRefused, match="another trust root"):
        enroll(tmp_path / "b", collector.token(root=b"another"), files=Files(), device_id="misled-2")
    assert not (tmp_path / "b/device.json").exists()


def test_of_what_calls_itself_the_authority_one_certificate_is_believed(
    collector: RunningCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another beside it, on the line that proves nothing, would vouch for whoever put it there."""
    other = authority_in(tmp_path / "other").pem
    monkeypatch.setattr(enroll_module, "_authority", lambda token: collector.authority.pem + other)
    home = enroll(tmp_path / "device", collector.token(), files=Files(), device_id="alone")
    assert (home.identity / "authority.pem").read_bytes() == collector.authority.pem
    assert len(Identity(home.identity).context().get_ca_certs()) == 1


def test_a_refused_token_leaves_an_identity_as_it_is(collector: RunningCollector, home: Home) -> None:
    kept = {path.name: path.read_bytes() for path in home.identity.iterdir()}
    with pytest.raises(InputError, match="another repository"):
        enroll(home.root, collector.token(root=b"another"), files=Files())
    with pytest.raises(InputError, match="another device's"):
        enroll(home.root, collector.token(device="somebody-else"), files=Files())
    assert {path.name: path.read_bytes() for path in home.identity.iterdir()} == kept
    assert send(home, DeviceReport(home.config.device_id, "run")) == ""


def test_answers_of_several_messages_that_a_power_cut_took_back(
    collector: RunningCollector, home: Home, tmp_path: Path
) -> None:
    """The collector has them all, under their numbers: none is told as another."""
    name = home.config.device_id
    for release in range(2 * MAX_BATCH + 50):
        with opened(home) as outbox:
            outbox.add("report", DeviceReport(name, "run", release=release).to_json())
    before = (home.root / "outbox.sqlite").read_bytes()
    with opened(home) as outbox:
        deliver(home, outbox)
    (home.root / "outbox.sqlite").write_bytes(before)
    assert send(home, DeviceReport(name, "run", release=999)) == ""
    reports = [json.loads(told.body)["release"] for told in collector.events(name, "report")]
    assert sorted(reports) == [*range(2 * MAX_BATCH + 50), 999]
    member = collector.member(name)
    assert member is not None and member.rewound == 0


def test_a_collector_between_is_not_believed(collector: RunningCollector, home: Home, tmp_path: Path) -> None:
    """Another fleet's, at the place of the device's own."""
    with running_collector(tmp_path / "other") as other:
        moved = replace(home, config=replace(home.config, collector_url=other.url))
        why = send(moved, DeviceReport(home.config.device_id, "run"))
        assert "does not answer" in why and "certificate" in why
        with opened(home) as outbox:
            assert [event.kind for event in outbox.waiting()] == ["state", "report"]
        assert other.events(home.config.device_id) == []


def test_who_was_expelled_is_told_why_and_keeps_what_it_has_to_tell(collector: RunningCollector, home: Home) -> None:
    name = home.config.device_id
    collector.expel(name, "it was stolen")
    assert "it was stolen" in send(home, DeviceReport(name, "run"))
    assert collector.events(name) == []
    with opened(home) as outbox:
        assert [event.kind for event in outbox.waiting()] == ["state", "report"]


def test_who_was_expelled_gets_no_certificate(collector: RunningCollector, home: Home) -> None:
    kept = (home.identity / "certificate.pem").read_bytes()
    collector.expel(home.config.device_id, "it was stolen")
    with pytest.raises(UpdateRefused, match="it was stolen"):
        renew_identity(home, now=datetime.now(UTC) + DEVICE_LIFE)
    assert (home.identity / "certificate.pem").read_bytes() == kept


def test_who_was_expelled_comes_back_by_a_token_that_names_it(collector: RunningCollector, home: Home) -> None:
    name = home.config.device_id
    collector.expel(name, "it was lost")
    with pytest.raises(UpdateRefused, match="is taken"):
        enroll(home.root, collector.token(), files=Files())
    back = enroll(home.root, collector.token(device=name), files=Files())
    assert send(back, DeviceReport(name, "run")) == ""


def test_all_that_waits_is_told_once(collector: RunningCollector, home: Home) -> None:
    name, slots = home.config.device_id, Slots(home)
    for starts in range(1, 4):
        slots.save(replace(State(), active="a", starts=starts))
    for release in range(MAX_BATCH + 5):
        with opened(home) as outbox:
            outbox.add("report", DeviceReport(name, "run", release=release).to_json())
    # An answer that was lost: the collector has them, the device does not know.
    with opened(home) as outbox:
        from edgewright.device.collector import ask

        first = {"events": [event.to_json() for event in outbox.waiting()]}
        ask(collector.url, "/events", context=Identity(home.identity).context(), body=first)
    assert send(home, DeviceReport(name, "run", release=999)) == ""
    with opened(home) as outbox:
        assert outbox.count() == 0
    reports = [json.loads(told.body)["release"] for told in collector.events(name, "report")]
    assert reports == [*range(MAX_BATCH + 5), 999]
    assert_a_chain(collector, name, to=slots.state())
    member = collector.member(name)
    assert member is not None and member.rewound == 0


def test_an_older_copy_of_a_disk_is_noticed_and_loses_nothing(
    collector: RunningCollector, home: Home, tmp_path: Path
) -> None:
    name = home.config.device_id
    send(home, DeviceReport(name, "run", release=1))
    shutil.copytree(home.root, tmp_path / "image")
    for release in (2, 3):
        assert send(home, DeviceReport(name, "run", release=release)) == ""
    old = replace(home, root=tmp_path / "image")
    assert send(old, DeviceReport(name, "run", release=4)) == ""
    member = collector.member(name)
    assert member is not None and member.rewound == 1
    assert [json.loads(told.body)["release"] for told in collector.events(name, "report")] == [1, 2, 3, 4]
    assert send(old, DeviceReport(name, "run", release=5)) == ""
    member = collector.member(name)
    assert member is not None and member.rewound == 1


def test_a_certificate_is_renewed_in_time(collector: RunningCollector, home: Home) -> None:
    identity, now = Identity(home.identity), datetime.now(UTC)
    before = identity.expires
    assert not renew_identity(home, now=now)
    assert renew_identity(home, now=now + DEVICE_LIFE - RENEW_BEFORE + timedelta(minutes=1))
    assert identity.expires >= before
    assert send(home, DeviceReport(home.config.device_id, "run")) == ""


def test_a_collector_that_is_away_holds_nothing_up(home: Home, tmp_path: Path) -> None:
    away = replace(home, config=replace(home.config, collector_url="https://127.0.0.1:9"))
    assert "connection refused" in send(away, DeviceReport(home.config.device_id, "run"))
    with opened(away) as outbox, pytest.raises(DeviceUnreachable):
        deliver(away, outbox)
    (home.identity / "key.pem").write_bytes(b"broken")
    assert "identity cannot be used" in send(away, DeviceReport(home.config.device_id, "run"))
    (home.identity / "certificate.pem").unlink()
    with pytest.raises(InputError, match="certificate cannot be read"):
        renew_identity(home)


def assert_a_chain(collector: RunningCollector, device: str, *, to: State) -> None:
    """Each change of state begins where the one before ended: none was lost, none came twice."""
    changes = [json.loads(told.body) for told in collector.events(device, "state")]
    assert changes[0]["before"] is None
    for earlier, later in pairwise(changes):
        assert later["before"] == earlier["after"]
    assert changes[-1]["after"] == json.loads(to.to_bytes())["state"]
