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
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from edgewright.device.offer import Course, Plan, Policy
from edgewright.errors import ArtifactCorrupt, InputError, StoreUnavailable
from edgewright.release.ceremony import rotate_key
from edgewright.release.keys import KEY_NAMES, ONLINE, Keys, make_keys, read_keys
from edgewright.release.metadata import LIFETIME, SignedSet
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
        for name in KEY_NAMES[role][-2:]:  # of root's three one is not enough
            (paths["keys"] / f"{name}.pem").unlink()
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
    assert (policy, signed) == (Policy(version=2, floor=2), ("targets", "snapshot", "timestamp"))
    with pytest.raises(InputError, match=r"below the channel's floor.*>= 2.*got 1"):
        set_plan(Plan("back", 1, 1.0, 1), **paths, channel="stable", now=now)
    assert set_policy(lambda before: replace(before, allow_rollback_to=1, floor=1), **where)[0].version == 3
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
    assert renew(**paths, now=now) == Renewal(("targets", "snapshot", "timestamp"), offline=())
    assert not list((paths["repository"] / "metadata/pending").iterdir())
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
    renewal = renew(**paths, now=now + timedelta(days=4))
    assert renewal.signed == ("timestamp",), "which it does not stop"
    assert ["not signed rightly" in each for each in renewal.refused] == [True]
    assert waiting.is_file(), "somebody is to look at it"
    for ceremony in (
        lambda: publish(make_bundle(release=2, gain=0.9)),
        lambda: revoke_release(1, repository=paths["repository"], channel="stable", now=now, read=opener(paths)),
    ):
        with pytest.raises(ArtifactCorrupt, match=r"what waits to be announced cannot be.*pending/targets.json"):
            ceremony()


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


def of_before(paths: dict[str, Path], bundle: Path, now: datetime) -> None:
    """As 0.1.0 wrote them: four roles, plain keys, a channel's files right below its name."""
    paths["keys"].mkdir(mode=0o700)
    root, signers = Root(expires=now + timedelta(days=300), consistent_snapshot=True), {}
    for role, names in KEY_NAMES.items():
        for name in names if role != "rollout" else ():
            signer = CryptoSigner.generate_ed25519()
            (paths["keys"] / f"{name}.pem").write_bytes(signer.private_bytes)
            (paths["keys"] / f"{name}.pem").chmod(0o600)
            root.add_key(signer.public_key, role)
            signers.setdefault(role, []).append(signer)
    root.roles["root"].threshold = 2
    targets, manifest = Targets(expires=now + timedelta(days=300)), Bundle.load(bundle).manifest
    for name in ("manifest.json", *manifest.files):
        payload = (bundle / name).read_bytes()
        target = TargetFile.from_data(f"{manifest.channel}/{name}", payload, ["sha256"])
        target.unrecognized_fields["custom"] = {"release": manifest.release, "digest": manifest.digest}
        targets.targets[target.path] = target
        path = paths["repository"] / "targets" / target.get_prefixed_paths()[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
    (paths["repository"] / "metadata").mkdir()
    snapshot = Snapshot(expires=now + timedelta(days=30), meta={"targets.json": MetaFile(1)})
    timestamp = Timestamp(expires=now + timedelta(days=7), snapshot_meta=MetaFile(1))
    roles = {"root": root, "targets": targets, "snapshot": snapshot, "timestamp": timestamp}
    for role, signed in roles.items():
        signed.expires = signed.expires.replace(microsecond=0)
        metadata = Metadata(signed)
        for signer in signers[role]:
            metadata.sign(signer, append=True)
        metadata.to_file(str(paths["repository"] / "metadata" / f"{'' if role == 'timestamp' else '1.'}{role}.json"))


def test_a_repository_of_before_gets_a_policy_and_no_key_but_that_of_rollouts(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    of_before(paths, make_bundle(release=4), now)
    where: dict[str, Any] = {"repository": paths["repository"], "channel": "stable", "now": now, "read": opener(paths)}
    with pytest.raises(InputError, match=r"permits no release.*publish a release first"):
        set_policy(lambda policy: replace(policy, floor=4), **where)
    for name in ("root-1", "root-2", "root-3"):
        (paths["keys"] / f"{name}.pem").rename(paths["keys"] / f"{name}.elsewhere")
    assert publish(make_bundle(release=5)).version == 4, "the same once more"
    made = {path.name for path in paths["keys"].iterdir()}
    assert made == {*(f"root-{n}.elsewhere" for n in (1, 2, 3)), *(f"{r}.pem" for r in ("targets", *ONLINE)), "secret"}
    assert state_of(paths["repository"]).policies == {"stable": Policy(version=1)}
    assert next((paths["repository"] / "targets/stable").glob("*.policy.json")).is_file()
    assert next_release_number(paths["repository"], "stable") == 5


def test_a_missing_key_of_a_repository_of_before_makes_no_other(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    of_before(paths, make_bundle(release=4), now)
    (paths["keys"] / "targets.pem").unlink()
    before = snapshot_of(paths["keys"])
    with pytest.raises(InputError, match="a signing key is missing"):
        publish(make_bundle(release=5))
    assert snapshot_of(paths["keys"]) == before


def emptied(path: Path) -> None:
    path.write_bytes(b"x")


@pytest.mark.parametrize("harm", [emptied, Path.unlink])
def test_what_is_not_as_it_is_signed_is_not_signed_under_a_new_name(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime, harm: Callable[[Path], object]
) -> None:
    of_before(paths, make_bundle(release=4), now)
    before = snapshot_of(paths["repository"] / "metadata")
    harm(next((paths["repository"] / "targets/stable").glob("*.model.onnx")))
    with pytest.raises(ArtifactCorrupt, match=r"not as it is signed.*model.onnx.*Next: put the file back"):
        publish(make_bundle(release=5, gain=0.9))
    assert snapshot_of(paths["repository"] / "metadata") == before


@pytest.mark.parametrize("harm", [emptied, Path.unlink])
def test_a_plan_that_is_not_as_it_is_signed(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, harm: Callable[[Path], object]
) -> None:
    publish(make_bundle(release=1))
    harm(next((paths["repository"] / "targets/rollout").iterdir()))
    with pytest.raises(ArtifactCorrupt, match=r"not as it is signed.*stable.json"):
        state_of(paths["repository"])


def test_a_signed_plan_that_is_none(make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime) -> None:
    publish(make_bundle(release=1))
    signed_set = SignedSet.read(paths["repository"] / "metadata")
    target = TargetFile.from_data("rollout/stable.json", b"[]", ["sha256"])
    (paths["repository"] / "targets" / target.get_prefixed_paths()[0]).write_bytes(b"[]")
    signed_set.rollout.signed.targets[target.path] = target
    signed_set.sign(read_keys(paths["keys"], ONLINE), now=now, changed=("rollout",))
    with pytest.raises(ArtifactCorrupt, match=r"signed plan is none.*stable.json.*sign another plan"):
        state_of(paths["repository"])
    assert set_plan(Plan("again", 1, 1.0, 1), **paths, channel="stable", now=now)
    assert state_of(paths["repository"]).releases == {"stable": 1}


def test_a_rollout_can_be_stopped_whatever_became_of_its_release(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    for release in (1, 2, 3):
        publish(make_bundle(release=release, gain=1 - release / 20))
    where: dict[str, Any] = {"repository": paths["repository"], "channel": "stable", "now": now, "read": opener(paths)}
    place: dict[str, Any] = {**paths, "channel": "stable", "now": now}
    plan = Plan("spring", release=2, share=0.5, otherwise=1)
    set_plan(plan, **place)
    set_policy(lambda before: replace(before, floor=3), **where)
    with pytest.raises(InputError, match=r"below the channel's floor.*>= 3.*got 2"):
        set_plan(replace(plan, share=0.6), **place)
    set_plan(replace(plan, state=Course.HALTED), **place)
    set_plan(replace(plan, state=Course.WITHDRAWN, otherwise=3), **place)
    set_plan(replace(plan, state=Course.WITHDRAWN, otherwise=0, release=9), **place)
    with pytest.raises(InputError, match=r"below the channel's floor.*>= 3.*got 1"):
        set_plan(replace(plan, state=Course.WITHDRAWN), **place)
    for course in Course:
        with pytest.raises(InputError, match=r"not permitted.*got 8"):
            set_plan(replace(plan, release=3, otherwise=8, state=course), **place)


def test_a_revoked_release_is_signed_under_no_name(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    where: dict[str, Any] = {"repository": paths["repository"], "channel": "stable", "now": now, "read": opener(paths)}
    for release in (1, 2):
        publish(make_bundle(release=release, gain=1 - release / 20))

    def names() -> set[str]:
        return set(SignedSet.read(paths["repository"] / "metadata").targets.signed.targets)

    set_plan(Plan("on", 2, 1.0, 2), **paths, channel="stable", now=now)
    revoke_release(1, **where)
    assert "stable/manifest.json" in names(), "release 2's"
    publish_release(make_bundle(release=3, gain=0.7), **paths, channel="stable", now=now, roll_out=False)
    revoke_release(3, **where)
    assert {name for name in names() if name.count("/") == 1} == {"stable/policy.json"}
    assert not {name for name in names() if "/3/" in name}
    assert next_release_number(paths["repository"], "stable") == 4
    assert state_of(paths["repository"]).permitted == {"stable": (2,)}


def test_a_channel_begins_with_the_first_policy_and_none_is_named_as_the_plans_are(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    with pytest.raises(InputError, match="name that is taken"):
        publish(make_bundle(release=1, channel="rollout"), channel="rollout")
    assert not paths["repository"].exists()
    publish(make_bundle(release=1))
    assert state_of(paths["repository"]).policies == {"stable": Policy(version=1)}
    for channel, said in (("rollout", "name that is taken"), ("beta", "permits no release")):
        with pytest.raises(InputError, match=said):
            set_policy(
                lambda before: before, repository=paths["repository"], channel=channel, now=now, read=opener(paths)
            )


@pytest.fixture
def offline(paths: dict[str, Path]) -> Callable[[], None]:
    """`offline()`: the online keys are elsewhere from now on."""

    def take_away() -> None:
        for name in ONLINE:
            (paths["keys"] / f"{name}.pem").rename(paths["keys"] / f"{name}.away")

    return take_away


def bring_back(keys: Path) -> None:
    for name in ONLINE:
        (keys / f"{name}.away").rename(keys / f"{name}.pem")


def test_a_second_ceremony_away_from_the_online_keys_goes_on_from_the_first(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime, offline: Callable[[], None]
) -> None:
    for release in (1, 2, 3):
        publish(make_bundle(release=release, gain=1 - release / 20))
    offline()
    read = lambda roles: read_keys(paths["keys"], ("targets",))  # noqa: E731
    where: dict[str, Any] = {"repository": paths["repository"], "channel": "stable", "now": now, "read": read}
    set_policy(lambda before: replace(before, floor=2), **where)
    revoke_release(1, **where)
    assert next_release_number(paths["repository"], "stable") == 4
    report = publish_release(
        make_bundle(release=4, gain=0.6), **paths, channel="stable", now=now, tier="full", roll_out=False
    )
    assert (report.signed, report.waits) == (("targets",), ("targets",))
    assert next_release_number(paths["repository"], "stable") == 5, "what waits counts"
    assert state_of(paths["repository"]).permitted == {"stable": (1, 2, 3)}, "nobody is told yet"
    bring_back(paths["keys"])
    assert renew(**paths, now=now).refused == ()
    state = state_of(paths["repository"])
    assert (state.permitted, state.policies["stable"].floor) == ({"stable": (2, 3, 4)}, 2)


def test_a_ceremony_with_all_keys_announces_what_waits_too(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime, offline: Callable[[], None]
) -> None:
    publish(make_bundle(release=1))
    offline()
    read = lambda roles: read_keys(paths["keys"], ("targets",))  # noqa: E731
    where: dict[str, Any] = {"repository": paths["repository"], "channel": "stable", "now": now}
    set_policy(lambda before: replace(before, floor=1), **where, read=read)
    bring_back(paths["keys"])
    report = publish(make_bundle(release=2, gain=0.9))
    assert (report.signed[0], report.waits) == ("targets", ())
    state = state_of(paths["repository"])
    assert (state.permitted["stable"], state.policies["stable"].floor) == ((1, 2), 1)
    assert renew(**paths, now=now) == Renewal((), ())


def test_what_was_overtaken_is_said_and_stops_nothing(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    publish(make_bundle(release=1))
    pending = paths["repository"] / "metadata/pending/targets.json"
    pending.parent.mkdir()
    announced = (paths["repository"] / "metadata/1.targets.json").read_bytes()
    publish(make_bundle(release=2, gain=0.9))
    pending.write_bytes(announced + b"\n")
    with pytest.raises(InputError, match=r"what waits to be announced cannot be.*not newer than 2"):
        revoke_release(1, repository=paths["repository"], channel="stable", now=now, read=opener(paths))
    renewal = renew(**paths, now=now + timedelta(days=4))
    assert (renewal.signed, ["not newer" in each for each in renewal.refused]) == (("timestamp",), [True])
    assert not pending.exists()
    assert renew(**paths, now=now + timedelta(days=4)) == Renewal((), ())
    pending.write_bytes((paths["repository"] / "metadata/2.targets.json").read_bytes())
    assert renew(**paths, now=now + timedelta(days=4)) == Renewal((), ()), "cut off after it was announced"
    assert not pending.exists()


def test_what_waits_and_would_leave_rollouts_unsigned_is_refused(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    """Rightly signed, and of before the rollouts' key: every device would refuse the repository."""
    publish(make_bundle(release=1))
    signed_set = SignedSet.read(paths["repository"] / "metadata")
    signed_set.drop_key("rollout", *signed_set.keyids("rollout"))
    signed_set.sign(read_keys(paths["keys"], ("targets",)), now=now, changed=("targets",))
    renewal = renew(**paths, now=now)
    assert (renewal.signed, len(renewal.refused)) == ((), 1)
    assert state_of(paths["repository"]).releases == {"stable": 1}


def test_a_clock_that_went_back_signs_no_timestamp(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    publish(make_bundle(release=1))
    late = (now + timedelta(days=40)).replace(microsecond=0)
    assert "timestamp" in renew(**paths, now=late).signed
    before = snapshot_of(paths["repository"] / "metadata")
    with pytest.raises(InputError) as refused:
        set_plan(Plan("on", 1, 0.5, 1), **paths, channel="stable", now=now)
    assert late.isoformat() in str(refused.value)
    assert now.replace(microsecond=0).isoformat() in str(refused.value)
    assert snapshot_of(paths["repository"] / "metadata") == before
    assert set_plan(Plan("on", 1, 0.5, 1), **paths, channel="stable", now=late - timedelta(minutes=50))
    rotate_key("timestamp", **paths, now=now)  # with which devices forget the wrong time
    assert set_plan(Plan("on", 1, 0.6, 1), **paths, channel="stable", now=now)


def test_one_of_roots_keys_may_be_lost(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    publish(make_bundle(release=1))
    (paths["keys"] / "root-2.pem").unlink()
    assert publish(make_bundle(release=2, gain=0.9)).published
    assert renew(**paths, now=now + timedelta(days=190)) == Renewal(
        ("root", "targets", "rollout", "snapshot", "timestamp"), offline=()
    )


def test_a_repository_of_before_gets_its_rollouts_away_from_the_online_keys(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    of_before(paths, make_bundle(release=4), now)
    for name in ("snapshot", "timestamp"):
        (paths["keys"] / f"{name}.pem").rename(paths["keys"] / f"{name}.away")
    report = publish(make_bundle(release=5, gain=0.9))
    assert report.waits == ("targets", "rollout")
    assert state_of(paths["repository"]).plans == {}, "nobody is told yet"
    for name in ("snapshot", "timestamp"):
        (paths["keys"] / f"{name}.away").rename(paths["keys"] / f"{name}.pem")
    left = (paths["repository"] / "metadata/pending/rollout.json").rename(paths["keys"] / "kept.json")
    assert ["have signed nothing" in each for each in renew(**paths, now=now).refused] == [True], "half of it"
    left.rename(paths["repository"] / "metadata/pending/rollout.json")
    assert renew(**paths, now=now) == Renewal(("targets", "rollout", "snapshot", "timestamp"), ())
    assert state_of(paths["repository"]).plans["stable"].release == 5


def test_what_waits_and_cannot_be_read_stops_no_timestamp(
    make_bundle: Make, paths: dict[str, Path], publish: Publish, now: datetime
) -> None:
    publish(make_bundle(release=1))
    (paths["repository"] / "metadata/pending/targets.json").mkdir(parents=True)
    (paths["repository"] / "metadata/pending/rollout.json").write_text("null")
    renewal = renew(**paths, now=now + timedelta(days=4))
    assert (renewal.signed, len(renewal.refused)) == (("timestamp",), 2)
