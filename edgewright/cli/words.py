"""Words that several commands take, with what the shell offers for them."""

from __future__ import annotations

from typing import Annotated

import typer

from edgewright.cli import completion

SetOption = Annotated[
    list[str],
    typer.Option("--set", help="section.field=value, again and again", autocompletion=completion.fields),
]
RunArgument = Annotated[str, typer.Argument(help="A run's id, or `latest`", autocompletion=completion.run_ids)]
