"""`edgewright-device`: the agent's commands. One sentence on stderr for an error, exit codes as in `errors.py`.

    init       --home DIR --root FILE --server URL --device-id ID [--channel NAME] [--tier NAME]
    enroll     --home DIR --token FILE [--device-id ID]
    check-in   [--home DIR]
    update     [--home DIR] [--again] [--from FOLDER]
    wish       [--home DIR] [--go] [--hold] [--pin N] [--window H-H]
    diagnostics [--home DIR] [--out FILE]
    run        [--home DIR] --feed DIR --out DIR [--frames N] [--threads N] [--limit-ms MS]
    benchmark  [--home DIR]
    status     [--home DIR] [--json]
    self-test  BUNDLE [--json]
    engines    BUNDLE [--json]

DIR is a device's folder, or a folder of such folders: `status` tells of all of them, the others want to find one alone.

Decides nothing that the rooms below have not decided. Refuses a trust root from the network: it is what everything else
is checked against, so a person or the installer puts it on the device.

>>> main(["status", "--home", "device"])
device_id      line-1
...
0
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import edgewright
from edgewright.device.diagnostics import diagnostics
from edgewright.device.engine import engine_for, keep_fastest
from edgewright.device.files import Files
from edgewright.device.home import (
    CONFIG_FILE,
    MAX_ROOT_BYTES,
    DeviceConfig,
    Home,
    init_home,
    keep_wish,
    locked,
    open_home,
    wish_of,
)
from edgewright.device.offer import NO_WISH, TIERS, Wish
from edgewright.device.process import ENGINES_MEMORY_BYTES, limit_this_process, network_environment, within
from edgewright.device.report import TELL_S, DeviceReport, send
from edgewright.device.runner import frames_of, run_feed
from edgewright.device.slots import Slots
from edgewright.device.standing import describe, running, shown
from edgewright.device.start import commit, start
from edgewright.device.token import MAX_TOKEN_CHARACTERS, Token
from edgewright.errors import EdgewrightError, InputError, StoreUnavailable
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine
from edgewright.runtime.fastest import Fastest, fastest
from edgewright.runtime.selftest import SelfTest, run_selftest

UPDATE_S = 1800.0
"""The self-test's own time is within it: on the slowest device that is a minute."""


def main(argv: Sequence[str] | None = None, *, devices: Path = Path()) -> int:
    """Run one command; its exit code. `devices`: where to look for a device that no `--home` names."""
    arguments = _parser(devices).parse_args(argv)
    network_environment()
    try:
        return int(arguments.command(arguments))
    except EdgewrightError as error:
        print(f"edgewright-device: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"edgewright-device: {StoreUnavailable('the disk cannot be used', got=error)}", file=sys.stderr)
        return 1


def _init(arguments: argparse.Namespace) -> int:
    config = DeviceConfig(arguments.device_id, arguments.server, arguments.channel, arguments.tier)
    init_home(arguments.home, trust_root=_trust_root(arguments.root), config=config, files=Files())
    print(f"{config.device_id} trusts {arguments.root} and pulls {config.channel} from {config.server_url}")
    return 0


def _enroll(arguments: argparse.Namespace) -> int:
    from edgewright.device.enroll import enroll

    token = Token.from_text(sys.stdin.readline() if arguments.token == "-" else _first_line(Path(arguments.token)))
    with within(TELL_S, "enrolling"):
        home = enroll(arguments.home, token, files=Files(), device_id=arguments.device_id)
    config = home.config
    print(f"{config.device_id} is of the fleet at {config.collector_url}")
    print(f"it pulls {config.channel} from {config.server_url}")
    return 0


def _check_in(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    with locked(home):
        why = send(home, running(home, "check-in"))
    print(f"not told: {why}" if why else "told all that there was")
    return 1 if why else 0


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")[: 2 * MAX_TOKEN_CHARACTERS]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("the token cannot be read", got=error, where=path) from error


def _update(arguments: argparse.Namespace) -> int:
    # Not at import: a start, a status and the self-test need no TUF, and it is a quarter of the agent's import time.
    from edgewright.device.updater import update

    home = open_home(_one_device(arguments.home), files=Files())
    with locked(home):
        try:
            with within(UPDATE_S, "the update"):
                done = update(home, again=arguments.again, folder=arguments.folder)
        except EdgewrightError as error:
            _tell(home, replace(running(home, "update"), refused=str(error)))
            raise
        _tell(home, replace(running(home, "update"), selftest=done.selftest))
        bundle = Slots(home).bundle(done.slot)
        if done.changed and bundle is not None:
            keep_fastest(home, bundle)
    state = "already current" if not done.changed else "installed, on trial" if done.selftest else "runs again"
    print(f"release {done.release} {state} in slot {done.slot}, {done.downloaded_bytes} bytes downloaded")
    return 0


def _wish(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    with locked(home):
        given = {"hold": arguments.hold or None, "pin": arguments.pin, "window": arguments.window}
        changes = {name: value for name, value in given.items() if value is not None}
        if arguments.go or changes:
            keep_wish(home, replace(_wish_before(home, go=arguments.go), **changes))
        print(wish_of(home))
    return 0


def _wish_before(home: Home, *, go: bool) -> Wish:
    """What is kept; `go` clears hold and pin, and all of it where it cannot be read. Raises InputError there else."""
    try:
        kept_wish = wish_of(home)
    except InputError:
        if not go:
            raise
        return NO_WISH
    return replace(kept_wish, hold=False, pin=0) if go else kept_wish


def _diagnostics(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    payload = json.dumps(diagnostics(home), indent=1, sort_keys=True)
    if arguments.out:
        arguments.out.write_text(payload + "\n", encoding="utf-8")
    print(f"written to {arguments.out}" if arguments.out else payload)
    return 0


def _benchmark(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    with locked(home):
        slots = Slots(home)
        bundle = slots.bundle(slots.state().active)  # without a start, which a release on trial has three of
        if bundle is None:
            raise InputError("no whole release is installed", where=home.root, next_step="edgewright-device update")
        found = keep_fastest(home, bundle)
    _print_engines(found)
    return 0


def _engines(arguments: argparse.Namespace) -> int:
    limit_this_process(memory_bytes=ENGINES_MEMORY_BYTES)
    found = fastest(Bundle.load(arguments.bundle))
    if arguments.json:
        print(json.dumps(found.to_json()))
    else:
        _print_engines(found)
    return 0


def _print_engines(found: Fastest) -> None:
    for row in found.rows:
        took = f"{row.median_ms:8.2f} ms" if row.median_ms is not None else f"{'-':>11}"
        print("  ".join(filter(None, [took, str(row.engine), "(taken)" * (row.engine == found.engine), row.problem])))


def _run(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    frames_of(arguments.feed, limit=arguments.frames)  # before the start, which counts where a release is on trial
    with locked(home):
        slots = Slots(home)
        started = start(slots)
        feed = run_feed(
            started.bundle,
            arguments.feed,
            arguments.out,
            files=home.files,
            on_frame=lambda done: commit(slots) if done == 1 else None,
            limit=arguments.frames,
            engine=Engine(threads=arguments.threads) if arguments.threads else engine_for(home, started.bundle),
            limit_ms=arguments.limit_ms,
        )
        report = replace(running(home, "run"), selftest=started.selftest, feed=feed, fell_back=started.fell_back)
        _tell(home, report)
    print(
        f"release {report.release} in slot {report.slot}: {feed.detections} detections on {feed.frames} frames,"
        f" {feed.p50_ms:.1f} ms (p99 {feed.p99_ms:.1f} ms)"
    )
    print(feed.times)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    folders = _devices_in(arguments.home)
    states = [describe(open_home(folder, files=Files())) for folder in folders]
    if arguments.json:
        print(json.dumps(states[0] if folders == [arguments.home] else states, indent=1, sort_keys=True))
        return 0
    for number, state in enumerate(states):
        print(end="\n" if number else "")
        for name, value in state.items():
            print(f"{name:14} {shown(name, value)}")
    return 0


def _self_test(arguments: argparse.Namespace) -> int:
    limit_this_process()
    try:
        result = run_selftest(Bundle.load(arguments.bundle))
    except EdgewrightError as error:
        result = SelfTest.failed(str(error))
    verdict = "passed" if result.passed else "failed: " + "; ".join(result.reasons)
    print(json.dumps(result.to_json()) if arguments.json else f"self-test {verdict}")
    return 0 if result.passed else 1


def _tell(home: Home, report: DeviceReport) -> None:
    """Where it cannot be told now, that is said: the device goes on."""
    if why := send(home, report):
        print(f"edgewright-device: not told: {why}", file=sys.stderr)


def _devices_in(folder: Path) -> list[Path]:
    """The folder where it is a device's or has none in it, else those of the devices in it."""
    inside = sorted(path.parent for path in folder.glob(f"*/{CONFIG_FILE}"))
    return [folder] if (folder / CONFIG_FILE).exists() or not inside else inside


def _one_device(folder: Path) -> Path:
    """Raises InputError where there are several to choose from."""
    found = _devices_in(folder)
    if len(found) > 1:
        known = ", ".join(path.name for path in found)
        next_step = f"--home {found[0]}"
        raise InputError("several devices", expected="one", got=known, where=folder, next_step=next_step)
    return found[0]


def _trust_root(path: Path) -> bytes:
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root
    from tuf.api.serialization import DeserializationError

    try:
        with path.open("rb") as stream:
            payload = stream.read(MAX_ROOT_BYTES + 1)
        root = Metadata[Root].from_bytes(payload)
        root.verify_delegate("root", root)
    except (OSError, ValueError, TypeError, RepositoryError, DeserializationError) as error:
        raise InputError("not a trust root", expected="a signed root.json", got=error, where=path) from error
    return payload


def _milliseconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"not milliseconds: {text}")
    return value


def _parser(devices: Path = Path()) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgewright-device", description="The agent on an edge device.")
    parser.add_argument("--version", action="version", version=f"edgewright-device {edgewright.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    init = _command(commands, "init", _init, "give the device its id, its trust root and its server", home=None)
    init.add_argument("--root", type=Path, required=True, help="the repository's 1.root.json, brought by hand")
    init.add_argument("--server", required=True, metavar="URL")
    init.add_argument("--device-id", required=True, metavar="ID")
    init.add_argument("--channel", default="stable")
    init.add_argument("--tier", default=TIERS[0], choices=TIERS, help="which of a release's bundles it runs")
    pull = _command(
        commands, "update", _update, "install the release that the channel has for it, on trial", home=devices
    )
    pull.add_argument("--again", action="store_true", help="try once more what failed here")
    pull.add_argument(
        "--from",
        dest="folder",
        type=Path,
        metavar="FOLDER",
        help="a project's repository, brought by hand",
    )
    join = _command(commands, "enroll", _enroll, "join a fleet, with a token of its collector", home=None)
    join.add_argument(
        "--token", required=True, metavar="FILE", help='what `edgewright fleet invite` printed; "-": stdin'
    )
    join.add_argument("--device-id", default="", metavar="ID", help="its name, where the token names none")
    _command(commands, "check-in", _check_in, "tell what is known here, and nothing else", home=devices)
    about = "what this device is to run, whatever the plan says; what is not given stays as it is"
    wish = _command(commands, "wish", _wish, about, home=devices)
    wish.add_argument("--go", action="store_true", help="follow the plan again: no hold and no pin")
    wish.add_argument("--hold", action="store_true", help="install nothing")
    wish.add_argument("--pin", type=int, metavar="N", help="run release N, where it is permitted (0: none)")
    wish.add_argument("--window", metavar="H-H", help='fetch files in these local hours alone, as 22-6 ("": at any)')
    told = _command(commands, "diagnostics", _diagnostics, "all that is known here, without a picture", home=devices)
    told.add_argument("--out", type=Path, metavar="FILE", help="a JSON file (default: print it)")
    run = _command(commands, "run", _run, "detect on a feed", home=devices)
    run.add_argument("--feed", type=Path, required=True, help="a folder of pictures")
    run.add_argument("--out", type=Path, required=True)
    run.add_argument("--frames", type=int, metavar="N", help="the first N pictures (default: all)")
    run.add_argument(
        "--threads", type=int, metavar="N", help="ONNX Runtime with N threads (default: the engine that was measured)"
    )
    run.add_argument(
        "--limit-ms",
        type=_milliseconds,
        metavar="MS",
        help="what a frame may take, from the file to its line (default: the release's budget)",
    )
    _command(commands, "benchmark", _benchmark, "measure the engines again, and keep the fastest", home=devices)
    status = _command(commands, "status", _status, "what runs, and how fresh what it knows is", home=devices)
    status.add_argument("--json", action="store_true")
    test = commands.add_parser("self-test", help="run a bundle's golden pictures, with limits on memory and time")
    test.set_defaults(command=_self_test)
    test.add_argument("bundle", type=Path)
    test.add_argument("--json", action="store_true")
    engines = commands.add_parser("engines", help="which engine runs a bundle fastest here, with limits likewise")
    engines.set_defaults(command=_engines)
    engines.add_argument("bundle", type=Path)
    engines.add_argument("--json", action="store_true")
    return parser


def _command(commands: Any, name: str, function: Any, about: str, *, home: Path | None) -> argparse.ArgumentParser:
    """`home`: where `--home` need not be given; None asks for it."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about)
    parser.set_defaults(command=function)
    known = "" if home is None else f", or a folder of devices (default: {home})".replace("%", "%%")
    about_home = f"the device's folder{known}"
    parser.add_argument("--home", type=Path, required=home is None, default=home, metavar="DIR", help=about_home)
    return parser
