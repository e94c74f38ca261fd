"""`edgewright export-model`, `serve-model`: a run's float detector for other runtimes, for devices. Decides nothing."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from edgewright.cli import completion
from edgewright.cli.home import home_settings, home_store
from edgewright.errors import ArtifactMissing, InputError

if TYPE_CHECKING:
    from edgewright.artifacts import Artifact
    from edgewright.data.dataset import Dataset
    from edgewright.settings import Settings

_PICTURES = 200


def export_model(
    run: Annotated[str, typer.Argument(help="A run's id or `latest`", autocompletion=completion.run_ids)],
    to: Annotated[
        str,
        typer.Option(help="Comma-separated: onnx, torchscript, openvino, ncnn, mnn; others as ultralytics names them"),
    ] = "openvino",
    out: Annotated[Path, typer.Option(help="A folder; each format becomes a new one in it")] = Path("models"),
) -> None:
    """Write a run's float detector for other runtimes, and evaluate each where its runtime is installed."""
    from edgewright.convert.formats import require_known
    from edgewright.convert.measure import Shown
    from edgewright.convert.measure import export_model as export
    from edgewright.data.rows import Origin, Split, spread

    settings = home_settings()
    names = list(dict.fromkeys(filter(None, (word.strip() for word in to.split(",")))))
    require_known(names)
    there = [str(out / name) for name in names if (out / name).exists()]
    if there or not names:
        raise InputError("a format needs a folder of its own", expected="new ones", got=", ".join(there) or "no format")
    detector, photographs = _taken_from(run, settings)
    rows = spread(photographs.select(split=Split.TEST, origin=Origin.REAL, labeled=True), _PICTURES)
    done = []
    with TemporaryDirectory(prefix="edgewright-shown-") as folder:
        shown = []
        for number, row in enumerate(rows):
            path = Path(folder) / f"{number}"
            path.write_bytes(photographs.payload(row))
            shown.append(Shown(path, row.boxes, row.ignored))
        for made in export(detector, names, shown, out=out, threads=settings.threads):
            print(made, flush=True)
            done.append(made)
    out.mkdir(parents=True, exist_ok=True)
    facts = {"detector": detector.ref.sha256, "n_images": len(rows), "formats": [row.to_json() for row in done]}
    (out / "export.json").write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
    failed = [f"{row.name}: {row.note}" for row in done[1:] if row.bytes is None]
    if failed:
        raise InputError("not everything could be written", got="; ".join(failed), where=out)


def serve_model(
    run: Annotated[
        str,
        typer.Argument(
            help="A run's id or `latest`; of a further tier's detector `latest@full`", autocompletion=completion.run_ids
        ),
    ],
    project: Annotated[
        str, typer.Option(help="Whose devices are heard; default: the run's own", autocompletion=completion.projects)
    ] = "",
    name: Annotated[str, typer.Option(help="By which devices find it, as their policy says")] = "127.0.0.1",
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one")] = 8475,
) -> None:
    """Answer the fleet's devices by a run's float detector, until Ctrl-C or SIGTERM.

    TLS with certificates at both ends; which pictures devices may send is signed: `edgewright release frames`.
    """
    settings = home_settings()
    from edgewright.cli.launch import terminate_as_interrupt
    from tasks.serve.model import serve_until_ended

    with terminate_as_interrupt():
        serve_until_ended(
            settings,
            run,
            project=project,
            name=name,
            host=host,
            port=port,
            say=lambda line: print(line, flush=True),
        )


def _taken_from(run: str, settings: Settings) -> tuple[Artifact, Dataset]:
    """What is quantized in the run, and its photographs."""
    from edgewright.artifacts import ArtifactRef
    from edgewright.data.dataset import Dataset
    from tasks.engine.journal import find_journal

    journal, store = find_journal(settings.runs, run, stage="train_detector"), home_store(settings)
    refs = {stage: ArtifactRef.from_json(ref) for stage, ref in journal.state["refs"].items()}
    detector = refs.get("compress") or refs.get("train_detector")
    if detector is None or "ingest" not in refs:
        raise ArtifactMissing("the run has no detector", got=", ".join(refs) or "nothing", where=journal.path)
    return store.open(detector), Dataset.open(store, refs["ingest"])
