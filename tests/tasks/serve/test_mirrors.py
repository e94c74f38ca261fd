"""Releases in a bucket: what is signed here reaches devices that know no server of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgewright.artifacts import s3
from edgewright.artifacts.s3 import S3Folder
from edgewright.cli import main
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home, open_home
from edgewright.device.report import DeviceReport
from edgewright.device.updater import update
from edgewright.errors import InputError, StoreUnavailable
from edgewright.fleet.rollout import withdrawn
from edgewright.release.metadata import FIRST_ROOT
from edgewright.release.repository import state_of
from edgewright.settings import Settings, read_settings
from tasks.serve import rollouts
from tasks.serve.fleet import begin_rollout, change_rollout, step_rollout
from tasks.serve.releases import renew_metadata
from tasks.serve.rollouts import step_running, stepping, unmirrored
from tests.edgewright.device.conftest import selftest_here
from tests.listeners import closed_port
from tests.stack import wait_for

Publish = Callable[..., None]


@pytest.fixture
def mirrored(settings: Settings, s3_bucket: str) -> Settings:
    """The home's settings, with the bucket among them."""
    return replace(settings, releases_s3=f"s3://{s3_bucket}/releases")


@pytest.fixture
def device(settings: Settings, publish: Publish, s3_site: str, tmp_path: Path) -> Path:
    """One that trusts the project's first root and pulls from the bucket; its report lies in the home's box."""
    publish(1)
    root = (settings.releases / "belt/metadata" / FIRST_ROOT).read_bytes()
    config = DeviceConfig("line-0", f"{s3_site}/releases/belt", "stable")
    init_home(tmp_path / "device", trust_root=root, config=config, files=Files())
    box = settings.releases / "belt/reports"
    box.mkdir()
    (box / "line-0.json").write_text(json.dumps(DeviceReport("line-0", "run", release=1, channel="stable").to_json()))
    return tmp_path / "device"


def updated(device: Path) -> int:
    return update(open_home(device, files=Files()), selftest=selftest_here).release


def test_each_step_of_a_rollout_reaches_devices_and_one_that_could_not_does_with_the_next(
    mirrored: Settings, device: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    (done,) = renew_metadata(mirrored, now=datetime.now(UTC))
    assert done.news and str(done).startswith("belt: fresh; 15 files of ")
    assert updated(device) == 1
    publish(2, gain=0.9)
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
        away.setenv("AWS_MAX_ATTEMPTS", "1")
        away.setattr(s3, "PATIENCE_S", 0.0)
        with pytest.raises(StoreUnavailable, match=r"has not reached the bucket.*edgewright release mirror"):
            begin_rollout(mirrored, "belt", "stable", release=2, stages=(1.0,), dwell_s=0.0)
        (failed,) = renew_metadata(mirrored, now=datetime.now(UTC))
        assert failed.news and not failed.refused and "has not reached the bucket" in str(failed)
    assert state_of(mirrored.releases / "belt").plans["stable"].release == 2, "what is signed stays signed"
    assert updated(device) == 1
    step_rollout(mirrored, "belt", "stable")
    assert updated(device) == 2
    change_rollout(mirrored, "belt", "stable", withdrawn)
    assert updated(device) == 1
    renew_metadata(mirrored, now=datetime.now(UTC))
    (quiet,) = renew_metadata(mirrored, now=datetime.now(UTC))
    assert not quiet.news


def test_a_rollout_that_ended_while_the_bucket_was_away_is_brought_there_all_the_same(
    mirrored: Settings, device: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody steps it any more, and what was withdrawn must not go on."""
    said: list[str] = []
    monkeypatch.setattr(rollouts, "STEP_EVERY_S", 0.1)
    publish(2, gain=0.9)
    begin_rollout(mirrored, "belt", "stable", release=2, stages=(1.0,), dwell_s=0.0)
    assert updated(device) == 2
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
        away.setenv("AWS_MAX_ATTEMPTS", "1")
        away.setattr(s3, "PATIENCE_S", 0.0)
        with pytest.raises(StoreUnavailable, match="has not reached the bucket"):
            change_rollout(mirrored, "belt", "stable", withdrawn)
        assert step_running(mirrored) == []
        assert [*unmirrored(mirrored)] == ["belt"]
        assert unmirrored(mirrored, but=["belt"]) == {}
        with stepping(mirrored, said.append):
            wait_for(lambda: said, seconds=20)
    assert said[0].startswith("Releases  belt: what is signed here has not reached the bucket")
    assert updated(device) == 2
    with stepping(mirrored, said.append):
        wait_for(lambda: updated(device) == 1, seconds=30)
    assert unmirrored(mirrored) == {}
    assert len(said) == 1


def test_by_hand(
    settings: Settings,
    mirrored: Settings,
    device: Path,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def told(*words: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main(["release", *words])
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    monkeypatch.setattr("edgewright.cli.releases.home_settings", lambda: settings)
    code, said = told("mirror")
    assert (code, "a place to mirror to is needed" in said) == (2, True)
    code, said = told("mirror", "--to", mirrored.releases_s3, "--project", "belt")
    assert (code, f"written to {mirrored.releases_s3}/belt" in said) == (0, True)
    assert updated(device) == 1
    monkeypatch.setattr("edgewright.cli.releases.home_settings", lambda: mirrored)
    assert told("mirror") == (0, f"belt: {mirrored.releases_s3}/belt is as it is signed\n")
    assert told("status")[1].endswith(f"mirrored to {mirrored.releases_s3}/PROJECT whenever something is signed\n")
    publish(2, gain=0.9)
    monkeypatch.setattr("edgewright.cli.ceremonies.home_settings", lambda: mirrored)
    code, said = told("floor", "1", "--project", "belt")
    assert (code, f"written to {mirrored.releases_s3}/belt" in said) == (0, True)
    names = [*S3Folder(mirrored.releases_s3).sizes()]
    assert any(name.startswith("belt/targets/stable/full/2/") for name in names)
    assert all(name.startswith("belt/") for name in names), "projects do not meet"


@pytest.mark.parametrize("text", ["bucket/prefix", "s3://", "https://bucket.example/prefix", "s3:///prefix"])
def test_what_is_no_bucket(text: str) -> None:
    with pytest.raises(InputError, match=r"not an S3 address.*EDGEWRIGHT_RELEASES_S3"):
        read_settings({"EDGEWRIGHT_RELEASES_S3": text})
