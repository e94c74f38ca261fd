from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from edgewright.device.offer import Plan, Policy
from edgewright.errors import ArtifactCorrupt, InputError, StoreUnavailable
from edgewright.release.keys import KEY_NAMES, ONLINE, Keys, make_keys, read_keys
from edgewright.release.metadata import LIFETIME
from edgewright.release.repository import (
    ReleaseReport,
    Renewal,
    next_release_number,
    publish_release,
    renew,
    revoke_release,
    set_plan,
    set_policy,
    state_of,
)
from edgewright.runtime.bundle import Bundle
from tests.goldens import Golden

Make = Callable[..., Path]
Publish = Callable[..., ReleaseReport]


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    return {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}


def snapshot_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_signed(make_bundle: Make, paths: dict[str, Path], golden: Golden) -> None:
    """Roles, thresholds, versions, expiry, target names; keys and digests are other ones every time."""
    publish_release(make_bundle(), channel="stable", now=datetime(2026, 3, 1, 10, 15, tzinfo=UTC), **paths)
    metadata = sorted((paths["repository"] / "metadata").iterdir())
    golden("metadata.json", {path.name: masked(json.loads(path.read_bytes())) for path in metadata})


def masked(value: Any) -> Any:
    """The value, with one word for every digest, key and signature, and for what another library may write."""
    if isinstance(value, dict):
        return {masked(name): "…" if name in ("length", "spec_version") else masked(value[name]) for name in value}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return "HEX" if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32,}", value) else value


def test_publishing_twice_is_publishing_once(make_bundle: Make, paths: dict[str, Path], publish: Publish) -> None:
    assert next_release_number(paths["repository"], "stable") == 1
    first = publish(make_bundle(release=1))
    assert (first.version, first.published, first.signed) == (
        1,
        True,
        ("root", "targets", "rollout", "snapshot", "timestamp"),
    )
    before = snapshot_of(paths["repository"])
    again_bundle = make_bundle(release=next_release_number(paths["repository"], "stable"))
    again = publish(again_bundle)
    assert (again.version, again.digest, again.published, again.signed) == (1, first.digest, False, ())
    assert snapshot_of(paths["repository"]) == before
    assert Bundle.load(again_bundle).manifest.release == 1  # the folder holds what is released


def test_numbers_and_metadata_versions_only_rise(make_bundle: Make, paths: dict[str, Path], publish: Publish) -> None:
    publish(make_bundle(release=1))
    publish(make_bundle(release=2, gain=0.9))
    publish(make_bundle(release=1, channel="beta"), channel="beta")
    assert next_release_number(paths["repository"], "stable") == 3
    assert next_release_number(paths["repository"], "beta") == 2
    versions = sorted(path.name for path in (paths["repository"] / "metadata").glob("*.targets.json"))
    assert versions == ["1.targets.json", "2.targets.json", "3.targets.json"]
    targets = Metadata.from_file(str(paths["repository"] / "metadata/3.targets.json")).signed.targets
    assert {path.split("/")[0] for path in targets} == {"stable", "beta"}
    assert {path for path in targets if path.endswith("/model.onnx")} == {
        "stable/full/1/model.onnx",
        "stable/full/2/model.onnx",
        "stable/model.onnx",  # for agents that know no plan
        "beta/full/1/model.onnx",
        "beta/model.onnx",
    }
    assert targets["stable/model.onnx"].custom["release"] == 2
    with pytest.raises(InputError, match=r"not new.*> 2.*got 2"):
        publish(make_bundle(release=2, gain=0.8))


def test_keys_are_private_from_the_first_byte(make_bundle: Make, paths: dict[str, Path], publish: Publish) -> None:
    old = os.umask(0)
    try:
        publish(make_bundle())
    finally:
        os.umask(old)
    files = sorted(paths["keys"].iterdir())
    assert [path.stem for path in files] == sorted(
        [*(name for names in KEY_NAMES.values() for name in names), "secret"]
    )
    assert all(b"ENCRYPTED" in path.read_bytes() for path in files if path.suffix == ".pem")
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(paths["keys"].stat().st_mode) == 0o700
    public = b"".join(snapshot_of(paths["repository"]).values())
    assert b"PRIVATE" not in public
    root = json.loads((paths["repository"] / "metadata/1.root.json").read_bytes())["signed"]
    assert (root["roles"]["root"]["threshold"], len(root["roles"]["root"]["keyids"])) == (2, 3)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda keys: (keys / "targets.pem").unlink(), "a signing key is missing"),
        (lambda keys: (keys / "targets.pem").chmod(0o644), "others may read"),
        (lambda keys: (keys / "targets.pem").write_bytes(b"x"), "not a private key"),
        (
            lambda keys: (keys / "targets.pem").write_bytes((keys / "snapshot.pem").read_bytes()),
            "not this repository's",
        ),
    ],
)
def test_keys_that_are_refused(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, harm: Callable[[Path], object], said: str
) -> None:
    publish(make_bundle(release=1))
    before = snapshot_of(paths["repository"] / "metadata")
    harm(paths["keys"])
    with pytest.raises(InputError, match=said):
        publish(make_bundle(release=2, gain=0.9))
    assert snapshot_of(paths["repository"] / "metadata") == before


@pytest.mark.parametrize(
    ("days", "signed"),
    [
        (3, ()),  # all fresh
        (4, ("timestamp",)),  # past half of its week
        (16, ("rollout", "snapshot", "timestamp")),  # past half of their month
        (190, ("root", "targets", "rollout", "snapshot", "timestamp")),  # past half of the year
    ],
)
def test_what_is_half_expired_is_signed_again(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime, days: int, signed: tuple[str, ...]
) -> None:
    publish(make_bundle())
    assert renew(**paths, now=now + timedelta(days=days)) == Renewal(signed, offline=())
    timestamp = Metadata.from_file(str(paths["repository"] / "metadata/timestamp.json")).signed
    if signed:
        assert timestamp.expires == (now + timedelta(days=days) + LIFETIME["timestamp"]).replace(microsecond=0)


@pytest.mark.parametrize(
    ("days", "here", "renewal"),
    [
        (4, ("timestamp",), Renewal(("timestamp",), offline=())),  # what is not due is not missed
        (16, ("timestamp",), Renewal(("timestamp",), offline=("rollout", "snapshot"))),
        (16, (), Renewal((), offline=("rollout", "snapshot", "timestamp"))),
        (190, ONLINE, Renewal(ONLINE, offline=("root", "targets"))),
        (190, ("root", *ONLINE), Renewal(("root", *ONLINE), offline=("targets",))),
    ],
)
def test_keys_that_are_offline_are_not_needed_for_the_others(
    make_bundle: Make,
    paths: dict[str, Path],
    publish: Publish,
    now: datetime,
    days: int,
    here: tuple[str, ...],
    renewal: Renewal,
) -> None:
    publish(make_bundle())
    for role in set(KEY_NAMES) - set(here):
        (paths["keys"] / f"{KEY_NAMES[role][-1]}.pem").unlink()
    assert renew(**paths, now=now + timedelta(days=days)) == renewal
    assert state_of(paths["repository"]).releases == {"stable": 1}  # it still can be read


def test_a_publication_that_is_cut_off_has_not_happened(
    make_bundle: Make, paths: dict[str, Path], publish: Publish
) -> None:
    publish(make_bundle(release=1))
    timestamp = (paths["repository"] / "metadata/timestamp.json").read_bytes()
    publish(make_bundle(release=2, gain=0.9))
    # As after a cut before the last write: everything of release 2 is there but the new timestamp.
    (paths["repository"] / "metadata/timestamp.json").write_bytes(timestamp)
    assert next_release_number(paths["repository"], "stable") == 2
    assert publish(make_bundle(release=2, gain=0.8)).published


@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.root.json"])
def test_a_damaged_repository_is_not_signed_over(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, name: str
) -> None:
    publish(make_bundle(release=1))
    path = paths["repository"] / "metadata" / name
    path.write_bytes(
        path.read_bytes().replace(b'"version": 1', b'"version": 7').replace(b'"version":1', b'"version":7')
    )
    with pytest.raises(ArtifactCorrupt, match="repository cannot be read"):
        publish(make_bundle(release=2, gain=0.9))


@pytest.mark.parametrize("model", ["model.onnx", "model-safe.onnx"])
def test_a_bundle_for_another_channel_or_a_damaged_one(
    make_bundle: Make, paths: dict[str, Path], now: datetime, model: str
) -> None:
    bundle = make_bundle(channel="beta", safe_gain=0.95)
    with pytest.raises(InputError, match="another channel"):
        publish_release(bundle, **paths, channel="stable", now=now)
    with (bundle / model).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ArtifactCorrupt, match="wrong size"):
        publish_release(bundle, **paths, channel="beta", now=now)
    assert not paths["repository"].exists()


def test_a_place_that_cannot_be_written(make_bundle: Make, tmp_path: Path, now: datetime) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        publish_release(
            make_bundle(), repository=tmp_path / "file" / "r", keys=tmp_path / "keys", channel="stable", now=now
        )


def test_a_plan_is_signed_by_the_online_keys_alone(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    for release in (1, 2, 3):
        publish(make_bundle(release=release, gain=1 - release / 20))
    for name in ("root-1", "root-2", "root-3", "targets"):
        (paths["keys"] / f"{name}.pem").unlink()
    plan = Plan("canary", release=3, share=0.05, otherwise=1)
    assert set_plan(plan, **paths, channel="stable", now=now) == ("rollout", "snapshot", "timestamp")
    assert state_of(paths["repository"]).plans == {"stable": plan}
    assert state_of(paths["repository"]).permitted == {"stable": (1, 2, 3)}
    with pytest.raises(InputError, match=r"not permitted.*1, 2, 3.*got 4"):
        set_plan(replace(plan, release=4), **paths, channel="stable", now=now)
    with pytest.raises(InputError, match="signing key is missing"):
        revoke_release(2, repository=paths["repository"], channel="stable", now=now, read=opener(paths))


def opener(paths: dict[str, Path]) -> Callable[[tuple[str, ...]], Keys]:
    return lambda roles: read_keys(paths["keys"], roles)


def test_a_floor_forbids_plans_and_a_revoked_release_is_none(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    for release in (1, 2, 3):
        publish(make_bundle(release=release, gain=1 - release / 20))
    where: dict[str, Any] = {"repository": paths["repository"], "channel": "stable", "now": now, "read": opener(paths)}
    policy, signed = set_policy(lambda before: replace(before, floor=2), **where)
    assert (policy, signed) == (Policy(version=1, floor=2), ("targets", "snapshot", "timestamp"))
    with pytest.raises(InputError, match=r"below the channel's floor.*>= 2.*got 1"):
        set_plan(Plan("back", 1, 1.0, 1), **paths, channel="stable", now=now)
    assert set_policy(lambda before: replace(before, allow_rollback_to=1, floor=1), **where)[0].version == 2
    set_plan(Plan("back", 1, 1.0, 1), **paths, channel="stable", now=now)
    with pytest.raises(InputError, match="is rolled out"):
        revoke_release(1, **where)
    assert "targets" in revoke_release(3, **where)
    assert state_of(paths["repository"]).permitted == {"stable": (1, 2)}
    assert next_release_number(paths["repository"], "stable") == 4, "a number is never given twice"
    with pytest.raises(InputError, match="not permitted"):
        revoke_release(3, **where)
    with pytest.raises(InputError, match="number that is not new"):
        publish(make_bundle(release=3, gain=0.5))


def test_what_is_signed_where_no_online_key_is_waits_for_them(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    publish(make_bundle(release=1))
    for name in ONLINE:
        (paths["keys"] / f"{name}.pem").rename(paths["keys"] / f"{name}.away")
    before = snapshot_of(paths["repository"])
    where: dict[str, Any] = {"repository": paths["repository"], "channel": "stable", "now": now}
    read = lambda roles: read_keys(paths["keys"], [role for role in roles if role in ("targets",)])  # noqa: E731
    assert set_policy(lambda policy: replace(policy, floor=1), **where, read=read)[1] == ("targets",)
    changed = {name for name, payload in snapshot_of(paths["repository"]).items() if before.get(name) != payload}
    assert "metadata/pending/targets.json" in changed
    assert "metadata/timestamp.json" not in changed
    assert state_of(paths["repository"]).policies["stable"].floor == 0, "nobody is told yet"
    for name in ONLINE:
        (paths["keys"] / f"{name}.away").rename(paths["keys"] / f"{name}.pem")
    (paths["keys"] / "targets.pem").unlink()
    assert renew(**paths, now=now) == Renewal(("targets",), offline=())
    assert state_of(paths["repository"]).policies["stable"].floor == 1
    assert renew(**paths, now=now) == Renewal((), offline=())


def test_what_waits_and_is_not_signed_rightly_is_refused(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    publish(make_bundle(release=1))
    waiting = paths["repository"] / "metadata/pending/targets.json"
    waiting.parent.mkdir()
    document = json.loads((paths["repository"] / "metadata/1.targets.json").read_bytes())
    document["signed"]["version"] = 9
    waiting.write_text(json.dumps(document))
    with pytest.raises(ArtifactCorrupt, match="not signed rightly"):
        renew(**paths, now=now)


def test_a_second_tier_has_the_number_of_the_first(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    publish(make_bundle(release=1))
    basic = make_bundle(release=1, gain=0.8)
    report = publish_release(basic, **paths, channel="stable", now=now, tier="basic")
    assert (report.version, report.published) == (1, True)
    assert all(name.startswith("stable/basic/1/") for name in report.targets)
    targets = Metadata.from_file(str(paths["repository"] / "metadata/2.targets.json")).signed.targets
    assert targets["stable/manifest.json"].custom["digest"] != targets["stable/basic/1/manifest.json"].custom["digest"]
    with pytest.raises(InputError, match="not new"):
        publish_release(make_bundle(release=1, gain=0.7), **paths, channel="stable", now=now, tier="basic")


def test_offline_keys_are_opened_by_a_persons_passphrase_and_the_others_by_the_secret(tmp_path: Path) -> None:
    asked: list[str] = []

    def passphrase(name: str) -> bytes:
        asked.append(name)
        return f"of {name}".encode()

    secret = tmp_path / "elsewhere/secret"
    make_keys(tmp_path / "keys", passphrase=passphrase, secret=secret)
    assert {*asked} == {"root-1", "root-2", "root-3", "targets"}
    assert not (tmp_path / "keys/secret").exists()
    read_keys(tmp_path / "keys", ONLINE, secret=secret)
    with pytest.raises(InputError, match="only a passphrase opens"):
        read_keys(tmp_path / "keys", ("targets",), secret=secret)
    with pytest.raises(InputError, match="passphrase does not open"):
        read_keys(tmp_path / "keys", ("targets",), passphrase=lambda name: b"wrong", secret=secret)
    with pytest.raises(InputError, match="only a passphrase opens"):
        read_keys(tmp_path / "keys", ONLINE)  # without the file that opens them
    with pytest.raises(InputError, match="needs a passphrase"):
        make_keys(tmp_path / "other", passphrase=lambda name: b"")
