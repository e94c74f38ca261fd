"""Keys are replaced while devices look on; cut off at any step, the same command ends it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home
from edgewright.device.offer import Plan
from edgewright.device.trust import open_channel
from edgewright.errors import InputError
from edgewright.release import ceremony, metadata
from edgewright.release.ceremony import init_repository, rotate_key, verify_repository
from edgewright.release.keys import KEY_NAMES, read_keys
from edgewright.release.repository import ReleaseReport, publish_release, set_plan, state_of
from edgewright.release.server import serve_repository

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
    role = next(role for role, names in KEY_NAMES.items() if name in names)
    with pytest.raises(InputError, match=f"the {role} keys are not this repository's"):
        set_or_publish(role, {**paths, "keys": tmp_path / "stolen"}, make_bundle, now)


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
