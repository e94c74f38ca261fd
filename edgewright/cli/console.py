"""The terminal: progress on stderr, questions where somebody can answer, tables at the end.

Part of the outermost layer, like `cli.py`. Decides how much is shown: bars on a terminal, a line a stage elsewhere.
"""

from __future__ import annotations

import select
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgewright.device.offer import TIERS

if TYPE_CHECKING:
    from tasks.serve.garbage import Garbage

_QUIET_S = 15.0
"""Without a terminal a running stage is heard of this often."""
_TOLD_CHARS = 8
"""The narrowest column of names."""


class Display:
    """Shows stage, pool, progress and time left; a context manager that leaves the terminal as it was.

    Args:
        stages: how many there will be; 0 where that is not known.
    """

    def __init__(self, *, stages: int) -> None:
        self._console = Console(stderr=True)
        self._bars: Progress | None = None
        self._bar_of: dict[str, TaskID] = {}
        self._count = 0
        self._stages = stages
        self._last_line = 0.0

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(finished_text="[green]✓"),
                TextColumn("{task.fields[stage]:<16}"),
                TextColumn("[dim]{task.fields[pool]:<8}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("[dim]left"),
                TimeRemainingColumn(),
                TextColumn("[dim]{task.description}"),
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def stage_started(self, name: str, pool: str) -> None:
        self._count += 1
        if self._bars:
            self._bar_of[name] = self._bars.add_task("", total=None, stage=name, pool=pool)
        else:
            of = f"/{self._stages}" if self._stages else ""
            self._line(f"[{self._count}{of}] {name} ({pool})")

    def stage_progress(self, name: str, done: int, total: int, what: str) -> None:
        if self._bars and name in self._bar_of:
            self._bars.update(self._bar_of[name], completed=done, total=total or None, description=what[:60])
        elif time.monotonic() - self._last_line > _QUIET_S:
            self._line(f"    {name}: {done}/{total} {what}")

    def stage_finished(self, name: str, seconds: float, *, cached: bool) -> None:
        note = "from the store" if cached else f"{seconds:.1f} s"
        if self._bars and name in self._bar_of:
            self._bars.update(self._bar_of[name], total=1, completed=1, description=note)
        else:
            self._line(f"    {name}: {note}")

    def stage_told(self, name: str, lines: Sequence[str]) -> None:
        """What a stage understood, below its line or above the bars."""
        width = max(_TOLD_CHARS, len(name) + 2)
        for number, line in enumerate(lines):
            text = f"    {name if number == 0 else '':<{width}}{line}"
            if self._bars:
                self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                self._line(text)

    def ask(self, question: str, *, timeout_s: float) -> tuple[str, str] | None:
        """`real_only` or `end` and why, from a person at a terminal; None where stdin is none.

        Nothing typed within `timeout_s`, or a closed terminal, is `end`. A choice in time counts without a why.
        """
        if not sys.stdin.isatty():
            return None
        self._stop()
        self._console.print(f"{question} Without an answer within {timeout_s:.0f} s the run ends.")
        until, prompt = time.monotonic() + timeout_s, "real_only / end: "
        answer: str | None = ""
        while answer not in ("real_only", "end"):
            answer, prompt = self._read_line(prompt, until=until), "Please type real_only or end: "
            if answer is None:
                return "end", f"no answer within {timeout_s:.0f} s"
        return answer, self._read_line("Why? ", until=until) or ""

    def _read_line(self, prompt: str, *, until: float) -> str | None:
        """A line from the terminal; None where there is none by `until` (monotonic seconds), or no more input."""
        self._console.print(prompt, end="")
        left_s = until - time.monotonic()
        if left_s <= 0 or not select.select([sys.stdin], [], [], left_s)[0]:
            return None
        line = sys.stdin.readline()
        return line.strip() if line else None

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        print(text, file=sys.stderr, flush=True)

    def _stop(self) -> None:
        if self._bars:
            self._bars.stop()
            self._bars = None


def print_summary(state: dict[str, Any]) -> None:
    """The table a run ends with, on stdout."""
    console = Console()
    table = Table(title=f"edgewright run {state['run_id']}", title_justify="left", show_edge=False, pad_edge=False)
    for column in ("", "float", "INT8"):
        table.add_column(column, justify="left" if not column else "right")
    models = state["models"]
    if models:
        for name, label, form in (
            ("bytes", "bytes", "{:,}"),
            ("map50", "test mAP50", "{:.3f}"),
            ("map50_95", "test mAP50-95", "{:.3f}"),
        ):
            table.add_row(label, *(_cell(models.get(precision, {}).get(name), form) for precision in ("float", "int8")))
        console.print(table)
    _print_tiers(console, state.get("tiers", {}))
    for gate in state["gates"]:
        console.print(f"{gate['name']}: {gate['verdict']} ({gate['decision']}). {gate['reasons'][0]}", highlight=False)
        if gate.get("beside"):
            console.print(f"  beside it: {gate['beside']}", highlight=False)
    if state["release"]:
        console.print(
            f"release {state['release']['version']}, digest {state['release']['digest'][:16]}", highlight=False
        )
    if state["device"]:
        device = state["device"]
        console.print(
            f"device: slot {device['slot']} runs release {device['version']}; {device['detections']} detections, "
            f"p50 {device['p50_ms']:.1f} ms, p99 {device['p99_ms']:.1f} ms",
            highlight=False,
        )
    if state["report"]:
        console.print(f"report: {state['report']}", soft_wrap=True, highlight=False)


def _print_tiers(console: Console, tiers: Mapping[str, Mapping[str, Any]]) -> None:
    """The INT8 files of a run that makes one a tier."""
    if not tiers:
        return
    table = Table(show_edge=False, pad_edge=False)
    columns = (
        ("input_px", "input px", "{:,}"),
        ("bytes", "bytes", "{:,}"),
        ("map50", "test mAP50", "{:.3f}"),
        ("map50_95", "test mAP50-95", "{:.3f}"),
        ("p99_ms", "p99 ms", "{:.1f}"),
        ("outcome", "gate", "{}"),
    )
    table.add_column("tier")
    for _, label, _ in columns:
        table.add_column(label, justify="right")
    for tier in filter(tiers.get, TIERS):
        table.add_row(tier, *(_cell(tiers[tier][name], form) for name, _, form in columns))
    console.print(table)


def print_plan(plan: list[dict[str, Any]], *, recipe: str, title: str, again: Sequence[str]) -> None:
    """What `--dry-run` shows on stdout: a recipe file, the plan in its comments.

    Args:
        recipe: YAML. again: the words that run the file, FILE in its name's place.
    """
    rows = [(row["name"], row["pool"], row["router"], row["state"]) for row in plan]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    stages = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    print(recipe)
    for line in (f"{title}:", *(f"  {stage}" for stage in stages), f"save this as FILE, then: {shlex.join(again)}"):
        print("# " + line.rstrip().replace("\n", "\n# "))


def print_self_test(rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Controls, what was expected of the gate, what it said, and whether that is right; on stdout."""
    table = Table(show_edge=False, pad_edge=False)
    for column in ("control", "expected", "the gate", ""):
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_garbage(plan: Garbage, *, removed: bool, again: str) -> None:
    """What `gc` would remove, or removed, kind by kind; on stdout."""
    print(
        f"{'freed' if removed else 'would free'} {plan.bytes / 1e6:.1f} MB: "
        f"{len(plan.artifacts)} artifacts, {len(plan.runs)} runs"
    )
    for kind in plan.kinds:
        print(f"  {kind.name:<20} {kind.artifacts:>4}  {kind.bytes / 1e6:10.1f} MB")
    print(f"{'kept' if removed else 'would keep'} {plan.kept_bytes / 1e6:.1f} MB")
    if not removed and (plan.artifacts or plan.runs):
        print(f"nothing was removed. Next: {again}")


def print_runs(states: list[dict[str, Any]]) -> None:
    """Past runs, newest first, on stdout; below one that made a detector a tier, a line a tier with its latency."""
    table = Table(show_edge=False, pad_edge=False)
    for column in ("run", "project", "status", "INT8 mAP50", "bytes", "release"):
        table.add_column(column, justify="right" if column in ("INT8 mAP50", "bytes", "release") else "left")
    for state in states:
        release = str((state["release"] or {}).get("version", ""))
        figures = _figures(state["models"].get("int8", {}))
        table.add_row(state["run_id"], state["project"], state["status"], *figures, release)
        tiers = state.get("tiers", {})
        for tier in filter(tiers.get, TIERS):
            ms = _cell(tiers[tier]["p99_ms"], "{:.1f}")
            table.add_row(f"{tier}, p99 {ms} ms", "", tiers[tier]["outcome"], *_figures(tiers[tier]), "")
    Console().print(table)


def _figures(int8: Mapping[str, Any]) -> tuple[str, str]:
    return _cell(int8.get("map50"), "{:.3f}"), _cell(int8.get("bytes"), "{:,}")


def _cell(value: object, form: str) -> str:
    return "" if value is None else form.format(value)
