"""A device in this process and a real server beside it: what the agent does, without a process a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.device.core import State
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, Home, init_home
from edgewright.device.slots import Slots
from edgewright.device.start import Started, commit, start
from edgewright.device.updater import Update, update
from edgewright.release.server import RepositoryServer, serve_repository
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.selftest import SelfTest, run_selftest


def selftest_here(folder: Path) -> SelfTest:
    """The real self-test, without the child process, which costs a second a call; once for the same files."""
    bundle = Bundle.load(folder)
    if bundle.manifest_sha256 not in _TESTED:
        _TESTED[bundle.manifest_sha256] = run_selftest(bundle)
    return _TESTED[bundle.manifest_sha256]


_TESTED: dict[str, SelfTest] = {}


class Device:
    """One device folder and the commands of its agent."""

    def __init__(self, root: Path, *, trust_root: bytes, server_url: str, files: Files | None = None) -> None:
        self.home: Home = init_home(
            root,
            trust_root=trust_root,
            config=DeviceConfig("device-0", server_url, "stable"),
            files=files or Files(),
        )

    @property
    def slots(self) -> Slots:
        return Slots(self.home)

    @property
    def state(self) -> State:
        """Without the channel, its policy, what was offered there last, and when and by whom that was signed."""
        return replace(self.slots.state(), channel="", policy=0, offered=0, offered_manifest="", seen=0, seen_by="")

    @property
    def running(self) -> int:
        """The release number in the active slot; 0 where none loads."""
        bundle = self.slots.bundle(self.slots.state().active)
        return bundle.manifest.release if bundle else 0

    def update(self) -> Update:
        return update(self.home, selftest=selftest_here)

    def start(self) -> Started:
        return start(self.slots, selftest=selftest_here)

    def start_and_commit(self) -> Started:
        started = self.start()
        commit(self.slots)
        return started


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RepositoryServer]:
    (tmp_path / "repository").mkdir()
    with serve_repository(tmp_path / "repository", reports=tmp_path / "reports") as running:
        yield running


@pytest.fixture
def make_device(tmp_path: Path, server: RepositoryServer) -> Callable[..., Device]:
    """`make_device("name", files=…)` => a device that trusts the repository in `tmp_path`."""

    def make(name: str = "device", *, files: Files | None = None) -> Device:
        trust_root = (tmp_path / "repository/metadata/1.root.json").read_bytes()
        return Device(tmp_path / name, trust_root=trust_root, server_url=server.url, files=files)

    return make
