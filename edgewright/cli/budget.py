"""`edgewright compress`: the limits in words, the page that answers them printed. Decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgewright.cli import completion
from edgewright.cli.home import home_settings, recording_settings
from edgewright.cli.words import SetOption
from edgewright.errors import ArtifactMissing, RecipeError

if TYPE_CHECKING:
    from edgewright.recipe import Recipe
    from edgewright.settings import Settings


def compress(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A preset or a YAML file, of how detectors are trained (laptop)",
            autocompletion=completion.recipes,
        ),
    ] = "",
    source: Annotated[str, typer.Option(help="As for `run`")] = "",
    project: Annotated[str, typer.Option(help="Default: the source's name")] = "",
    run: Annotated[
        str,
        typer.Option(
            help="A run whose recipe, photographs and training set are taken instead", autocompletion=completion.run_ids
        ),
    ] = "",
    max_bytes: Annotated[int, typer.Option(help="Of the larger INT8 file")] = 2_000_000,
    max_drop: Annotated[float, typer.Option(help="Of mAP50-95 on val, from float to INT8")] = 0.005,
    max_latency_ms: Annotated[float | None, typer.Option(help="Median on one thread of this machine")] = None,
    families: Annotated[str, typer.Option(help="Comma-separated; default: all")] = "",
    image_px: Annotated[str, typer.Option(help="Input sizes, comma-separated; default: the recipe's")] = "",
    shares: Annotated[str, typer.Option(help="Of channels that are cut from each family's widest")] = "0.3,0.5",
    steps: Annotated[int, typer.Option(help="Optimizer steps of the last rung")] = 400,
    epochs: Annotated[int, typer.Option(help="Parts that those are cut into")] = 16,
    rungs: Annotated[int, typer.Option(help="After each but the last the better half goes on for twice as long")] = 3,
    set_: SetOption = [],  # noqa: B006 - typer's way to say "none"
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the candidates and train none")] = False,
) -> None:
    """Find the best detector within a budget of bytes, accuracy and time, or say which limit cannot be met."""
    from edgewright.budget.plan import FAMILIES, budget_config, candidates_of
    from edgewright.recipe import resolve, source_for

    settings = home_settings() if dry_run else recording_settings()
    digests: dict[str, str] = {}
    if run:
        if recipe or source or project or set_:
            raise RecipeError("a run's recipe and photographs are taken as they were", next_step="leave --run out")
        resolved, source, project, digests = _taken_from(run, settings)
    else:
        resolved = resolve(recipe or "laptop", overrides=set_)
        source = source_for(resolved, source)
    config = budget_config(
        max_bytes=max_bytes,
        max_drop=max_drop,
        max_latency_ms=max_latency_ms,
        families=_words(families) or tuple(FAMILIES),
        image_px=_words(image_px),
        shares=_words(shares),
        steps=steps,
        epochs=epochs,
        rungs=rungs,
        **digests,
    )
    if dry_run:
        for candidate in candidates_of(config, image_px=resolved.train_detector.image_px):
            print(candidate.title)
        return
    from edgewright.cli.console import Display
    from edgewright.cli.launch import run_budget
    from tasks.engine.run import make_request

    told = {"config": config.model_dump(mode="json")}
    request = make_request(resolved, source=source, project=project or None, flow="budget", told=told)
    with Display(stages=0) as display:
        journal = run_budget(request, config, settings, observer=display)
    print(journal.state["report"])


def _taken_from(run: str, settings: Settings) -> tuple[Recipe, str, str, dict[str, str]]:
    """Recipe, source, project and data sets of a past run."""
    from edgewright.recipe import validate
    from tasks.engine.journal import find_journal

    journal = find_journal(settings.runs, run, stage="gate_data")
    state = journal.state
    digests = {stage: ref["sha256"] for stage, ref in state["refs"].items()}
    if "gate_data" not in digests:
        raise ArtifactMissing(
            "the run has no training set",
            got=f"it ended after {', '.join(digests) or 'nothing'}",
            where=journal.path,
            next_step="name one that came through its data gate, or --source",
        )
    recipe = validate(state["recipe"], where=str(journal.path))
    taken = {"photographs": digests["ingest"], "training": digests["gate_data"]}
    return recipe, f"dataset:{digests['ingest']}", state["project"], taken


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (word.strip() for word in text.split(","))))
