"""The budget's bookkeeping: what a candidate is trained on, what is written down of it, what all of them say.

Decides nothing about models. A measured candidate is one MLflow run below the budget's parent; the conclusion is a
page, a picture, and the recipe of what was picked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from edgewright.artifacts import ArtifactRef
from edgewright.budget.pick import P50_MS, Limits, Point, pick
from edgewright.budget.plan import (
    BudgetConfig,
    Candidate,
    Rung,
    candidates_of,
    compression_for,
    detector_for,
    quantization_for,
    rungs_of,
)
from edgewright.budget.weighed import WEIGHED_FILE, Weighed
from edgewright.errors import EdgewrightError, InputError, StageFailed
from edgewright.files import write_atomically
from edgewright.metrics import metrics_of
from edgewright.recipe import Recipe, to_yaml
from tasks.engine.session import Session, current_session
from tasks.engine.tracking import Entry

PICTURE, PAGE, RECIPE = "pareto.png", "report.html", "recipe.yaml"


def limits_of(config: BudgetConfig) -> Limits:
    return Limits(config.max_bytes, config.max_drop, config.max_latency_ms)


def photographs_of(config: BudgetConfig) -> ArtifactRef | None:
    """Those of an earlier run, where one is named, with its own splits."""
    return _known(config.photographs, kind="dataset_real")


def training_set(config: BudgetConfig) -> ArtifactRef | None:
    return _known(config.training, kind="dataset_training")


def _known(digest: str, *, kind: str) -> ArtifactRef | None:
    if not digest:
        return None
    store = _session().store
    found = store.manifest(digest).content.kind
    if found != kind:
        raise InputError("another kind of artifact", expected=kind, got=found, where=digest)
    return store.ref(digest, kind)


@contextmanager
def weighing(candidate: Candidate, rung: Rung) -> Iterator[None]:
    """Stages below this are watched under the candidate's name."""
    session, title = _session(), f"{candidate.title}, {rung.steps} steps"
    session.observer.stage_started(title, "control")
    began = time.monotonic()
    yield
    session.observer.stage_finished(title, time.monotonic() - began, cached=False)


def point_of(
    candidate: Candidate, rung: Rung, weighed: ArtifactRef, *, model: ArtifactRef, detector: ArtifactRef
) -> Point:
    """What was measured of a candidate, written down as a run of MLflow."""
    session = _session()
    found = Weighed.from_json(session.store.open(weighed).json(WEIGHED_FILE))
    point = Point(
        title=candidate.title,
        family=candidate.family,
        steps=rung.steps,
        parameters=found.parameters,
        bytes=found.bytes,
        float_map50_95=found.float_map50_95,
        map50_95=found.map50_95,
        p50_ms=session.store.manifest(weighed.sha256).record.facts[P50_MS],
        model=model.sha256,
        detector=detector.sha256,
    )
    tags = {"edgewright.family": point.family, "edgewright.steps": point.steps}
    entry = Entry(f"{point.title}, {point.steps} steps", weighed.sha256[:16], tags=tags, params=asdict(candidate))
    with session.tracker.child(session.link.mlflow_parent, entry) as child:
        child.log(metrics_of({"bytes": point.bytes, "map50_95": point.map50_95, "drop": point.drop}))
        child.log(metrics_of({"p50_ms": point.p50_ms, "parameters": point.parameters}))
        child.log_json(point.to_json(), "point.json")
    return point


def conclude(
    recipe: Recipe,
    config: BudgetConfig,
    points: Sequence[Point],
    failed: Mapping[str, EdgewrightError],
    *,
    on_test: Callable[[ArtifactRef, ArtifactRef], ArtifactRef],
) -> Path:
    """Pick, measure what is picked on test, write page, picture and recipe; MLflow gets all of them.

    Raises:
        InputError: no candidate was measured; the first failure is its cause.
    """
    from edgewright.report.budget import draw_front_png, render_budget

    if not points:
        raise InputError("no candidate was measured") from next(iter(failed.values()), None)
    session = _session()
    picked, store = pick(points, limits_of(config)), session.store
    tested = None
    if picked.point is not None:
        refs = (store.ref(picked.point.model, "int8_model"), store.ref(picked.point.detector, "detector"))
        tested = Weighed.from_json(store.open(on_test(*refs)).json(WEIGHED_FILE))
    files = {
        PICTURE: draw_front_png(points, project=session.link.project),
        PAGE: render_budget(
            points, picked, limits_of(config), tested, project=session.link.project, failed=_told(failed)
        ).encode(),
    }
    if picked.point is not None:
        files[RECIPE] = to_yaml(recipe_of(picked.point, recipe, config)).encode()
    folder = session.journal.path.parent
    for name, payload in files.items():
        write_atomically(folder / name, payload)
        session.tracker.client.log_artifact(session.link.mlflow_parent, str(folder / name))
    session.journal.update(report=str(folder / PAGE))
    return folder / PAGE


def recipe_of(point: Point, recipe: Recipe, config: BudgetConfig) -> Recipe:
    """What `run` makes the picked detector by, with steps of the last rung."""
    candidates = candidates_of(config, image_px=recipe.train_detector.image_px)
    chosen, last = next(one for one in candidates if one.title == point.title), rungs_of(config)[-1]
    sections = {
        "train_detector": detector_for(chosen, recipe.train_detector, last),
        "compress": compression_for(chosen, recipe.compress, last),
        "quantize": quantization_for(recipe.quantize, config),
    }
    return recipe.model_copy(update=sections)


def report_failures(failed: Mapping[str, EdgewrightError]) -> None:
    """Raises StageFailed naming the candidates that could not be measured; none is fine."""
    if failed:
        raise StageFailed(
            f"{len(failed)} candidates could not be measured to the end; the page shows what was",
            got="; ".join(f"{title}: {error}" for title, error in failed.items()),
            next_step="the same command tries these again, and these alone",
        ) from next(iter(failed.values()))


def _told(failed: Mapping[str, EdgewrightError]) -> dict[str, str]:
    return {title: str(error) for title, error in failed.items()}


def _session() -> Session:
    session = current_session()
    if session is None:
        raise StageFailed("a budget was recorded outside a session")
    return session
