from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.device.core import State
from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home, locked, open_home
from edgewright.device.slots import Slots
from edgewright.errors import HomeBusy, InputError
from tests.cut_points import CountCutPoints
from tests.disks import CUTS, CutFiles, PowerCut


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    config = DeviceConfig("device-0", "http://127.0.0.1:1", "stable")
    return Slots(init_home(tmp_path / "home", trust_root=b"{}", config=config, files=Files()))


def fill(slots: Slots, slot: str, bundle: Path) -> None:
    for path in sorted(bundle.rglob("*")):
        target = slots.folder(slot) / path.relative_to(bundle)
        target.mkdir(exist_ok=True) if path.is_dir() else target.write_bytes(path.read_bytes())


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 200, b'{"state": {}, "sha256": ""}', None])
def test_a_damaged_state_is_rebuilt_from_the_slots(
    slots: Slots, make_bundle: Callable[..., Path], damage: bytes | None
) -> None:
    fill(slots, "a", make_bundle(release=4))
    fill(slots, "b", make_bundle(release=3))
    if damage is not None:
        (slots.home.root / "state.json").write_bytes(damage)
    # the newer one, on trial: should it fail, the older one is known
    assert slots.state() == State(active="a", proven="b")


@pytest.mark.parametrize("damage", [b"", b"\0" * 200, b'{"state": {}, "sha256": ""}', None])
def test_a_damaged_state_is_read_from_its_copy(
    slots: Slots, make_bundle: Callable[..., Path], damage: bytes | None
) -> None:
    """What the slots hold does not say which release was committed, what failed, or what the floor is."""
    fill(slots, "a", make_bundle(release=4))
    fill(slots, "b", make_bundle(release=3))
    state = slots.save(State(active="b", proven="b", floor=2, policy=3, failed=("m",), seen=9, seen_by="k"))
    spoil(slots.home.root / "state.json", damage)
    assert slots.state() == state
    spoil(slots.home.root / "state.bak", damage)
    assert slots.state() == State(active="a", proven="b"), "the last resort"


def spoil(path: Path, damage: bytes | None) -> None:
    path.unlink() if damage is None else path.write_bytes(damage)


@pytest.mark.power
@pytest.mark.parametrize("disk", CUTS)
@pytest.mark.parametrize("damaged", ["", "state.json", "state.bak"])
def test_the_power_fails_at_every_write_of_a_state(
    slots: Slots, disk: type[CutFiles], damaged: str, cut_points: CountCutPoints
) -> None:
    """Old or new; also where afterwards one of the two files is lost."""
    old, new = State("a", "a", floor=1), State("b", "a", floor=2)
    counting = CutFiles()
    Slots(replace(slots.home, files=counting)).save(new)
    for at in disk.points(counting):
        slots.save(old)
        with pytest.raises(PowerCut):
            Slots(replace(slots.home, files=disk(at))).save(new)
        if damaged:
            (slots.home.root / damaged).write_bytes(b"")
        assert slots.state() in (old, new), f"call {at}"
    cut_points("state" + f", {damaged} lost" * bool(damaged), disk.kind, len(disk.points(counting)))


def test_a_rebuilt_state_never_names_a_withdrawn_or_damaged_slot(
    slots: Slots, make_bundle: Callable[..., Path]
) -> None:
    fill(slots, "a", make_bundle(release=1))
    fill(slots, "b", make_bundle(release=2))
    slots.withdraw("b")
    assert slots.state() == State(active="a", proven="a")
    with (slots.folder("a") / "model.onnx").open("ab") as stream:
        stream.write(b"\0")
    assert slots.state() == State()


def test_one_agent_a_home(slots: Slots) -> None:
    with locked(slots.home), pytest.raises(HomeBusy), locked(slots.home):
        pass
    with locked(slots.home):
        pass


def test_init_again_moves_the_server_and_keeps_the_trust_root(slots: Slots) -> None:
    root = slots.home.root
    moved = DeviceConfig("device-0", "https://release.example:8443/edge", "beta")
    init_home(root, trust_root=b"{}", config=moved, files=Files())
    assert open_home(root, files=Files()).config == moved
    for trust_root, device_id in ((b"{} ", "device-0"), (b"{}", "device-1")):
        config = DeviceConfig(device_id, "http://127.0.0.1:1", "stable")
        with pytest.raises(InputError, match="another device"):
            init_home(root, trust_root=trust_root, config=config, files=Files())


@pytest.mark.parametrize(
    ("device_id", "server_url", "channel"),
    [
        ("../x", "http://h", "stable"),  # would leave the reports' folder
        ("", "http://h", "stable"),
        ("d", "file:///etc/passwd", "stable"),  # not a server
        ("d", "http://", "stable"),
        ("d", "http://h?x=1", "stable"),
        ("d", "http://h", "Stable/.."),
    ],
)
def test_a_config_that_is_refused(device_id: str, server_url: str, channel: str) -> None:
    with pytest.raises(InputError):
        DeviceConfig(device_id, server_url, channel)
    with pytest.raises(InputError, match="not a tier"):
        DeviceConfig("d", "http://h", "stable", tier="huge")


def test_a_folder_that_was_never_initialized(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a device's folder.*init"):
        open_home(tmp_path, files=Files())
