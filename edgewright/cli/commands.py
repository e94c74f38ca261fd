"""The commands: words into requests, and what came of them printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgewright.cli import completion
from edgewright.cli.home import home_settings, home_store, recording_settings
from edgewright.cli.printed import PUBLIC_EMPTY, print_json, remembering
from edgewright.cli.words import RunArgument, SetOption
from edgewright.errors import InputError
from edgewright.settings import Settings

if TYPE_CHECKING:
    from edgewright.artifacts import ArtifactRef, Store
    from tasks.engine.run import Request


def add_commands(application: typer.Typer) -> None:
    for command in (run, runs, report, decide, ui, detect, export, gc):
        application.command()(command)


def run(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A preset (demo, laptop, workstation, cluster) or a YAML file", autocompletion=completion.recipes
        ),
    ],
    source: Annotated[str, typer.Option(help="Folder, archive, video, s3://bucket/prefix or dataset:DIGEST")] = "",
    project: Annotated[str, typer.Option(help="Default: the source's name")] = "",
    set_: SetOption = [],  # noqa: B006 - typer's way to say "none"
    from_: Annotated[
        str,
        typer.Option(
            "--from", help="Compute this stage and everything after it anew", autocompletion=completion.stages
        ),
    ] = "",
    until: Annotated[str, typer.Option(help="End after this stage", autocompletion=completion.stages)] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print recipe and plan as YAML that `run` takes back; run nothing")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object last")] = False,
) -> None:
    """Carry images through the whole life cycle."""
    from edgewright.recipe import resolve, source_for, to_yaml

    resolved = resolve(recipe, overrides=set_)
    source = source_for(resolved, source)
    settings = home_settings() if dry_run else recording_settings()
    from edgewright.cli.console import Display, print_plan, print_summary
    from edgewright.cli.launch import STAGE_NAMES, n_stages, plan_lifecycle, run_lifecycle
    from tasks.engine.run import make_request

    asked = {"stages": STAGE_NAMES, "from_stage": from_, "until": until}
    request = make_request(resolved, source=source, project=project or None, **asked)
    if dry_run:
        plan = plan_lifecycle(request, settings)
        if json_:
            print_json({**PUBLIC_EMPTY, "stages": plan, "plan": request.plan, "error": None})
        else:
            title = f"plan {request.plan[:12]} of project {request.project}, source {request.source}"
            print_plan(plan, recipe=to_yaml(resolved), title=title, again=_words_of(request))
        return
    with remembering(settings), Display(stages=n_stages(request)) as display:
        journal = run_lifecycle(request, settings, observer=display)
    if json_:
        print_json(journal.public)
    else:
        print_summary(journal.state)
        if journal.state["device"]:
            print("the device updates with: edgewright serve-releases, and beside it: edgewright device update")


def _words_of(request: Request) -> list[str]:
    """The command that asks for the same with a recipe from FILE."""
    from tasks.engine.source import is_simulated

    options = {
        "--source": request.source if not is_simulated(request.source) else "",
        "--project": request.project,
        "--from": request.from_stage,
        "--until": request.until,
    }
    told = [word for name, value in options.items() if value for word in (name, value)]
    return ["edgewright", "run", "FILE", *told]


def runs(json_: Annotated[bool, typer.Option("--json")] = False) -> None:
    """List past runs, newest first."""
    settings = home_settings()
    from edgewright.cli.console import print_runs
    from tasks.engine.journal import journals

    known = journals(settings.runs)
    if json_:
        print_json([journal.public for journal in known])
    else:
        print_runs([journal.state for journal in known])


def report(run: RunArgument) -> None:
    """Write a run's report again and print its path."""
    settings = home_settings()
    from tasks.engine.journal import find_journal
    from tasks.engine.page import write_report
    from tasks.engine.run import reopen

    journal = find_journal(settings.runs, run)
    print(write_report(reopen(journal, settings)))


def decide(
    run: Annotated[str, typer.Argument(help="The waiting run's id", autocompletion=completion.run_ids)],
    choice: Annotated[Literal["real_only", "end"], typer.Argument(help="Train on real data only, or end the run")],
    why: Annotated[str, typer.Option(help="Kept with the run")],
    person: Annotated[str, typer.Option(help="Who decides; default: the login name")] = "",
) -> None:
    """Answer a gate that asked a person; `real_only` continues the run at once."""
    import getpass

    settings = recording_settings()
    from edgewright.cli.console import Display, print_summary
    from edgewright.cli.launch import STAGE_NAMES, n_stages, resume_flow_run, run_lifecycle
    from tasks.engine.enforce import decide_run
    from tasks.engine.journal import find_journal
    from tasks.engine.run import request_of

    journal = find_journal(settings.runs, run, status="waiting")
    person = person or getpass.getuser()
    if resume_flow_run(journal, settings, choice=choice, person=person, why=why):  # which keeps the answer itself
        print(f"run {journal.run_id} goes on where it waited" + (", to its end" if choice == "end" else ""))
        return
    decide_run(journal, choice=choice, person=person, why=why)
    if choice == "end":
        print(f"run {journal.run_id} has ended")
        return
    request = request_of(journal, stages=STAGE_NAMES)
    with Display(stages=n_stages(request)) as display:
        print_summary(run_lifecycle(request, settings, observer=display).state)


def ui(
    mlflow_port: Annotated[int, typer.Option()] = 5000,
    prefect_port: Annotated[int, typer.Option()] = 4200,
) -> None:
    """Serve MLflow, Prefect and the releases of this home until Ctrl-C or SIGTERM."""
    settings = recording_settings()
    from edgewright.cli.launch import terminate_as_interrupt
    from tasks.serve.releases import served_beside
    from tasks.serve.ui import serve_interfaces

    def say(line: str) -> None:
        print(line, flush=True)

    with terminate_as_interrupt(), served_beside(settings, say=say):
        serve_interfaces(settings, mlflow_port=mlflow_port, prefect_port=prefect_port, say=say)


def detect(
    model: Annotated[
        str,
        typer.Argument(
            help="A bundle's folder, an .onnx with spec.json beside it, a run's id or `latest`; "
            "of a further tier's detector `latest@basic`",
            autocompletion=completion.run_ids,
        ),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            help="Pictures (JPEG, PNG, WebP, BMP, TIFF, PPM), videos (mp4, avi, mov, mkv, webm, m4v, mpg), "
            "folders of them, or patterns such as 'photos/**/*.png'"
        ),
    ],
    save: Annotated[
        Path | None, typer.Option("--save", "--out", help="Folder for the pictures with their boxes; default: none")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Of a video, every n-th frame")] = 10,
    score: Annotated[float, typer.Option(min=0.0, max=1.0, help="0: the model's own threshold")] = 0.0,
    json_: Annotated[bool, typer.Option("--json", help="Print a JSON object a line, one a picture")] = False,
) -> None:
    """Say what a model detects in pictures and videos; goes on past what cannot be read."""
    from edgewright.cli.detections import Detections, show_detections
    from edgewright.runtime.session import load_network, predictor

    settings = home_settings()
    path, spec = _find_model(model, settings)
    predict = predictor(load_network(path, threads=settings.threads), spec, score_threshold=score or None)
    show_detections(Detections(predict, spec.classes, save), images, every=every, as_json=json_)


def export(
    dataset: Annotated[
        str, typer.Argument(help="A dataset's digest, or RUN or RUN:STAGE", autocompletion=completion.run_ids)
    ],
    out: Annotated[Path, typer.Option(help="An empty or new folder")] = Path("export"),
    format_: Annotated[Literal["yolo", "coco", "voc"], typer.Option("--format")] = "yolo",
) -> None:
    """Write a dataset as YOLO, COCO or Pascal VOC."""
    from edgewright.data.dataset import Dataset
    from edgewright.data.export import export_dataset

    settings = home_settings()
    store = home_store(settings)
    ref = _find_dataset(dataset, store, settings)
    print(f"{export_dataset(Dataset.open(store, ref), out, layout=format_)} images in {out}")


def gc(
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest runs stay whole")] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run/--yes", help="Show what would go, or remove it")] = True,
) -> None:
    """Show, or remove, artifacts that no kept run, registered model or release reaches."""
    settings = recording_settings()
    from edgewright.cli.console import print_garbage
    from tasks.engine.journal import home_lock
    from tasks.engine.run import tracker_of
    from tasks.serve.garbage import find_garbage, remove_garbage

    store = home_store(settings)
    with home_lock(settings.home):
        plan = find_garbage(store, settings, tracker_of(settings), keep=keep)
        if not dry_run:
            remove_garbage(store, settings, plan)
    print_garbage(plan, removed=not dry_run, again=f"edgewright gc --keep {keep} --yes")


def _find_dataset(text: str, store: Store, settings: Settings) -> ArtifactRef:
    from edgewright.artifacts import ArtifactRef
    from tasks.engine.journal import find_journal
    from tasks.engine.source import matching_digests

    matching = matching_digests(text, store)
    if len(matching) == 1:
        return store.ref(matching[0], store.manifest(matching[0]).content.kind)
    run_id, _, stage = text.partition(":")
    refs = find_journal(settings.runs, run_id, stage=stage or "ingest").state["refs"]
    if (stage or "ingest") not in refs:
        raise InputError("the run has no such dataset", expected=", ".join(refs), got=stage or "ingest")
    return ArtifactRef.from_json(refs[stage or "ingest"])


def _find_model(text: str, settings: Settings) -> tuple[Path, Any]:
    from edgewright.compress.files import SPEC_FILE, file_for_this_machine
    from edgewright.runtime.bundle import MANIFEST_FILE
    from edgewright.runtime.session import ModelSpec

    path = Path(text)
    names = [each.name for each in path.glob("*.onnx")] if path.is_dir() else []
    folder, model = (path, path / file_for_this_machine(names)) if path.is_dir() else (path.parent, path)
    if model.is_file():
        for name in (SPEC_FILE, MANIFEST_FILE):
            if (folder / name).is_file():
                described = json.loads((folder / name).read_bytes())
                return model, ModelSpec.from_json(described.get("spec", described))
        raise InputError("no spec.json or manifest.json beside the model", where=folder)
    from edgewright.device.offer import TIERS
    from tasks.engine.journal import find_journal
    from tasks.engine.tracking import titled

    run_id, _, tier = text.partition("@")
    stage = titled("quantize", "" if tier == TIERS[0] else tier)
    refs = find_journal(settings.runs, run_id, stage=stage).state["refs"]
    if stage not in refs:
        raise InputError("the run has no INT8 model", where=text)
    from edgewright.artifacts import ArtifactRef

    artifact = home_store(settings).open(ArtifactRef.from_json(refs[stage]))
    return artifact.path(file_for_this_machine(artifact.files)), ModelSpec.from_json(artifact.json(SPEC_FILE))
