from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from edgewright.device.cli import main
from edgewright.device.diagnostics import diagnostics
from edgewright.device.home import DeviceConfig, init_home
from edgewright.release.repository import ReleaseReport
from tests.edgewright.device.conftest import Device

Make = Callable[..., Path]


def test_what_is_told_and_what_is_not(
    make_bundle: Make, publish: Callable[..., ReleaseReport], make_device: Callable[..., Device], tmp_path: Path
) -> None:
    published = publish(make_bundle(release=1))
    device = make_device()
    device.update()
    device.start_and_commit()
    config = DeviceConfig("device-0", "http://me:secret@releases.example/belt", "stable")
    home = init_home(device.home.root, trust_root=device.home.trust_root, config=config, files=device.home.files)
    (home.root / "outbox.sqlite").unlink()
    (home.root / "outbox.sqlite").mkdir()
    told = diagnostics(home)
    assert "secret" not in json.dumps(told)
    assert (told["slots"]["a"]["release"], told["slots"]["a"]["digest"], told["slots"]["b"]) == (
        1,
        published.digest,
        None,
    )
    assert told["state"]["active"] == told["state"]["proven"] == "a"
    assert told["metadata"]["version"] == 1
    assert told["waiting"].startswith("cannot be read")
    assert told["wish"] == "follows the plan"


def test_its_command_and_that_of_wishes(
    make_bundle: Make,
    publish: Callable[..., ReleaseReport],
    make_device: Callable[..., Device],
    tmp_path: Path,
    capsys: object,
) -> None:
    publish(make_bundle(release=1))
    home = str(make_device().home.root)
    assert main(["wish", "--home", home, "--pin", "3", "--window", "22-6"]) == 0
    assert main(["diagnostics", "--home", home, "--out", str(tmp_path / "told.json")]) == 0
    wish = json.loads((tmp_path / "told.json").read_text())["wish"]
    assert wish == "runs release 3, fetches from 22 to 6 o'clock"
    assert main(["wish", "--home", home, "--window", "late"]) == 2
    assert main(["wish", "--home", home, "--go"]) == 0
    assert main(["diagnostics", "--home", home]) == 0
