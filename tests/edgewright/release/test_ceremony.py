"""Keys are replaced while devices look on; cut off at any step, the same command ends it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgewright.cli import ceremonies, main
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home
from edgewright.device.offer import Plan
from edgewright.device.trust import open_channel
from edgewright.errors import InputError, UpdateRefused
from edgewright.release import ceremony, metadata
from edgewright.release.ceremony import init_repository, rotate_key, verify_repository
from edgewright.release.keys import KEY_NAMES, ONLINE, Keys, read_keys, read_one
from edgewright.release.metadata import SignedSet
from edgewright.release.repository import ReleaseReport, publish_release, renew, set_plan, set_policy, state_of
from edgewright.release.server import serve_repository
from edgewright.settings import read_settings

NAMES = [name for names in KEY_NAMES.values() for name in names]
Publish = Callable[..., ReleaseReport]


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    return {"repository": tmp_path / "repository", "keys": tmp_path / "keys"}


def offered(tmp_path: Path, *, fresh: bool = False) -> int:
    """The release that a device is offered which took its first root at the beginning."""
    root = (tmp_path / "first.root.json").read_bytes()
    folder = tmp_path / ("fresh" if fresh else "device")
    shutil.rmtree(folder, ignore_errors=fresh) if fresh else None
    with serve_repository(tmp_path / "repository", reports=tmp_path / "reports") as server:
        config = DeviceConfig("line-1", server.url, "stable")
        home = init_home(folder, trust_root=root, config=config, files=Files())
        with open_channel(home) as channel:
            return channel.offer_to("line-1", running=0).release


def test_a_repository_begins_with_nothing_permitted(paths: dict[str, Path], make_bundle: Any, now: datetime) -> None:
    assert init_repository(**paths, now=now) == ("root", "targets", "rollout", "snapshot", "timestamp")
    assert verify_repository(paths["repository"], now=now) == ()
    with pytest.raises(InputError, match="a repository already"):
        init_repository(**paths, now=now)
    report = publish_release(make_bundle(release=1), **paths, channel="stable", now=now)
    assert (report.version, report.published) == (1, True)
    assert state_of(paths["repository"]).releases == {"stable": 1}


@pytest.mark.parametrize("name", NAMES)
def test_any_key_is_replaced_and_devices_follow(
    paths: dict[str, Path], make_bundle: Any, publish: Publish, tmp_path: Path, now: datetime, name: str
) -> None:
    publish(make_bundle(release=1))
    shutil.copy(paths["repository"] / "metadata/1.root.json", tmp_path / "first.root.json")
    assert offered(tmp_path) == 1
    shutil.copytree(paths["keys"], tmp_path / "stolen")
    rotate_key(name, **paths, now=now)
    assert sorted(path.stem for path in paths["keys"].glob("*.pem")) == sorted(NAMES), "nothing is left over"
    assert offered(tmp_path) == offered(tmp_path, fresh=True) == 1
    publish(make_bundle(release=2, gain=0.9))
    assert offered(tmp_path) == 2
    role = role_of(name)
    with pytest.raises(InputError, match=f"the {role} keys are not this repository's"):
        set_or_publish(role, {**paths, "keys": tmp_path / "stolen"}, make_bundle, now)


def role_of(name: str) -> str:
    return next(role for role, names in KEY_NAMES.items() if name in names)


@pytest.mark.parametrize("name", NAMES)
def test_a_device_refuses_what_a_replaced_key_signs_past_our_own_checks(
    paths: dict[str, Path],
    make_bundle: Any,
    publish: Publish,
    tmp_path: Path,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """Whoever stole it has all the other roles' keys besides, and of root's as many as do not suffice alone."""
    publish(make_bundle(release=1))
    shutil.copy(paths["repository"] / "metadata/1.root.json", tmp_path / "first.root.json")
    stolen, role = read_one(paths["keys"], name), role_of(name)
    rotate_key(name, **paths, now=now)
    assert offered(tmp_path) == 1
    real = read_keys(paths["keys"])
    others = tuple(each for each, of in zip(real["root"], KEY_NAMES["root"], strict=True) if of != name)
    theirs: Keys = {**real, "root": others[:1], role: (stolen, *others[:1]) if role == "root" else (stolen,)}
    signing = {each: theirs[each] for each in dict.fromkeys((role, "snapshot", "timestamp"))}
    assert sign_anew(paths["repository"], real, role, now)
    assert offered(tmp_path) == 1, "which the right keys sign is taken"
    monkeypatch.setattr(SignedSet, "_check_keys", lambda *_: None)
    assert sign_anew(paths["repository"], signing, role, now)
    for fresh in (False, True):
        with pytest.raises(UpdateRefused, match=r"Unsigned.*signed by [01]/[12] keys"):
            offered(tmp_path, fresh=fresh)


def sign_anew(repository: Path, keys: Keys, role: str, now: datetime) -> tuple[str, ...]:
    changed = {role, "timestamp"} if role != "timestamp" else {role}
    return SignedSet.read(repository / "metadata").sign(keys, now=now, changed=changed)


def set_or_publish(role: str, paths: dict[str, Path], make_bundle: Any, now: datetime) -> None:
    if role in ("root", "targets"):
        publish_release(make_bundle(release=3, gain=0.8), **paths, channel="stable", now=now)
    else:
        set_plan(Plan("theirs", 1, 1.0, 1), **paths, channel="stable", now=now)


@pytest.mark.parametrize("name", ["root-2", "targets", "rollout", "timestamp"])
def test_cut_off_anywhere_devices_still_accept_it_and_the_same_command_ends_it(
    paths: dict[str, Path],
    make_bundle: Any,
    publish: Publish,
    tmp_path: Path,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    publish(make_bundle(release=1))
    shutil.copy(paths["repository"] / "metadata/1.root.json", tmp_path / "first.root.json")
    for folder in ("repository", "keys"):
        shutil.copytree(tmp_path / folder, tmp_path / f"{folder}-before")
    write, replace = metadata.write_atomically, os.replace
    cut = 0
    while True:
        for folder in ("repository", "keys", "device"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
        for folder in ("repository", "keys"):
            shutil.copytree(tmp_path / f"{folder}-before", tmp_path / folder)
        left = cut

        def count(*_: Any, **__: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

        monkeypatch.setattr(metadata, "write_atomically", lambda *a, **k: (count(), write(*a, **k)))
        monkeypatch.setattr(ceremony.os, "replace", lambda *a: (count(), replace(*a)))
        try:
            rotate_key(name, **paths, now=now)
            ended = True
        except KeyboardInterrupt:
            ended = False
        monkeypatch.setattr(metadata, "write_atomically", write)
        monkeypatch.setattr(ceremony.os, "replace", replace)
        if ended:
            break
        assert offered(tmp_path) == 1, f"cut at {cut}"
        rotate_key(name, **paths, now=now)
        assert offered(tmp_path) == 1, f"continued after {cut}"
        assert verify_repository(paths["repository"], now=now) == ()
        read_keys(paths["keys"])
        cut += 1
    assert cut >= 3


def test_what_is_wrong_is_said(
    paths: dict[str, Path], make_bundle: Any, publish: Publish, tmp_path: Path, now: datetime
) -> None:
    publish(make_bundle(release=1))
    repository = paths["repository"]
    assert verify_repository(repository, now=now) == ()
    later = verify_repository(repository, now=now + timedelta(days=340))
    assert [line.split()[0] for line in later] == ["root", "targets", "rollout", "snapshot", "timestamp"]
    assert "keys are kept offline" in later[0]
    assert "has expired" in later[-1]
    model = next((repository / "targets/stable/full/1").glob("*.model.onnx"))
    model.write_bytes(b"x")
    next((repository / "targets/rollout").iterdir()).unlink()
    wrong = verify_repository(repository, now=datetime.now(UTC))
    assert wrong == (
        "rollout/stable.json is signed and not there: No such file or directory",
        "stable/full/1/model.onnx is not what is signed",
    )


def test_an_unknown_key(paths: dict[str, Path], publish: Publish, make_bundle: Any, now: datetime) -> None:
    publish(make_bundle())
    with pytest.raises(InputError, match=r"not a key's name.*root-1.*got door"):
        rotate_key("door", **paths, now=now)


def cut_off(*_: Any) -> None:
    raise KeyboardInterrupt


def lose(folder: Path, names: set[str]) -> None:
    for name in names:
        (folder / f"{name}.pem").unlink()


@pytest.mark.parametrize("lost", ["root-1", "root-2", "root-3"])
@pytest.mark.parametrize("name", ["root-1", "root-2", "root-3", "timestamp"])
def test_a_key_is_replaced_with_two_of_roots_three(
    paths: dict[str, Path], make_bundle: Any, publish: Publish, tmp_path: Path, now: datetime, name: str, lost: str
) -> None:
    publish(make_bundle(release=1))
    shutil.copy(paths["repository"] / "metadata/1.root.json", tmp_path / "first.root.json")
    before = {each: read_one(paths["keys"], each).public_key.keyid for each in KEY_NAMES["root"]}
    lose(paths["keys"], {lost})
    rotate_key(name, **paths, now=now)
    keyids = SignedSet.read(paths["repository"] / "metadata").keyids("root")
    here = {signer.public_key.keyid for signer in read_keys(paths["keys"])["root"]}
    assert len(keyids) == 3
    assert here <= keyids
    assert {each for each, keyid in before.items() if keyid not in keyids} == {name} & set(KEY_NAMES["root"])
    assert offered(tmp_path) == offered(tmp_path, fresh=True) == 1


def test_a_lost_key_is_replaced_also_after_a_cut(
    paths: dict[str, Path], make_bundle: Any, publish: Publish, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(make_bundle(release=1))
    lost = read_one(paths["keys"], "root-2").public_key.keyid
    (paths["keys"] / "root-2.pem").unlink()

    monkeypatch.setattr(SignedSet, "drop_key", cut_off)
    with pytest.raises(KeyboardInterrupt):
        rotate_key("root-2", **paths, now=now)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"another rotation was cut off.*got root-2.*rotate-key root-2"):
        rotate_key("root-3", **{**paths, "keys": copied_with(paths["keys"], "root-2")}, now=now)
    rotate_key("root-2", **paths, now=now)
    keyids = SignedSet.read(paths["repository"] / "metadata").keyids("root")
    assert (len(keyids), lost in keyids) == (3, False)
    assert keyids == {signer.public_key.keyid for signer in read_keys(paths["keys"])["root"]}


def copied_with(keys: Path, name: str) -> Path:
    """The keys where the old file turned up again."""
    folder = keys.with_name("found")
    shutil.copytree(keys, folder)
    shutil.copy(folder / f"{name}.next.pem", folder / f"{name}.pem")
    return folder


def test_no_new_key_is_made_before_the_others_are_opened(
    paths: dict[str, Path], make_bundle: Any, publish: Publish, now: datetime
) -> None:
    publish(make_bundle(release=1))
    lose(paths["keys"], {"root-1", "root-2"})
    with pytest.raises(InputError, match="a signing key is missing"):
        rotate_key("timestamp", **paths, now=now)
    assert not list(paths["keys"].glob("*.next.pem"))


def by_persons(paths: dict[str, Path], make_bundle: Any, now: datetime) -> None:
    """A repository whose offline keys open by `of <name>`, of `stable` with release 1."""
    init_repository(**paths, now=now, passphrase=old_words)
    publish_release(make_bundle(release=1), **paths, channel="stable", now=now, passphrase=old_words)


def old_words(name: str) -> bytes:
    return f"of {name}".encode()


@pytest.mark.parametrize("name", ["root-2", "targets"])
def test_a_persons_key_is_followed_by_a_persons_key(
    paths: dict[str, Path], make_bundle: Any, now: datetime, name: str
) -> None:
    by_persons(paths, make_bundle, now)
    asked: list[str] = []

    def known(of: str) -> bytes:
        asked.append(of)
        return old_words(of)

    with pytest.raises(InputError, match=rf"a key needs a passphrase.*{name}\.next\.pem"):
        rotate_key(name, **paths, now=now, passphrase=known, new_passphrase=lambda _: b"")
    assert not list(paths["keys"].glob("*.next.pem")), "no key that the secret opens"
    asked.clear()
    rotate_key(name, **paths, now=now, passphrase=known, new_passphrase=lambda _: b"new words")
    assert len(asked) == len(set(asked)), "once a key"
    assert not [each for each in asked if each.endswith(".next")], "what was just typed is not asked for again"
    with pytest.raises(InputError, match="only a passphrase opens"):
        read_one(paths["keys"], name)
    read_one(paths["keys"], name, passphrase=lambda _: b"new words")
    assert verify_repository(paths["repository"], now=now) == ()


def test_a_new_key_that_is_not_opened_is_named(
    paths: dict[str, Path], make_bundle: Any, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_persons(paths, make_bundle, now)
    words: dict[str, Any] = {"passphrase": old_words, "new_passphrase": lambda _: b"new words"}
    with monkeypatch.context() as cut:
        cut.setattr(SignedSet, "drop_key", cut_off)
        with pytest.raises(KeyboardInterrupt):
            rotate_key("targets", **paths, now=now, **words)
    with pytest.raises(InputError, match=r"a rotation left is not opened.*targets\.next\.pem.*say the passphrase of"):
        rotate_key("targets", **paths, now=now, **words)
    words["passphrase"] = lambda name: b"new words" if name == "targets.next" else old_words(name)
    rotate_key("targets", **paths, now=now, **words)
    assert verify_repository(paths["repository"], now=now) == ()


def test_what_the_secret_opens_is_replaced_unattended_and_plain_keys_are_encrypted_then(
    paths: dict[str, Path], make_bundle: Any, publish: Publish, now: datetime
) -> None:
    def nobody(name: str) -> bytes:
        raise AssertionError(f"asked for {name}")

    publish(make_bundle(release=1))
    for signer, name in zip(read_keys(paths["keys"], ("root",))["root"], KEY_NAMES["root"], strict=True):
        (paths["keys"] / f"{name}.pem").write_bytes(signer.private_bytes)  # as they were before there was a secret
    for name in ("root-1", "targets", "snapshot"):
        rotate_key(name, **paths, now=now, passphrase=nobody, new_passphrase=nobody)
        assert b"ENCRYPTED" in (paths["keys"] / f"{name}.pem").read_bytes()
    assert b"ENCRYPTED" not in (paths["keys"] / "root-2.pem").read_bytes()


def leave_a_floor(paths: dict[str, Path], now: datetime) -> None:
    read = lambda roles: read_keys(paths["keys"], ("targets",))  # noqa: E731
    change = lambda before: replace(before, floor=1)  # noqa: E731
    set_policy(change, repository=paths["repository"], channel="stable", now=now, read=read)


def test_no_key_is_replaced_while_something_waits(
    paths: dict[str, Path], make_bundle: Any, publish: Publish, now: datetime
) -> None:
    publish(make_bundle(release=1))
    leave_a_floor(paths, now)
    with pytest.raises(InputError, match=r"waits to be announced.*pending/targets\.json.*release renew"):
        rotate_key("targets", **paths, now=now)
    assert renew(**paths, now=now).signed
    rotate_key("targets", **paths, now=now)
    assert state_of(paths["repository"]).policies["stable"].floor == 1


def test_what_waits_is_not_said_to_be_out(
    tmp_path: Path, make_bundle: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home")})
    monkeypatch.setattr(ceremonies, "home_settings", lambda: settings)

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["release", *words])
        captured = capsys.readouterr()
        assert not ended.value.code, captured.err
        return captured.out

    belt = ("--project", "belt")
    run("init", "belt", "--unattended")
    assert "full, permitted; signed targets, snapshot, timestamp" in run("publish", str(make_bundle(release=1)), *belt)
    for name in ONLINE:
        (settings.keys / f"belt/{name}.pem").unlink()
    waits = "targets waits in metadata/pending/: run `edgewright release renew` where the online keys are"
    said = run("publish", str(make_bundle(release=2, gain=0.9)), *belt)
    assert said == f"stable release 2, full, is permitted once that is announced; {waits}\n"
    assert run("floor", "2", *belt) == f"stable: no release below 2, once that is announced; {waits}\n"
    assert run("revoke", "1", *belt) == f"stable release 1 is permitted until that is announced; {waits}\n"
