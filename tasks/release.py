"""Release: the INT8 model, its manifest and its golden images become a signed bundle in the project's repository."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from edgewright.artifacts import Artifact, ArtifactRef
from edgewright.compress.files import FACTS_FILE, INT8_FILE, SAFE_FILE, SPEC_FILE
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Split, spread
from edgewright.gates.verdict import VERDICT_FILE, Verdict
from edgewright.recipe.release import ReleaseConfig
from edgewright.runtime.boxes import Image
from edgewright.runtime.session import ModelSpec, load_network, predictor
from edgewright.simulate.camera import SimulatedCamera
from tasks.engine.stage import stage
from tasks.engine.work import Work
from tasks.serve.fleet import refuse_while_rolled_out
from tasks.serve.mirrors import keep_mirrored

RELEASE_FILE = "release.json"
_CANDIDATES = 24
_GOLDEN_START = 2_000_000
"""The simulated camera's golden pictures: its photographs count from 0, its feed from 1,000,000."""


@stage(pools=("control",), cached=False, notes={"release": ("version", "digest")})
def release(
    work: Work, config: ReleaseConfig, model: ArtifactRef, verdict: ArtifactRef, training: ArtifactRef
) -> ArtifactRef:
    """Sign and publish; an equal bundle that is already released is left as it is."""
    from edgewright.release.bundle import build_bundle
    from edgewright.release.repository import next_release_number, publish_release

    int8, gate = work.open(model), work.open(verdict)
    measured = Verdict.from_json(gate.json(VERDICT_FILE))
    spec = ModelSpec.from_json(int8.json(SPEC_FILE))
    repository = work.session.settings.releases / work.project
    golden = _golden(config, int8, spec, Dataset.open(work.session.store, training), seed=work.seed)
    began = int8.json(FACTS_FILE).get("start", {})
    budget_ms = next(c.threshold for c in measured.checks if c.set_at == "gate_model.max_p99_ms" and c.threshold)
    with work.session.store.workspace() as out:
        bundle = out / "bundle"
        build_bundle(
            model=int8.path(INT8_FILE),
            safe_model=int8.path(SAFE_FILE),
            spec=spec,
            golden=golden,
            release=next_release_number(repository, config.channel),
            channel=config.channel,
            out=bundle,
            latency_budget_ms=budget_ms,
            start=began,
        )
        if config.roll_out:
            refuse_while_rolled_out(work.session.settings, work.project, config.channel)
        published = publish_release(
            bundle,
            repository=repository,
            keys=work.session.settings.keys / work.project,
            channel=config.channel,
            now=datetime.now(UTC),
            roll_out=config.roll_out,
            secret=work.session.settings.keys_opened_by,
        )
        keep_mirrored(work.session.settings, repository)
        facts = {"version": published.version, "digest": published.digest, "channel": config.channel, "start": began}
        (out / RELEASE_FILE).write_text(json.dumps(facts, sort_keys=True))
        work.session.tracker.tag(work.session.link.mlflow_parent, {"release": f"{config.channel}-{published.version}"})
        return work.publish(out, kind="release", facts=facts)


def _golden(
    config: ReleaseConfig, int8: Artifact, spec: ModelSpec, training: Dataset, *, seed: int
) -> list[tuple[str, Image]]:
    """The candidates on which the model finds most: a golden picture without detections proves little."""
    predict = predictor(load_network(int8.path(SAFE_FILE)), spec)  # the one that any machine computes rightly
    candidates = list(_candidates(config, training, seed=seed))
    candidates.sort(key=lambda item: -len(predict(item[1])))
    return [(f"golden-{number:02d}", image) for number, (_, image) in enumerate(candidates[: config.golden_images])]


def _candidates(config: ReleaseConfig, training: Dataset, *, seed: int) -> Iterable[tuple[str, Image]]:
    """Approved photographs, else admitted synthetic images, else pictures of the simulated camera.

    Golden images go to every device: a customer's photograph is among them only where the recipe approves it, and
    synthetic images only where the gate admitted them (a generator that copies would leak photographs).
    """
    if config.approve_real_golden:
        rows = training.select(split=Split.VAL, origin=Origin.REAL)
    else:
        rows = training.select(origin=Origin.SYNTHETIC)
    if rows:
        return [(row.id, training.image(row)) for row in spread(rows, _CANDIDATES)]
    camera = SimulatedCamera(seed)
    indices = range(_GOLDEN_START, _GOLDEN_START + _CANDIDATES)
    return [(f"simulated-{index}", camera.photograph(index).image) for index in indices]
