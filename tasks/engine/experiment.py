"""The experiment's bookkeeping: which runs are open, what is written down of a finished one, what all of them say.

Decides nothing about data or models. A finished run is one line in the results file and one MLflow run below the
experiment's parent; the conclusion is a picture and a page.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewright.artifacts import ArtifactRef, canonical_json, sha256_bytes
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Split
from edgewright.detect.evaluate import EVALUATION_FILE
from edgewright.errors import EdgewrightError, InputError, StageFailed
from edgewright.experiment.arms import ARMS
from edgewright.experiment.plan import EfficiencyConfig, Run, check_recipe, run_key, runs_of, settings_digest
from edgewright.experiment.results import Result, append_result, of_settings, read_results
from edgewright.experiment.subset import photographs_digest, pool_rows
from edgewright.files import write_atomically
from edgewright.gates.evidence import EVIDENCE_FILE
from edgewright.gates.utility import UTILITY_FILE
from edgewright.gates.verdict import VERDICT_FILE
from edgewright.metrics import metrics_of
from edgewright.recipe import Recipe
from edgewright.recipe.section import Section
from tasks.engine.external import external_digests
from tasks.engine.fingerprint import fingerprint
from tasks.engine.session import Session, current_session, session_open
from tasks.engine.stage import Stage
from tasks.engine.tracking import Entry

_NOTHING_FOUND: dict[str, Any] = {"map50": 0.0, "map50_95": 0.0, "ap50_95": {}, "n_images": 0}
CURVE, PAGE = "label_efficiency.png", "report.html"


@dataclass(frozen=True)
class Findings:
    """What one run of the experiment made.

    Attributes:
        evaluation: None where nothing was left to train on: no detector, nothing found.
        gated: judged on the arm's own images. reference: on the pool's others.
    """

    recipe: Recipe
    config: EfficiencyConfig
    run: Run
    real: ArtifactRef
    training: ArtifactRef
    evaluation: ArtifactRef | None
    extra: ArtifactRef
    gated: ArtifactRef | None
    reference: ArtifactRef | None


def open_runs(recipe: Recipe, config: EfficiencyConfig, real: ArtifactRef, results: str) -> Iterator[Run]:
    """The runs that have no line yet, in order; the file is read before each, because another process may write to it.

    Raises:
        InputError: a line cannot be read; nothing is lost. RecipeError: a run of the plan could not be made.
    """
    dataset = Dataset.open(_session().store, real)
    check_recipe(recipe, config, pool=len(pool_rows(dataset)))
    _check_test(dataset)
    digest, settings = photographs_digest(dataset), _settings(recipe, config)
    for run in runs_of(config):
        if run_key(run, dataset=digest, settings=settings[run.arm]) not in {one.key for one in _known(results)}:
            yield run


def _check_test(dataset: Dataset) -> None:
    rows = dataset.select(split=Split.TEST, origin=Origin.REAL, labeled=True)
    if not any(len(row.boxes) for row in rows):
        raise InputError(
            "nothing to find on the test photographs, so nothing can be measured",
            expected="labeled objects in test",
            got=f"{len(rows)} labeled photographs without one",
            where=dataset.ref.uri,
            next_step="label more photographs, or lower ingest.train_share",
        )


def _settings(recipe: Recipe, config: EfficiencyConfig) -> dict[str, str]:
    """Arm => digest of its settings, with the bytes of what they name."""
    external = {
        name: found for name, section in recipe if isinstance(section, Section) if (found := external_digests(section))
    }
    return {arm: settings_digest(recipe, config, arm, external=external) for arm in ARMS}


def _known(results: str) -> list[Result]:
    known, unread = read_results(Path(results))
    if unread:
        raise InputError(
            "lines of the results file cannot be read",
            got="; ".join(unread[:3]),
            where=results,
            next_step="repair or remove those lines; every whole line is kept",
        )
    return known


def can_train(training: ArtifactRef) -> bool:
    """Whether a training set holds an object at all: the labeler may have left every synthetic picture out."""
    rows = Dataset.open(_session().store, training).select(split=Split.TRAIN, labeled=True)
    return any(len(row.boxes) for row in rows)


@contextmanager
def running(run: Run) -> Iterator[None]:
    """Stages below this take the run's seed and are watched under its name."""
    session = _session()
    session.observer.stage_started(run.title, "control")
    began = time.monotonic()
    with session_open(replace(session, link=session.link.model_copy(update={"seed": run.seed}))):
        yield
    session.observer.stage_finished(run.title, time.monotonic() - began, cached=False)


def report_failures(failed: Mapping[str, EdgewrightError]) -> None:
    """Raises StageFailed naming the runs (title => error) that could not be made; none is fine."""
    if failed:
        first = next(iter(failed.values()))
        raise StageFailed(
            f"{len(failed)} of the experiment's runs failed; what was made stands in the results file",
            got="; ".join(f"{title}: {error}" for title, error in failed.items()),
            next_step="the same command tries these again, and these alone",
        ) from first


def record(findings: Findings, results: str, *, stages: Sequence[Stage[...]]) -> Result:
    """Log the run, then append its line: what stands there is not made again, so it comes last."""
    session = _session()
    result = _result(findings, session, made_by=_made_by(stages))
    tags = {"edgewright.arm": result.arm, "edgewright.labels": result.labels, "gate.gate_data": result.gate}
    entry = Entry(findings.run.title, result.key, tags=tags, params=vars(findings.run))
    with session.tracker.child(session.link.mlflow_parent, entry) as child:
        child.log(metrics_of({"map50": result.map50, "map50_95": result.map50_95, "reference": result.reference}))
        child.log_json(result.to_json(), "result.json")
    append_result(Path(results), result)
    return result


def conclude(
    recipe: Recipe, config: EfficiencyConfig, real: ArtifactRef, results: str, failed: Mapping[str, EdgewrightError]
) -> Path:
    """Draw the curve and write the page from every line of this data set and these settings; MLflow gets both too.

    Planned runs without a line are named on the page, with why they failed.
    """
    from edgewright.experiment.analysis import analyze
    from edgewright.report.charts import draw_intervals_png
    from edgewright.report.experiment import efficiency_curve, render_experiment

    session = _session()
    digest = photographs_digest(Dataset.open(session.store, real))
    found = of_settings(_known(results), dataset=digest, settings=_settings(recipe, config))
    made = {one.run for one in found}
    missing = {run.title: str(failed.get(run.title, "")) for run in runs_of(config) if run not in made}
    analysis = analyze(found)
    folder = session.journal.path.parent
    project = session.link.project
    write_atomically(folder / CURVE, draw_intervals_png(efficiency_curve(analysis, project=project)))
    page = render_experiment(analysis, found, project=project, missing=missing)
    write_atomically(folder / PAGE, page.encode())
    for name in (CURVE, PAGE):
        session.tracker.client.log_artifact(session.link.mlflow_parent, str(folder / name))
    session.journal.update(report=str(folder / PAGE))
    return folder / PAGE


def _result(findings: Findings, session: Session, *, made_by: Mapping[str, Any]) -> Result:
    run, store = findings.run, session.store
    measured = store.open(findings.evaluation).json(EVALUATION_FILE) if findings.evaluation else _NOTHING_FOUND
    counts = store.manifest(findings.training.sha256).record.facts
    gate = _verdict(session, findings.gated)
    reference = _verdict(session, findings.reference)
    dataset = photographs_digest(Dataset.open(store, findings.real))
    settings = _settings(findings.recipe, findings.config)[run.arm]
    return Result(
        key=run_key(run, dataset=dataset, settings=settings),
        project=session.link.project,
        dataset=dataset,
        settings=settings,
        arm=run.arm,
        labels=run.labels,
        draw=run.draw,
        seed=run.seed,
        steps=findings.config.steps,
        image_px=findings.recipe.train_detector.image_px,
        n_photographs=counts["photographs"],
        n_extra=counts["extra"],
        n_test=measured["n_images"] or _count_test(findings, session),
        map50=measured["map50"],
        map50_95=measured["map50_95"],
        by_class=measured["ap50_95"],
        gate=gate.get("outcome", ""),
        reference=_measurements(session, findings.reference),
        reference_gate=reference.get("outcome", ""),
        facts={
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **made_by,
            "gate_sentence": gate.get("sentence", ""),
            "reference_sentence": reference.get("sentence", ""),
            "left_out": _left_out(session, findings.extra),
            **utility_facts(session, findings.gated),
            "problem": "" if findings.evaluation else "nothing was left to train on",
        },
    )


def _made_by(stages: Sequence[Stage[...]]) -> dict[str, Any]:
    """The libraries of every stage of the experiment, and the digest of their code: lines of other code can be told."""
    found = [fingerprint(stage.fn) for stage in stages]
    versions = {name: version for one in found for name, version in one.libraries.items()}
    return {"versions": versions, "code": sha256_bytes(canonical_json([one.code for one in found]))[:12]}


def _count_test(findings: Findings, session: Session) -> int:
    return len(Dataset.open(session.store, findings.real).select(split=Split.TEST, origin=Origin.REAL, labeled=True))


def _verdict(session: Session, ref: ArtifactRef | None) -> dict[str, Any]:
    verdict: dict[str, Any] = session.store.open(ref).json(VERDICT_FILE) if ref else {}
    return verdict


def _measurements(session: Session, ref: ArtifactRef | None) -> dict[str, float]:
    if ref is None:
        return {}
    evidence = session.store.open(ref).json(EVIDENCE_FILE)
    return {one["name"]: one["value"] for one in evidence["measurements"] if one["value"] is not None}


def utility_facts(session: Session, ref: ArtifactRef | None) -> dict[str, Any]:
    """The gain that the gate decided by, with its interval; nothing where no pairs were trained for it."""
    gain = session.store.open(ref).json(UTILITY_FILE)["gain"] if ref else None
    return {"utility": gain} if gain else {}


def _left_out(session: Session, extra: ArtifactRef) -> int:
    return len(Dataset.open(session.store, extra).quarantined)


def _session() -> Session:
    session = current_session()
    if session is None:
        raise StageFailed("an experiment was recorded outside a session")
    return session
