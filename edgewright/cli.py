"""The commands. The outermost layer: turns words into requests, and what went wrong into one sentence and an exit code.

Exit codes: 0 done, 2 bad input, 3 ended because of a gate, 4 waiting for a person, 1 anything else. Results go to
stdout, progress and logs to stderr. What a command needs is imported when it runs, so that `--help` is quick and a
missing extra is named only by those who need it.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from edgewright.errors import EdgewrightError, InputError, MissingExtra, StageFailed, describe
from edgewright.home import home_settings, home_store
from edgewright.settings import Settings

if TYPE_CHECKING:
    from edgewright.artifacts import ArtifactRef, Store

try:
    import typer
except ModuleNotFoundError:  # the light base has no typer; `main` says what to install
    typer = None  # type: ignore[assignment]

_TYPER_INTERRUPTED = 130
"""What newer typers make of Ctrl-C; ours is 1, with a sentence."""

_PUBLIC_EMPTY: dict[str, Any] = {
    "run_id": None,
    "mlflow_run_id": None,
    "stages": [],
    "gates": [],
    "models": {},
    "release": None,
    "device": None,
    "report": None,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The `edgewright` script."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["device"]:
        from edgewright.device.cli import main as device_main

        sys.exit(device_main(words[1:]))
    if typer is None:
        print("edgewright: this command needs the pipeline extra: pip install 'edgewright[pipeline]'", file=sys.stderr)
        sys.exit(2)
    sys.exit(_run_command(words))


def _run_command(words: list[str]) -> int:
    """The one frame that turns any exception into an exit code, a sentence and, with --json, an object."""
    try:
        result = int(_application()(args=words, prog_name="edgewright", standalone_mode=False) or 0)
        return _end(describe(KeyboardInterrupt()), words) if result == _TYPER_INTERRUPTED else result
    except typer.Exit as done:
        return int(done.exit_code)
    except _usage_error() as refused:
        refused.show()
        return _end(InputError(refused.format_message()), words, quiet=True)
    except ModuleNotFoundError as raised:
        return _end(_missing_extra(raised), words)
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


def _end(error: EdgewrightError, words: list[str], *, quiet: bool = False) -> int:
    if not quiet:
        print(f"edgewright: {error}", file=sys.stderr)
    if "--json" in words:
        _print_json({**(_last_run or _PUBLIC_EMPTY), "error": error.to_json()})
    return error.exit_code


_last_run: dict[str, Any] = {}
"""What the journal of this process's run says, for the object that a failed `run --json` still prints."""


def _application() -> typer.Typer:
    application = typer.Typer(
        name="edgewright",
        help="From a few labeled photographs to a signed INT8 detector under 2 MB on an edge device.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for command in (run, runs, report, decide, ui, detect, export, gc):
        application.command()(command)
    from edgewright.cli_groups import add_groups

    add_groups(application)
    application.command(
        name="device",
        help="Forward to edgewright-device: init, update, run, status.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    )(_device)
    return application


def run(
    recipe: Annotated[str, typer.Argument(help="A preset (demo, laptop, workstation, cluster) or a YAML file")],
    source: Annotated[str, typer.Option(help="Folder, archive, video, s3://bucket/prefix or dataset:DIGEST")] = "",
    project: Annotated[str, typer.Option(help="Default: the source's name")] = "",
    set_: Annotated[list[str], typer.Option("--set", help="section.field=value, again and again")] = [],  # noqa: B006
    from_: Annotated[str, typer.Option("--from", help="Compute this stage and everything after it anew")] = "",
    until: Annotated[str, typer.Option(help="End after this stage")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and run nothing")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object last")] = False,
) -> None:
    """Carry images through the whole life cycle."""
    from edgewright.recipe import resolve

    resolved = resolve(recipe, overrides=set_)
    if not source and resolved.preset != "demo":
        raise InputError("--source is needed", expected="a folder, archive, video, s3://… or dataset:…", got="nothing")
    settings = home_settings()
    from edgewright.console import Display, print_plan, print_summary
    from edgewright.launch import STAGE_NAMES, make_request, plan_run, run_pipeline

    request = make_request(
        resolved, source=source or "simulated", project=project or None, from_stage=from_, until=until
    )
    if dry_run:
        plan = plan_run(request, settings)
        if json_:
            _print_json({**_PUBLIC_EMPTY, "stages": plan, "error": None})
        else:
            print_plan(plan, project=request.project, source=request.source)
        return
    with _remembering(settings), Display(stages=len(STAGE_NAMES)) as display:
        journal = run_pipeline(request, settings, observer=display)
    if json_:
        _print_json(journal.public)
    else:
        print_summary(journal.state)


def runs(json_: Annotated[bool, typer.Option("--json")] = False) -> None:
    """List past runs, newest first."""
    settings = home_settings()
    from edgewright.console import print_runs
    from tasks.engine.journal import journals

    known = journals(settings.runs)
    if json_:
        _print_json([journal.public for journal in known])
    else:
        print_runs([journal.state for journal in known])


def report(run: Annotated[str, typer.Argument(help="A run's id, or `latest`")]) -> None:
    """Write a run's report again and print its path."""
    settings = home_settings()
    from edgewright.launch import reopen
    from tasks.engine.journal import find_journal
    from tasks.report import write_report

    journal = find_journal(settings.runs, run)
    print(write_report(reopen(journal, settings)))


def decide(
    run: Annotated[str, typer.Argument(help="The waiting run's id")],
    choice: Annotated[Literal["real_only", "end"], typer.Argument(help="Train on real data only, or end the run")],
    why: Annotated[str, typer.Option(help="Kept with the run")],
    person: Annotated[str, typer.Option(help="Who decides; default: the login name")] = "",
) -> None:
    """Answer a gate that asked a person; `real_only` continues the run at once."""
    import getpass

    settings = home_settings()
    from edgewright.console import Display, print_summary
    from edgewright.launch import STAGE_NAMES, decide_run, request_of, run_pipeline
    from tasks.engine.journal import find_journal

    journal = find_journal(settings.runs, run)
    decide_run(journal, choice=choice, person=person or getpass.getuser(), why=why)
    if choice == "end":
        print(f"run {journal.run_id} has ended")
        return
    with Display(stages=len(STAGE_NAMES)) as display:
        print_summary(run_pipeline(request_of(journal), settings, observer=display).state)


def ui(
    mlflow_port: Annotated[int, typer.Option()] = 5000,
    prefect_port: Annotated[int, typer.Option()] = 4200,
) -> None:
    """Serve MLflow and Prefect on this home until Ctrl-C or SIGTERM."""
    settings = home_settings()
    from edgewright.launch import terminate_as_interrupt
    from tasks.serve.ui import serve_interfaces

    with terminate_as_interrupt():
        serve_interfaces(
            settings, mlflow_port=mlflow_port, prefect_port=prefect_port, say=lambda line: print(line, flush=True)
        )


def detect(
    model: Annotated[str, typer.Argument(help="A bundle's folder, an .onnx with spec.json beside it, or a run's id")],
    images: Annotated[list[Path], typer.Argument(help="Pictures")],
    out: Annotated[Path, typer.Option(help="Where the drawn pictures go")] = Path("detections"),
    score: Annotated[float, typer.Option(min=0.0, max=1.0, help="0: the model's own threshold")] = 0.0,
    json_: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Draw what a model detects in pictures."""
    from PIL import Image as PillowImage

    from edgewright.runtime.draw import draw_boxes
    from edgewright.runtime.preprocess import read_image
    from edgewright.runtime.session import load_network, predictor

    settings = home_settings()
    path, spec = _find_model(model, settings)
    predict = predictor(load_network(path, threads=settings.threads), spec, score_threshold=score or None)
    out.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    for number, picture in enumerate(images):
        boxes = predict(image := read_image(picture))
        target = out / f"{number:03d}-{picture.stem}.png"
        PillowImage.fromarray(draw_boxes(image, boxes, classes=spec.classes)).save(target)
        names = [spec.classes[index] for index in boxes.class_id]
        found.append({"image": str(picture), "drawn": str(target), "xyxy": boxes.xyxy.tolist()})
        found[-1] |= {"classes": names, "scores": boxes.score.tolist()}
        if not json_:
            print(f"{picture}: {len(boxes)} objects -> {target}")
    if json_:
        _print_json(found)


def export(
    dataset: Annotated[str, typer.Argument(help="A dataset's digest, or RUN or RUN:STAGE")],
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
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest runs stay whole")],
    dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
) -> None:
    """Remove artifacts that no kept run, registered model or release reaches."""
    settings = home_settings()
    from tasks.engine.journal import home_lock
    from tasks.engine.tracking import Tracker
    from tasks.serve.garbage import plan_sweep, sweep

    store = home_store(settings)
    with home_lock(settings.home):
        plan = plan_sweep(store, settings, Tracker(settings.mlflow_tracking_uri, settings.home), keep=keep)
        if not dry_run:
            sweep(store, settings, plan)
    word = "would free" if dry_run else "freed"
    print(f"{word} {plan.bytes / 1e6:.1f} MB: {len(plan.artifacts)} artifacts, {len(plan.runs)} runs")


def _device(context: typer.Context) -> None:
    """Reached through `main`, which forwards before the light base needs typer; kept for `--help`."""
    from edgewright.device.cli import main as device_main

    raise typer.Exit(device_main(context.args))


def _find_dataset(text: str, store: Store, settings: Settings) -> ArtifactRef:
    from edgewright.artifacts import ArtifactRef
    from tasks.engine.journal import find_journal
    from tasks.engine.source import matching_digests

    matching = matching_digests(text, store)
    if len(matching) == 1:
        return store.ref(matching[0], store.manifest(matching[0]).content.kind)
    run_id, _, stage = text.partition(":")
    refs = find_journal(settings.runs, run_id).state["refs"]
    if (stage or "ingest") not in refs:
        raise InputError("the run has no such dataset", expected=", ".join(refs), got=stage or "ingest")
    return ArtifactRef.from_json(refs[stage or "ingest"])


def _find_model(text: str, settings: Settings) -> tuple[Path, Any]:
    from edgewright.runtime.session import ModelSpec

    path = Path(text)
    folder, model = (path, path / "model.onnx") if path.is_dir() else (path.parent, path)
    if model.is_file():
        for name in ("spec.json", "manifest.json"):
            if (folder / name).is_file():
                described = json.loads((folder / name).read_bytes())
                return model, ModelSpec.from_json(described.get("spec", described))
        raise InputError("no spec.json or manifest.json beside the model", where=folder)
    from tasks.engine.journal import find_journal

    refs = find_journal(settings.runs, text).state["refs"]
    if "quantize" not in refs:
        raise InputError("the run has no INT8 model", where=text)
    from edgewright.artifacts import ArtifactRef

    artifact = home_store(settings).open(ArtifactRef.from_json(refs["quantize"]))
    return artifact.path("model.onnx"), ModelSpec.from_json(artifact.json("spec.json"))


@contextmanager
def _remembering(settings: Settings) -> Iterator[None]:
    """Keep the journal's public part where `_end` finds it when the run raises."""
    from tasks.engine.journal import journals

    try:
        yield
    finally:
        known = journals(settings.runs)
        if known:
            _last_run.update(known[0].public)


def _missing_extra(error: ModuleNotFoundError) -> EdgewrightError:
    """Which extra holds the module that is not there."""
    train = ("torch", "torchvision", "ultralytics", "onnx", "onnxslim", "cv2", "safetensors")
    root = (error.name or "").split(".")[0]
    extra = "train" if root in train else "pipeline"
    if root in ("edgewright", "tasks", "flows"):
        return StageFailed(str(error), next_step="reinstall edgewright")
    return MissingExtra(f"{root} is not installed", next_step=f"pip install 'edgewright[{extra}]'")


def _print_json(value: Any) -> None:
    sys.stdout.flush()
    print(json.dumps(value, indent=1, sort_keys=True), flush=True)


if __name__ == "__main__":
    main()
