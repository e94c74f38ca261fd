"""What a person can type: every command, with its words, defaults and help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from edgewright.cli import frame
from tests.goldens import Golden


def described(command: Any, words: str) -> Iterator[str]:
    """A line a command and a word of it; the class of a command is click's own, or the copy that newer typers carry."""
    yield f"{words}: {' '.join((command.help or '').split())}"
    for word in command.params:
        names = " ".join([*word.opts, *word.secondary_opts])
        default = ", required" if word.required else f" = {word.default}" if word.default else ""
        yield f"    {names}{default}: {getattr(word, 'help', None) or '-'}"
    for name, part in sorted(getattr(command, "commands", {}).items()):
        yield from described(part, f"{words} {name}")


def test_the_commands_and_their_words(golden: Golden) -> None:
    lines = described(typer.main.get_command(frame._application()), "edgewright")
    golden("commands.txt", "".join(f"{line}\n" for line in lines))
