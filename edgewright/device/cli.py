"""`edgewright-device`: the agent's commands. One sentence on stderr for an error, exit codes as in `errors.py`.

    init       --home DIR --root FILE --server URL --device-id ID [--channel NAME] [--tier NAME]
    enroll     --home DIR --token FILE [--device-id ID]
    check-in   [--home DIR] [--waiting]
    line       [--home DIR] [--mqtt ADDRESS | --https]
    update     [--home DIR] [--again] [--from FOLDER]
    wish       [--home DIR] [--go] [--hold] [--pin N] [--window H-H]
    diagnostics [--home DIR] [--out FILE]
    run        [--home DIR] --feed FEED --out DIR [--frames N] [DETECTING]
    watch      [--home DIR] --feed FEED --out DIR [--every S] [DETECTING]
    benchmark  [--home DIR]
    tier       [--home DIR] [--measure] [--json]
    status     [--home DIR] [--json]
    self-test  BUNDLE [--json]
    engines    BUNDLE [--json]

DETECTING is [--threads N] [--limit-ms MS] [--to OUTPUT …] [--page PORT].
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
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import edgewright
from edgewright.device import commands
from edgewright.device.offer import AUTO, TIERS
from edgewright.device.process import end_with, network_environment
from edgewright.errors import EdgewrightError, StoreUnavailable

_TIER = "which of a release's bundles it runs; auto: the one that suits what is measured here"


def main(argv: Sequence[str] | None = None, *, devices: Path = Path()) -> int:
    """Run one command; its exit code. `devices`: where to look for a device that no `--home` names."""
    arguments = _parser(devices).parse_args(argv)
    network_environment()
    if arguments.parent is not None:
        end_with(arguments.parent)
    try:
        return int(arguments.command(arguments))
    except EdgewrightError as error:
        print(f"edgewright-device: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"edgewright-device: {StoreUnavailable('the disk cannot be used', got=error)}", file=sys.stderr)
        return 1


def _milliseconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"not milliseconds: {text}")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"not a port: {text}")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"not seconds from 1: {text}")
    return value


def _parser(devices: Path = Path()) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgewright-device", description="The agent on an edge device.")
    parser.add_argument("--version", action="version", version=f"edgewright-device {edgewright.__version__}")
    # The pid of who began it: see `end_with`.
    parser.add_argument("--with", dest="parent", type=int, help=argparse.SUPPRESS)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    init = _command(subparsers, commands.init, "give the device its id, its trust root and its server", home=None)
    init.add_argument("--root", type=Path, required=True, help="the repository's 1.root.json, brought by hand")
    init.add_argument("--server", required=True, metavar="URL")
    init.add_argument("--device-id", required=True, metavar="ID")
    init.add_argument("--channel", default="stable")
    init.add_argument("--tier", default=TIERS[0], choices=(*TIERS, AUTO), help=_TIER)
    pull = _command(
        subparsers, commands.update, "install the release that the channel has for it, on trial", home=devices
    )
    pull.add_argument("--again", action="store_true", help="try once more what failed here")
    pull.add_argument(
        "--from",
        dest="folder",
        type=Path,
        metavar="FOLDER",
        help="a project's repository, brought by hand",
    )
    join = _command(subparsers, commands.enroll, "join a fleet, with a token of its collector", home=None)
    join.add_argument(
        "--token", required=True, metavar="FILE", help='what `edgewright fleet invite` printed; "-": stdin'
    )
    join.add_argument("--device-id", default="", metavar="ID", help="its name, where the token names none")
    ask = _command(subparsers, commands.check_in, "tell what is known here, and nothing else", home=devices)
    ask.add_argument("--waiting", action="store_true", help="only what waits to be told already")
    line = _command(subparsers, commands.line, "which way events go to the collector", home=devices)
    way = line.add_mutually_exclusive_group()
    way.add_argument("--mqtt", metavar="ADDRESS", help="by a broker: mqtt(s)://host[:port], or @FILE that holds it")
    way.add_argument("--https", action="store_true", help="to the collector itself, as at first")
    about = "what this device is to run, whatever the plan says; what is not given stays as it is"
    wish = _command(subparsers, commands.wish, about, home=devices)
    wish.add_argument("--go", action="store_true", help="follow the plan again: no hold and no pin")
    wish.add_argument("--hold", action="store_true", help="install nothing")
    wish.add_argument("--pin", type=int, metavar="N", help="run release N, where it is permitted (0: none)")
    wish.add_argument("--window", metavar="H-H", help='fetch files in these local hours alone, as 22-6 ("": at any)')
    told = _command(subparsers, commands.diagnostics, "all that is known here, without a picture", home=devices)
    told.add_argument("--out", type=Path, metavar="FILE", help="a JSON file (default: print it)")
    run = _command(subparsers, commands.run, "detect on a feed", home=devices)
    run.add_argument("--frames", type=int, metavar="N", help="the first N frames (default: all; a camera has no last)")
    watch = _command(subparsers, commands.watch, "detect on a feed, and update beside that, until ended", home=devices)
    watch.add_argument(
        "--every", type=_seconds, default=60.0, metavar="S", help="seconds between updates, and reports (default: 60)"
    )
    for each in (run, watch):
        _detecting(each)
    _command(subparsers, commands.benchmark, "measure the engines again, and keep the fastest", home=devices)
    tier = _command(subparsers, commands.tier, "which of a release's bundles suits it, and why", home=devices)
    tier.add_argument("--measure", action="store_true", help="measure again")
    tier.add_argument("--json", action="store_true")
    status = _command(subparsers, commands.status, "what runs, and how fresh what it knows is", home=devices)
    status.add_argument("--json", action="store_true")
    test = subparsers.add_parser("self-test", help="run a bundle's golden pictures, with limits on memory and time")
    test.set_defaults(command=commands.self_test)
    test.add_argument("bundle", type=Path)
    test.add_argument("--json", action="store_true")
    engines = subparsers.add_parser("engines", help="which engine runs a bundle fastest here, with limits likewise")
    engines.set_defaults(command=commands.engines)
    engines.add_argument("bundle", type=Path)
    engines.add_argument("--json", action="store_true")
    return parser


def _detecting(parser: argparse.ArgumentParser) -> None:
    feeds = "a folder of pictures, a video, rtsp://…, http(s)://…, camera:0, or @FILE that holds one of them"
    parser.add_argument("--feed", required=True, metavar="FEED", help=feeds)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="detections.jsonl, summary.json")
    threads = "ONNX Runtime with N threads (default: the engine that was measured)"
    parser.add_argument("--threads", type=int, metavar="N", help=threads)
    limit = "what a frame may take, from the file to its line (default: the release's budget)"
    parser.add_argument("--limit-ms", type=_milliseconds, metavar="MS", help=limit)
    outputs = (
        "tell detections, too: - (JSON lines), http(s)://… (a webhook), mqtt(s)://host/topic, or @FILE; repeatable"
    )
    parser.add_argument("--to", action="append", default=[], metavar="OUTPUT", help=outputs)
    page = "show the live picture with its boxes at http://127.0.0.1:PORT"
    parser.add_argument("--page", type=_port, metavar="PORT", help=page)


def _command(subparsers: Any, function: Any, about: str, *, home: Path | None) -> argparse.ArgumentParser:
    """`home`: where `--home` need not be given; None asks for it."""
    parser: argparse.ArgumentParser = subparsers.add_parser(function.__name__.replace("_", "-"), help=about)
    parser.set_defaults(command=function)
    known = "" if home is None else f", or a folder of devices (default: {home})".replace("%", "%%")
    about_home = f"the device's folder{known}"
    parser.add_argument("--home", type=Path, required=home is None, default=home, metavar="DIR", help=about_home)
    return parser
