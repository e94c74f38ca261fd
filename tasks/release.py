"""Release: of each tier the INT8 model, its manifest and its golden images become a signed bundle in the repository.

Decides that tiers are released together or not at all. Refuses a model whose gate has not passed it, and to roll out to
all devices what has no bundle for a tier that the channel's release has one for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgewright.artifacts import Artifact, ArtifactRef
from edgewright.compress.files import FACTS_FILE, INT8_FILE, SAFE_FILE, SPEC_FILE
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Split, spread
from edgewright.device.offer import TIERS
from edgewright.errors import InputError
from edgewright.gates.verdict import VERDICT_FILE, Outcome, Verdict
from edgewright.recipe.release import ReleaseConfig
from edgewright.runtime.boxes import Image
from edgewright.runtime.session import ModelSpec, load_network, predictor
from edgewright.simulate.camera import SimulatedCamera
from tasks.engine.stage import stage
from tasks.engine.work import Work
from tasks.serve.fleet import refuse_fewer_tiers, refuse_while_rolled_out
from tasks.serve.mirrors import keep_mirrored

RELEASE_FILE = "release.json"
BUNDLES = {TIERS[0]: "bundle", **{tier: f"bundle-{tier}" for tier in TIERS[1:]}}
"""Tier => folder of its bundle in what this stage makes."""
_CANDIDATES = 24
_GOLDEN_START = 2_000_000
"""The simulated camera's golden pictures: its photographs count from 0, its feed from 1,000,000."""


@stage(pools=("control",), cached=False, notes={"release": ("version", "digest")})
def release(
    work: Work,
    config: ReleaseConfig,
    model: ArtifactRef,
    verdict: ArtifactRef,
    training: ArtifactRef,
    optimized: ArtifactRef | None = None,
    basic: ArtifactRef | None = None,
) -> ArtifactRef:
    """Sign and publish a bundle a tier under one number; equal bundles that are already released are left as they are.

    `optimized` and `basic` are the verdicts that admit those tiers' models.
    """
    from edgewright.release.repository import next_release_number, publish_tiers

    settings = work.session.settings
    repository = settings.releases / work.project
    verdicts = {TIERS[0]: verdict, "optimized": optimized, "basic": basic}
    admitted = {tier: _admitted(work, ref, tier) for tier, ref in verdicts.items() if ref is not None}
    if admitted[TIERS[0]].model.ref.sha256 != model.sha256:
        raise InputError("the verdict is on another model", expected=model.sha256[:12], got=verdict.sha256[:12])
    dataset = Dataset.open(work.session.store, training)
    with work.session.store.workspace() as out:
        number = next_release_number(repository, config.channel)
        bundles = {
            tier: _bundle(work, config, each, dataset, out / BUNDLES[tier], release=number)
            for tier, each in admitted.items()
        }
        if config.roll_out:
            refuse_while_rolled_out(settings, work.project, config.channel)
            refuse_fewer_tiers(settings, work.project, config.channel, tiers=bundles)
        published = publish_tiers(
            bundles,
            repository=repository,
            keys=settings.keys / work.project,
            channel=config.channel,
            now=datetime.now(UTC),
            roll_out=config.roll_out,
            secret=settings.keys_opened_by,
        )
        keep_mirrored(settings, repository)
        facts = {
            "version": published.version,
            "digest": published.digest,
            "channel": config.channel,
            "start": admitted[TIERS[0]].start,
            "tiers": dict(published.digests),
        }
        (out / RELEASE_FILE).write_text(json.dumps(facts, sort_keys=True))
        work.session.tracker.tag(work.session.link.mlflow_parent, {"release": f"{config.channel}-{published.version}"})
        return work.publish(out, kind="release", facts=facts)


@dataclass(frozen=True)
class _Admitted:
    """A model that its gate has passed.

    Attributes:
        start: what its training began with. budget_ms: the most that a frame may take, by its gate.
    """

    model: Artifact
    start: Mapping[str, str]
    budget_ms: float


def _admitted(work: Work, ref: ArtifactRef, tier: str) -> _Admitted:
    """Raises InputError where the verdict is not a pass: no caller lets anything else through."""
    gate = work.open(ref)
    verdict = Verdict.from_json(gate.json(VERDICT_FILE))
    if verdict.outcome is not Outcome.PASS:
        raise InputError(f"the model of tier {tier} was not admitted", got=verdict.sentence, where="gate_model")
    model = work.open(work.session.store.ref(gate.manifest.content.inputs["model"], "int8_model"))
    budget_ms = next(c.threshold for c in verdict.checks if c.set_at == "gate_model.max_p99_ms" and c.threshold)
    return _Admitted(model, model.json(FACTS_FILE).get("start", {}), budget_ms)


def _bundle(
    work: Work, config: ReleaseConfig, admitted: _Admitted, training: Dataset, out: Path, *, release: int
) -> Path:
    from edgewright.release.bundle import build_bundle

    model = admitted.model
    spec = ModelSpec.from_json(model.json(SPEC_FILE))
    build_bundle(
        model=model.path(INT8_FILE),
        safe_model=model.path(SAFE_FILE),
        spec=spec,
        golden=_golden(config, model, spec, training, seed=work.seed),
        release=release,
        channel=config.channel,
        out=out,
        latency_budget_ms=admitted.budget_ms,
        start=admitted.start,
    )
    return out


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
