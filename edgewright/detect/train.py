"""Training a detector: from a data set to weights, graph and specification, whatever the family; resumable.

Decides who trains (`efficientdet-…` is learned here, everything else by ultralytics) and what is published: the weights
of the epoch with the best validation mAP50-95 (or the last) as safetensors, with their graph. Refuses a data set with
no labeled object.

    report = train_detector(dataset, config, out=work, scratch=home / "scratch" / plan, seed=0, threads=2,
                            on_epoch=lambda epoch: show(epoch.epoch, epoch.map50))
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgewright.artifacts import canonical_json, sha256_bytes
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Split
from edgewright.detect.efficientdet.graph import FAMILY as EFFICIENTDET
from edgewright.detect.graph_file import write_graph
from edgewright.detect.lesson import CUT, IOU_THRESHOLD, SCORE_THRESHOLD, Begin, EpochReport, Fitted, Lesson
from edgewright.detect.rows import factors_of, labeled_by_machine, training_rows
from edgewright.detect.schedule import shown
from edgewright.errors import InputError
from edgewright.learning.provenance import Provenance
from edgewright.metrics import HISTORY_FILE
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.runtime.session import ModelSpec

FACTS_FILE = "detector.json"
_PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class DetectorReport:
    """What training gave. `epochs` were run, `best_epoch` (from 1) was published; its mAPs are on `val`."""

    n_train: int
    n_val: int
    n_synthetic: int
    epochs: int
    best_epoch: int
    map50: float | None
    map50_95: float | None
    parameters: int
    weights_bytes: int
    layout: str


def train_detector(
    dataset: Dataset,
    config: TrainDetectorConfig,
    *,
    out: Path,
    scratch: Path,
    seed: int,
    threads: int,
    on_epoch: Callable[[EpochReport], None],
    begins: Begin | None = None,
) -> DetectorReport:
    """Train on `train` (real and synthetic), choose the epoch on real `val` (or take the last), publish into `out`.

    Called again with the same scratch folder it goes on after the last whole checkpoint; with other inputs it starts
    anew. `out` gets `weights.safetensors graph.yaml spec.json history.json detector.json`.

    Args:
        begins: what to go on from, instead of `config.init`.

    Raises:
        InputError: nothing to train on, an unknown model, weights that are not there or are not what they should be.
        StageFailed: a loss or a weight is not finite.
    """
    if begins is None:
        _check_start(config, dataset.classes)
    rows = training_rows(dataset, with_val=config.keep == "best")
    plan = canonical_json(
        {
            "dataset": dataset.ref.sha256,
            "config": config.model_dump(mode="json"),
            "seed": seed,
            **({"begins": begins.identity} if begins else {}),
        }
    )
    _empty_unless_of(plan, scratch)
    train = rows[Split.TRAIN]
    made = labeled_by_machine(train)
    lesson = Lesson(
        dataset=dataset,
        train=train,
        val=rows[Split.VAL],
        made=made,
        shown=shown(made, config, factors=factors_of(train, config), seed=seed),
        config=config,
        spec=ModelSpec(dataset.classes, config.image_px, "dense", SCORE_THRESHOLD, IOU_THRESHOLD),
        scratch=scratch,
        work_id=sha256_bytes(plan),
        seed=seed,
        threads=threads,
        on_epoch=on_epoch,
        begins=begins,
    )
    return _publish(_fit(lesson), lesson, out=out)


def _check_start(config: TrainDetectorConfig, classes: tuple[str, ...]) -> None:
    """A detector of ours says beside its weights which classes they know. As many by other names would be taken whole,
    and their scores mean something else; where the numbers differ only what does not know classes is taken."""
    from edgewright.detect.network import SPEC_FILE

    beside = Path(config.init).with_name(SPEC_FILE)
    if not Path(config.init).is_file() or not beside.is_file():
        return
    known = ModelSpec.from_json(json.loads(beside.read_bytes())).classes
    if len(known) == len(classes) and known != classes:
        raise InputError(
            "the weights to begin with know other classes",
            expected=", ".join(classes),
            got=", ".join(known),
            where=config.init,
            next_step="give weights of a detector of the same classes in the same order, or init=none",
        )


def provenance_of(facts: Mapping[str, Any]) -> Provenance:
    """From what FACTS_FILE holds; of a detector that an older version trained: random numbers."""
    return Provenance(**facts.get("start", {}))


def _fit(lesson: Lesson) -> Fitted:
    if lesson.config.model.startswith(EFFICIENTDET):
        from edgewright.detect.efficientdet.fit import fit as fit_efficientdet

        return fit_efficientdet(lesson)
    from edgewright.detect.yolo.fit import fit as fit_yolo

    return fit_yolo(lesson)


def _empty_unless_of(plan: bytes, scratch: Path) -> None:
    """A scratch folder of another plan is emptied."""
    kept = scratch / _PLAN_FILE
    if kept.is_file() and kept.read_bytes() == plan:
        return
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    kept.write_bytes(plan)


def _publish(fitted: Fitted, lesson: Lesson, *, out: Path) -> DetectorReport:
    from safetensors.torch import save_file

    from edgewright.detect.network import GRAPH_FILE, SPEC_FILE, WEIGHTS_FILE

    save_file(dict(fitted.weights), out / WEIGHTS_FILE)
    cut = {CUT: True} if lesson.begins and lesson.begins.cut else {}
    write_graph({**fitted.graph, **cut}, out / GRAPH_FILE)
    spec = replace(lesson.spec, layout=fitted.layout)
    best = fitted.history[fitted.best_epoch - 1]
    report = DetectorReport(
        n_train=len(lesson.train),
        n_val=len(lesson.val),
        n_synthetic=sum(row.origin == Origin.SYNTHETIC for row in lesson.train),
        epochs=len(fitted.history),
        best_epoch=fitted.best_epoch,
        map50=best.get("val/map50"),
        map50_95=best.get("val/map50_95"),
        parameters=fitted.parameters,
        weights_bytes=(out / WEIGHTS_FILE).stat().st_size,
        layout=spec.layout,
    )
    (out / SPEC_FILE).write_bytes(canonical_json(spec.to_json()))
    (out / HISTORY_FILE).write_bytes(canonical_json([dict(row) for row in fitted.history]))
    facts = {
        **asdict(report),
        "model": lesson.config.model,
        "width": lesson.config.width,
        "batch": fitted.batch,
        "start": fitted.provenance.to_json(),
        "versions": {name: version(name) for name in fitted.libraries},
    }
    (out / FACTS_FILE).write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
    return report
