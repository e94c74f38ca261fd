"""`edgewright inspect`: ingest's reading alone, in seconds, without a server, a store or a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewright.cli.printed import print_json
from edgewright.errors import InputError

if TYPE_CHECKING:
    from edgewright.data.inspection import Inspection

PAGE = Path("inspect.html")


def inspect(
    source: Annotated[str, typer.Argument(help="A folder, an archive or a video")],
    out: Annotated[Path, typer.Option(help="Where the page goes")] = PAGE,
    set_: Annotated[list[str], typer.Option("--set", help="ingest.field=value, again and again")] = [],  # noqa: B006
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object last")] = False,
) -> None:
    """Say what ingest would make of a source, what looks wrong, and which settings would cure it."""
    from edgewright.files import write_atomically
    from edgewright.report.inspection import render_inspection

    found = look_into(source, overrides=set_)
    write_atomically(out.resolve(), render_inspection(found, source=source).encode(), mode=0o644)
    if json_:
        print_json(_as_json(found, source=source, page=out))
    else:
        _print(found, source=source, page=out)


def look_into(source: str, *, overrides: Sequence[str]) -> Inspection:
    """What ingest would make of a source; progress on stderr.

    Raises:
        SourceError: it cannot be read, or holds nothing. InputError: a source that only a run can fetch.
        RecipeError: an override that ingest does not know.
    """
    from edgewright.cli.console import Display
    from edgewright.data.inspection import inspect_source
    from edgewright.fanout.processes import ProcessHands
    from edgewright.recipe import resolve
    from edgewright.settings import read_settings

    config, hands = resolve("laptop", overrides=overrides).ingest, ProcessHands(read_settings().threads)
    with TemporaryDirectory(prefix="edgewright-inspect-") as scratch, Display(stages=1) as display:
        display.stage_started("inspect", "cpu")

        def on_progress(done: int, total: int, what: str) -> None:
            display.stage_progress("inspect", done, total, what)

        return inspect_source(_local(source), config, scratch=Path(scratch), hands=hands, on_progress=on_progress)


def _local(source: str) -> Path:
    """Raises InputError for what only a run can fetch."""
    if source.startswith(("s3://", "dataset:")):
        raise InputError(
            "inspect reads what lies on this machine",
            expected="a folder, an archive or a video",
            got=source,
            next_step="`edgewright run laptop --until ingest --source …` says the same of it",
        )
    return Path(source).expanduser()


def _as_json(found: Inspection, *, source: str, page: Path) -> dict[str, Any]:
    from edgewright.report.inspection import headline, proposed_command
    from edgewright.report.understood import told_as_json

    return {
        "source": source,
        "headline": headline(found),
        **told_as_json(found.report.to_json()),
        "suspects": [asdict(suspect.finding) for suspect in found.suspects],
        "would_end": found.would_end,
        "proposals": list(found.proposals),
        "command": proposed_command(found, source=source),
        "page": str(page.resolve()),
        "error": None,
    }


def _print(found: Inspection, *, source: str, page: Path) -> None:
    from edgewright.report.inspection import proposed_command

    for line in told_lines(found):
        print(line)
    print(f"next: {proposed_command(found, source=source)}")
    print(f"page: {page.resolve()}")


def told_lines(found: Inspection) -> Iterator[str]:
    """What a person reads of it, at a terminal or in Python."""
    from edgewright.report.inspection import headline
    from edgewright.report.understood import understood

    yield headline(found)
    yield from (f"  {line}" for line in understood(found.report.to_json()).lines())
    yield from (f"  suspect: {suspect.finding}" for suspect in found.suspects)
    if found.would_end:
        yield f"a run would end: {found.would_end}"
