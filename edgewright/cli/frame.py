"""The outermost frame: words into a command, and whatever went wrong into one sentence and an exit code.

Exit codes: 0 done, 2 bad input, 3 ended because of a gate, 4 waiting for a person, 1 anything else. Results go to
stdout, progress and logs to stderr. What a command needs is imported when it runs, so that `--help` is quick and a
missing extra is named only by those who need it.
"""

from __future__ import annotations

import gc
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import edgewright
from edgewright.cli.printed import PUBLIC_EMPTY, last_run, print_line
from edgewright.errors import EdgewrightError, InputError, MissingExtra, StageFailed, describe, meant
from edgewright.packages import require_own_packages

try:
    import typer
except ModuleNotFoundError:  # the light base has no typer; `main` says what to install
    typer = None  # type: ignore[assignment]

_TYPER_INTERRUPTED = 130
"""What newer typers make of Ctrl-C; ours is 1, with a sentence."""
_COLLECT_AFTER = (50_000, 20, 50)
"""Python's own (700, 10, 10) looks through all that was imported many times over: a sixth of an unchanged run
(docs/LOG.md, 2026-11-29)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The `edgewright` script."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["device"]:
        sys.exit(_forward(words[1:]))
    if typer is None:
        print("edgewright: this command needs the pipeline extra: pip install 'edgewright[pipeline]'", file=sys.stderr)
        sys.exit(2)
    gc.set_threshold(*_COLLECT_AFTER)
    sys.exit(_run_command(words))


def _run_command(words: list[str]) -> int:
    """The one frame that turns any exception into an exit code, a sentence and, with --json, an object."""
    try:
        require_own_packages()
        result = int(_application()(args=words, prog_name="edgewright", standalone_mode=False) or 0)
        return _end(describe(KeyboardInterrupt()), words) if result == _TYPER_INTERRUPTED else result
    except typer.Exit as done:
        return int(done.exit_code)
    except _usage_error() as refused:
        refused.message += _meant_choice(refused.message)
        refused.show()
        return _end(InputError(refused.format_message()), words, quiet=True)
    except ModuleNotFoundError as raised:
        return _end(missing_extra(raised), words)
    except (EdgewrightError, KeyboardInterrupt) as raised:
        return _end(describe(raised), words)
    except typer.Abort:
        return _end(describe(KeyboardInterrupt()), words)
    except Exception as raised:  # noqa: BLE001 - the outermost frame
        traceback.print_exc()
        return _end(describe(raised), words)


def _usage_error() -> Any:
    """The class of every complaint about the command line: click's own, or the copy that newer typers carry."""
    return next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def _meant_choice(message: str) -> str:
    """The choice that a complaint about another word is nearest to.

    >>> _meant_choice("'yol' is not one of 'yolo', 'coco', 'voc'.")
    " Next: did you mean 'yolo'?"
    """
    found = re.search(r"'([^']*)' is not one of (.*)", message)
    near = meant(found[1], re.findall(r"'([^']*)'", found[2])) if found else ""
    return f" Next: {near}" if near else ""


def _end(error: EdgewrightError, words: list[str], *, quiet: bool = False) -> int:
    if not quiet:
        print(f"edgewright: {error}", file=sys.stderr)
    if "--json" in words:
        print_line({**(last_run or PUBLIC_EMPTY), "error": error.to_json()})
    return error.exit_code


def _application() -> typer.Typer:
    application = typer.Typer(
        name="edgewright",
        help="From a few labeled photographs to a signed INT8 detector under 2 MB on an edge device.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    from edgewright.cli.budget import compress
    from edgewright.cli.commands import add_commands
    from edgewright.cli.fleet import add_fleet
    from edgewright.cli.groups import add_groups
    from edgewright.cli.inspect import inspect
    from edgewright.cli.models import export_model, serve_model
    from edgewright.cli.releases import add_releases
    from edgewright.cli.stack import add_stack

    application.callback()(_begin)
    add_commands(application)
    application.command()(inspect)
    application.command()(compress)
    application.command()(export_model)
    application.command()(serve_model)
    add_stack(application)
    add_groups(application)
    add_releases(application)
    add_fleet(application)
    application.command(
        name="device",
        help="Forward to edgewright-device: init, update, run, status.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    )(_device)
    return application


def _begin(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=lambda asked: _say_version(asked), help="Say the version"),
    ] = False,
) -> None:
    """Options of the program itself."""


def _say_version(asked: bool) -> None:
    if asked:
        print(f"edgewright {edgewright.__version__}")
        raise typer.Exit


def _device(context: typer.Context) -> None:
    """Reached through `main`, which forwards before the light base needs typer; kept for `--help`."""
    raise typer.Exit(_forward(context.args))


def _forward(words: Sequence[str]) -> int:
    """`edgewright-device`, which knows where this home keeps its devices."""
    from edgewright.device.cli import main as device_main
    from edgewright.settings import read_settings

    try:
        devices = read_settings().devices
    except EdgewrightError as error:
        print(f"edgewright: {error}", file=sys.stderr)
        return error.exit_code
    return device_main(words, devices=devices)


def missing_extra(error: ModuleNotFoundError) -> EdgewrightError:
    """Which extra holds the module that is not there."""
    train = ("torch", "torchvision", "ultralytics", "onnx", "onnxslim", "cv2", "safetensors")
    root = (error.name or "").split(".")[0]
    extra = "train" if root in train else "pipeline"
    if root in ("edgewright", "tasks", "flows"):
        return StageFailed(str(error), next_step="reinstall edgewright")
    return MissingExtra(f"{root} is not installed", next_step=f"pip install 'edgewright[{extra}]'")
