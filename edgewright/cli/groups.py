"""Commands in groups: experiments, the gate, reviews. Words in, sentences out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgewright.cli import completion
from edgewright.cli.home import home_settings, home_store, recording_settings
from edgewright.cli.words import RunArgument, SetOption
from edgewright.errors import GateEnded
from edgewright.settings import Settings

if TYPE_CHECKING:
    from edgewright.artifacts import ArtifactRef
    from edgewright.gates.selftest.self_test import SelfTest
    from edgewright.recipe.label import LabelConfig

ReviewFormat = Literal["label-studio", "coco", "cvat"]


def add_groups(application: typer.Typer) -> None:
    """`edgewright experiment …`, `edgewright gate …`, `edgewright review …`."""
    experiments = typer.Typer(help="Experiments on your own images.", no_args_is_help=True)
    experiments.callback()(_nothing)
    experiments.command(name="label-efficiency")(label_efficiency)
    experiments.command(name="rehearsal")(rehearsal)
    gates = typer.Typer(help="The data gate itself.", no_args_is_help=True)
    gates.callback()(_nothing)
    gates.command(name="self-test")(gate_self_test)
    reviews = typer.Typer(help="A person looks at what the labeler doubts.", no_args_is_help=True)
    reviews.command(name="export")(review_export)
    reviews.command(name="import")(review_import)
    application.add_typer(experiments, name="experiment")
    application.add_typer(gates, name="gate")
    application.add_typer(reviews, name="review")


def _nothing() -> None:
    """With a callback, a group of one command stays a group."""


def label_efficiency(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A preset or a YAML file: how pictures and detectors are made. Of train_detector, steps, epochs and "
            "real_share are the options' here, and the last epoch is kept"
        ),
    ],
    source: Annotated[str, typer.Option(help="As for `run`")] = "",
    project: Annotated[str, typer.Option(help="Default: the source's name")] = "",
    labels: Annotated[str, typer.Option(help="How many labeled photographs, comma-separated")] = "25,50",
    draws: Annotated[str, typer.Option(help="Which random orders of the pool")] = "0,1,2",
    seeds: Annotated[str, typer.Option(help="Seeds of the networks")] = "0",
    arms: Annotated[str, typer.Option(help="Comma-separated; default: all")] = "",
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of every detector")] = 400,
    epochs: Annotated[int, typer.Option(min=1, help="Parts the steps are cut into")] = 20,
    real_share: Annotated[float, typer.Option(help="Share of photographs among what a mixed arm shows")] = 0.5,
    held_out_share: Annotated[float, typer.Option(help="Share of the labeled photographs for the gate alone")] = 0.25,
    results: Annotated[Path, typer.Option(help="One JSON line a finished run; what stands there is skipped")] = Path(
        "benchmarks/results/label_efficiency.jsonl"
    ),
    set_: SetOption = [],  # noqa: B006 - typer's way to say "none"
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and make none")] = False,
) -> None:
    """How many labels does synthetic data save? Paired detectors from the same few photographs."""
    from edgewright.experiment.plan import check_overrides, efficiency_config, runs_of
    from edgewright.recipe import resolve, source_for

    check_overrides(set_)
    resolved = resolve(recipe, overrides=set_)
    source = source_for(resolved, source)
    shares = {"real_share": real_share, "held_out_share": held_out_share}
    config = efficiency_config(labels=labels, draws=draws, seeds=seeds, arms=arms, steps=steps, epochs=epochs, **shares)
    if dry_run:
        for planned in runs_of(config):
            print(planned.title)
        return
    settings = recording_settings()
    from edgewright.cli.console import Display
    from edgewright.cli.launch import run_experiment
    from tasks.engine.run import make_request

    told = {"config": config.model_dump(mode="json")}
    request = make_request(resolved, source=source, project=project or None, flow="label_efficiency", told=told)
    with Display(stages=0) as display:
        journal = run_experiment(request, config, settings, results=results, observer=display)
    print(journal.state["report"])


def rehearsal(
    recipe: Annotated[
        str, typer.Argument(help="A preset or a YAML file: how pictures and detectors are made")
    ] = "demo",
    shift: Annotated[
        Literal["night", "dirty-lens", "new-part"], typer.Option(help="What happens to the simulated line")
    ] = "night",
    seeds: Annotated[str, typer.Option(help="A line of its own each, comma-separated")] = "0",
    project: Annotated[str, typer.Option(help="Begins the name of each line's project")] = "rehearsal",
    devices: Annotated[int, typer.Option(min=2, max=32, help="On each line")] = 2,
    frames: Annotated[
        int, typer.Option(min=100, help="Seen while hard ones are kept, of which one in a hundred")
    ] = 2400,
    hard_share: Annotated[float, typer.Option(help="Of synthetic pictures, those drawn like the frames")] = 0.3,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of every detector")] = 400,
    epochs: Annotated[int, typer.Option(min=1, help="Parts the steps are cut into")] = 10,
    arms: Annotated[str, typer.Option(help="Comma-separated; default: all")] = "",
    results: Annotated[Path, typer.Option(help="One JSON line a measured detector")] = Path(
        "benchmarks/results/rehearsal.jsonl"
    ),
    set_: SetOption = [],  # noqa: B006 - typer's way to say "none"
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the detectors and train none")] = False,
) -> None:
    """The simulated line changes: do devices notice, do hard frames come home, does the next release see again?"""
    from edgewright.recipe import resolve
    from edgewright.recipe.presets import SIMULATED
    from edgewright.rehearsal.plan import rehearsal_config, seeds_in

    numbers = {"devices": devices, "frames": frames, "hard_share": hard_share, "steps": steps, "epochs": epochs}
    config = rehearsal_config(shift=shift, arms=arms, **numbers)
    lines = seeds_in(seeds)
    if dry_run:
        for seed in lines:
            for arm in config.chosen:
                print(f"{shift}, seed {seed}: {arm.title}")
        return
    settings = recording_settings()
    from edgewright.cli.console import Display
    from edgewright.cli.launch import run_rehearsal
    from tasks.engine.run import make_request

    told = {"config": config.model_dump(mode="json")}
    for seed in lines:
        resolved = resolve(recipe, overrides=[*set_, f"seed={seed}"])
        name = f"{project}-{shift}-{seed}"
        request = make_request(resolved, source=SIMULATED, project=name, flow="rehearsal", told=told)
        with Display(stages=0) as display:
            journal = run_rehearsal(request, config, settings, results=results, observer=display)
        print(journal.state["report"])


def gate_self_test(
    source: Annotated[str, typer.Argument(help="Labeled photographs; default: the simulated camera")] = "",
    recipe: Annotated[str, typer.Option(help="A preset or a YAML file; default: demo, or laptop for a source")] = "",
    set_: SetOption = [],  # noqa: B006 - typer's way to say "none"
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object last")] = False,
) -> None:
    """Does the data gate admit real pictures and refuse each bad control by the check that must? Exit code 3 if not."""
    from edgewright.recipe import resolve

    resolved = resolve(recipe or ("laptop" if source else "demo"), overrides=set_)
    settings = home_settings()
    from edgewright.cli.console import Display, print_self_test
    from edgewright.experiment.self_test import self_test_of

    path = Path(source).expanduser() if source else None
    settings.scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="self-test-", dir=settings.scratch) as folder, Display(stages=0) as display:
        display.stage_started("self-test", "control")

        def on_progress(done: int, total: int, what: str) -> None:
            display.stage_progress("self-test", done, total, what)

        report = self_test_of(path, resolved, folder=Path(folder), threads=settings.threads, on_progress=on_progress)
    print_self_test(report.table())
    error = None if report.passed else _misjudged(report)
    if json_:
        told = {**report.to_json(), "error": error.to_json() if error else None}
        print(json.dumps(told, indent=1, sort_keys=True, allow_nan=False))
    if error:
        print(f"edgewright: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code)


def _misjudged(report: SelfTest) -> GateEnded:
    return GateEnded(
        "the gate did not judge every control as it must",
        got=", ".join(result.name for result in report.results if not result.right),
        where=f"gate_data on {report.n_train} + {report.n_held_out} + {report.n_fresh} photographs",
        next_step="do not rely on it for these photographs; more of them make it sharper",
    )


_LABELED_BY = {"real": "train_labeler", "synthetic": "label", "fleet": "ingest"}
"""Part of a run that is reviewed => the stage that `latest` must have come to."""


def _run_of(run: str, settings: Settings, part: str) -> tuple[dict[str, ArtifactRef], LabelConfig, str]:
    """A run's artifacts by stage, the `label` section it was made with, and its project."""
    from edgewright.artifacts import ArtifactRef
    from edgewright.recipe.label import LabelConfig
    from tasks.engine.journal import find_journal

    state = find_journal(settings.runs, run, stage=_LABELED_BY[part]).state
    refs = {name: ArtifactRef.from_json(ref) for name, ref in state["refs"].items()}
    return refs, LabelConfig.model_validate(state["recipe"]["label"]), state["project"]


def review_export(
    run: RunArgument,
    to: Annotated[Path, typer.Option(help="A new folder")] = Path("review"),
    format_: Annotated[ReviewFormat, typer.Option("--format")] = "label-studio",
    part: Annotated[
        Literal["real", "synthetic", "fleet"],
        typer.Option(help="Photographs, synthetic pictures, or hard frames that the project's devices sent"),
    ] = "real",
    limit: Annotated[int, typer.Option(min=1, help="At most so many pictures, the most doubtful ones")] = 100,
) -> None:
    """Write the pictures that the labeler doubts, lowest confidence first, for an annotation tool."""
    settings = home_settings()
    from edgewright.review.of_run import export_review_of_run

    refs, config, project = _run_of(run, settings, part)
    store = home_store(settings)
    if part == "fleet":
        from edgewright.review.of_fleet import export_frames
        from tasks.serve.collector import frames_of

        frames = frames_of(settings).frames(project)
        done = export_frames(store, refs, frames, to=to, format=format_, limit=limit)
    else:
        done = export_review_of_run(store, refs, part=part, to=to, format=format_, limit=limit, config=config)
    print(f"{done.images} of {done.doubtful} doubtful pictures in {to}")


def review_import(
    run: Annotated[str, typer.Argument(help="The run that was exported", autocompletion=completion.run_ids)],
    file: Annotated[Path, typer.Argument(help="What the annotation tool wrote")],
    format_: Annotated[Literal["", "label-studio", "coco", "cvat"], typer.Option("--format")] = "",
    part: Annotated[Literal["real", "synthetic", "fleet"], typer.Option()] = "real",
    person: Annotated[str, typer.Option(help="Who reviewed, where the file does not say")] = "",
    when: Annotated[str, typer.Option(help="ISO 8601; default: what the file says, else when it was written")] = "",
) -> None:
    """Take corrected labels back as a new data set; print its digest and the command to go on with."""
    settings = home_settings()
    from edgewright.cli.launch import announce_dataset
    from edgewright.review.of_run import import_review_of_run

    refs, config, project = _run_of(run, settings, part)
    store = home_store(settings)
    if part == "fleet":
        from edgewright.review.of_fleet import import_frames
        from tasks.serve.collector import frames_of

        frames = frames_of(settings).frames(project)
        ref, report = import_frames(store, refs, frames, file, format=format_, person=person, when=when)
    else:
        ref, report = import_review_of_run(
            store, refs, file, part=part, format=format_, person=person, when=when, config=config
        )
    print(f"{report.reviewed} pictures reviewed by {', '.join(report.persons)}: {ref.sha256}")
    if part != "synthetic":
        steer = " --set generate.hard_share=0.3" if part == "fleet" else ""
        print(f"go on with: edgewright run RECIPE --source dataset:{ref.sha256} --project {project}{steer}")
        announce_dataset(settings, project=project, digest=ref.sha256)
    else:
        print(f"go on with: the same `edgewright run`, and --set label.reviewed=dataset:{ref.sha256}")
