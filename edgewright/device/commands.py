"""What each of the agent's commands does. They print what came of it, and return an exit code.

Decides nothing that the rooms below have not decided. What a command may be told stands in `cli.py`.

    update(arguments)
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from edgewright.device.diagnostics import diagnostics as known_of
from edgewright.device.engine import engine_for, keep_fastest
from edgewright.device.feed import open_feed
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
    told_by,
    wish_of,
)
from edgewright.device.offer import NO_WISH, Wish
from edgewright.device.outputs import STDOUT, Outputs, open_outputs
from edgewright.device.page import serve_page
from edgewright.device.process import ENGINES_MEMORY_BYTES, limit_this_process, within
from edgewright.device.report import TELL_S, DeviceReport, send, tell
from edgewright.device.runner import run_feed
from edgewright.device.sighting import OnSighting
from edgewright.device.slots import Slots
from edgewright.device.standing import as_started, describe, running, shown
from edgewright.device.start import Started, commit, start
from edgewright.device.tier import keep_after_update, keep_standing, measured, measured_anew, standing_of
from edgewright.device.token import MAX_TOKEN_CHARACTERS, Token
from edgewright.device.watch import Watch
from edgewright.errors import EdgewrightError, InputError
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine
from edgewright.runtime.fastest import Fastest, fastest
from edgewright.runtime.selftest import SelfTest, run_selftest

UPDATE_S = 1800.0
"""The self-test's own time is within it: on the slowest device that is a minute."""


def init(arguments: argparse.Namespace) -> int:
    config = DeviceConfig(arguments.device_id, arguments.server, arguments.channel, arguments.tier)
    init_home(arguments.home, trust_root=_trust_root(arguments.root), config=config, files=Files())
    print(f"{config.device_id} trusts {arguments.root} and pulls {config.channel} from {config.server_url}")
    return 0


def enroll(arguments: argparse.Namespace) -> int:
    from edgewright.device.enroll import enroll as enrolled

    token = Token.from_text(sys.stdin.readline() if arguments.token == "-" else _first_line(Path(arguments.token)))
    with within(TELL_S, "enrolling"):
        home = enrolled(arguments.home, token, files=Files(), device_id=arguments.device_id)
    config = home.config
    print(f"{config.device_id} is of the fleet at {config.collector_url}")
    print(f"it pulls {config.channel} from {config.server_url}")
    return 0


def check_in(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    if arguments.waiting:  # beside an update, if need be: each event counts once
        why = tell(home)
    else:
        with locked(home):
            why = send(home, running(home, "check-in"))
        print(f"not told: {why}" if why else "told all that there was")
    return 1 if why else 0


def line(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    with locked(home):
        if arguments.https or arguments.mqtt:
            home = told_by(home, "" if arguments.https else arguments.mqtt)
    print(f"events go by {home.config.broker_url or 'HTTPS'} to {home.config.collector_url or 'no collector'}")
    return 0


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")[: 2 * MAX_TOKEN_CHARACTERS]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("the token cannot be read", got=error, where=path) from error


def update(arguments: argparse.Namespace) -> int:
    # Not at import: a start, a status and the self-test need no TUF, and it is a quarter of the agent's import time.
    from edgewright.device.updater import NEEDS_AGENT
    from edgewright.device.updater import update as updated

    home = open_home(_one_device(arguments.home), files=Files())
    with locked(home):
        began = time.monotonic()
        try:
            with within(UPDATE_S, "the update"):
                done = updated(home, again=arguments.again, folder=arguments.folder)
        except EdgewrightError as error:
            report = replace(running(home, "update"), refused=str(error), needs_agent=error.what == NEEDS_AGENT)
            _tell(home, report)
            raise
        seconds = time.monotonic() - began
        bundle = Slots(home).bundle(done.slot)
        if done.changed and bundle is not None:
            keep_fastest(home, bundle)
        keep_after_update(
            home, taken=done.tier, flashed=done.changed, downloaded_bytes=done.downloaded_bytes, seconds=seconds
        )
        _tell(home, replace(running(home, "update"), selftest=done.selftest))
    state = "already current" if not done.changed else "installed, on trial" if done.selftest else "runs again"
    print(f"release {done.release} {state} in slot {done.slot}, {done.downloaded_bytes} bytes downloaded")
    return 0


def wish(arguments: argparse.Namespace) -> int:
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


def diagnostics(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    payload = json.dumps(known_of(home), indent=1, sort_keys=True)
    if arguments.out:
        arguments.out.write_text(payload + "\n", encoding="utf-8")
    print(f"written to {arguments.out}" if arguments.out else payload)
    return 0


def benchmark(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    with locked(home):
        slots = Slots(home)
        bundle = slots.bundle(slots.state().active)  # without a start, which a release on trial has three of
        if bundle is None:
            raise InputError("no whole release is installed", where=home.root, next_step="edgewright-device update")
        found = keep_fastest(home, bundle)
    _print_engines(found)
    return 0


def engines(arguments: argparse.Namespace) -> int:
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


def run(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    with (
        open_feed(arguments.feed) as source,
        _outputs(arguments, home) as outputs,
        _watchers(arguments, outputs) as watchers,
        locked(home),
    ):
        source.check()  # before the start, which counts where a release is on trial
        slots = Slots(home)
        started = start(slots)
        feed = run_feed(
            started.bundle,
            source,
            arguments.out,
            files=home.files,
            on_frame=lambda done: _commit(slots, started) if done == 1 else None,
            limit=arguments.frames,
            engine=Engine(threads=arguments.threads) if arguments.threads else engine_for(home, started.bundle),
            limit_ms=arguments.limit_ms,
            device_id=home.config.device_id,
            watchers=watchers,
        )
        report = replace(as_started(running(home, "run"), started), feed=feed)
        _tell(home, report)
    _print_round(report, to=arguments.to)
    return 0


def _commit(slots: Slots, started: Started) -> None:
    """What was started, where that is what is to run; a disk that takes no word of it ends no detecting."""
    if slots.state().active != started.slot:
        return
    try:
        commit(slots)
    except OSError as error:
        _say(f"the release cannot be committed: {error}")


def _print_round(report: DeviceReport, *, to: Sequence[str]) -> None:
    """On standard output, unless that is where detections go."""
    feed, said = report.feed, sys.stderr if STDOUT in to else sys.stdout
    if feed is None:
        return
    missed = f" ({feed.missed} came meanwhile)" if feed.missed else ""
    print(
        f"release {report.release} in slot {report.slot}: {feed.detections} detections on {feed.frames} frames{missed},"
        f" {feed.p50_ms:.1f} ms (p99 {feed.p99_ms:.1f} ms)",
        file=said,
    )
    print(feed.times, file=said, flush=True)
    if report.escalated:
        print(report.escalated, file=said, flush=True)


def watch(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with (
        open_feed(arguments.feed, say=_say) as feed,
        _outputs(arguments, home) as outputs,
        _watchers(arguments, outputs) as watchers,
    ):
        Watch(
            home,
            feed,
            arguments.out,
            every_s=arguments.every,
            say=_say,
            threads=arguments.threads,
            limit_ms=arguments.limit_ms,
            watchers=watchers,
            on_round=partial(_print_round, to=arguments.to),
            answered=outputs.pass_on if arguments.to else None,
        ).run(until=ended.is_set)
    return 0


def _outputs(arguments: argparse.Namespace, home: Home) -> AbstractContextManager[Outputs]:
    return open_outputs(arguments.to, device_id=home.config.device_id, say=_say)


@contextmanager
def _watchers(arguments: argparse.Namespace, outputs: Outputs) -> Iterator[tuple[OnSighting, ...]]:
    """The outputs, and the page where one is wanted."""
    with ExitStack() as held:
        page = held.enter_context(serve_page(arguments.page)) if arguments.page is not None else None
        yield (outputs.tell, page.show) if page else (outputs.tell,)


def _say(sentence: str) -> None:
    print(f"edgewright-device: {sentence}", file=sys.stderr, flush=True)


def tier(arguments: argparse.Namespace) -> int:
    home = open_home(_one_device(arguments.home), files=Files())
    if arguments.measure:
        with locked(home):
            keep_standing(home, measured_anew(standing_of(home), measured(), now=time.time()))
    found = standing_of(home)
    if arguments.json:
        print(json.dumps(asdict(found), indent=1, sort_keys=True))
        return 0
    print(f"{found.tier}: {found.why}")
    if found.taken not in ("", found.tier):
        print(f"runs the bundle of {found.taken}: the release has none for {found.tier}")
    for name, until in found.barred.items():
        print(
            f"{name} was too slow here, and is left until {datetime.fromtimestamp(until).astimezone():%Y-%m-%d %H:%M}"
        )
    return 0


def status(arguments: argparse.Namespace) -> int:
    folders = devices_in(arguments.home)
    states = [describe(open_home(folder, files=Files())) for folder in folders]
    if arguments.json:
        print(json.dumps(states[0] if folders == [arguments.home] else states, indent=1, sort_keys=True))
        return 0
    for number, state in enumerate(states):
        print(end="\n" if number else "")
        for name, value in state.items():
            print(f"{name:14} {shown(name, value)}")
    return 0


def self_test(arguments: argparse.Namespace) -> int:
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


def devices_in(folder: Path) -> list[Path]:
    """The folder where it is a device's or has none in it, else those of the devices in it."""
    inside = sorted(path.parent for path in folder.glob(f"*/{CONFIG_FILE}"))
    return [folder] if (folder / CONFIG_FILE).exists() or not inside else inside


def _one_device(folder: Path) -> Path:
    """Raises InputError where there are several to choose from."""
    found = devices_in(folder)
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
