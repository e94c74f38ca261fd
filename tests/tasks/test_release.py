"""What a release takes and what it refuses: real models of cells, verdicts, a real repository; no training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.artifacts import Artifact, ArtifactRef, Content, LocalStore, Record
from edgewright.errors import InputError
from edgewright.gates.verdict import VERDICT_FILE, Outcome, Verdict, compare
from edgewright.recipe.release import ReleaseConfig
from edgewright.release.repository import state_of
from edgewright.runtime.bundle import Bundle
from tasks.engine.session import Session
from tasks.release import BUNDLES, RELEASE_FILE, release
from tests.cells import publish_cell_model, publish_cells

Released = Callable[..., Artifact]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def session(store: LocalStore, open_session: Callable[[LocalStore], Session]) -> Session:
    return open_session(store)


@pytest.fixture
def released(session: Session, store: LocalStore) -> Released:
    """`released(model, verdict, optimized=…, basic=…, roll_out=…)` => what the stage makes of them."""
    training = publish_cells(store, n=4, splits=("train", "val"))

    def run(model: Artifact, verdict: ArtifactRef, *, roll_out: bool = True, **further: ArtifactRef) -> Artifact:
        config = ReleaseConfig(golden_images=2, approve_real_golden=True, roll_out=roll_out)
        inputs: dict[str, Any] = {"model": model.ref, "verdict": verdict, "training": training.ref, **further}
        key = release.key(config, inputs, session=session)
        return store.open(release.execute(config, inputs, session=session, key=key))

    return run


def judged(store: LocalStore, model: Artifact, *, budget_ms: float = 500.0, ms: float = 5.0) -> ArtifactRef:
    """What `gate_model` leaves: a pass where a frame takes no longer than it may."""
    check = compare("p99", ms, n=100, at_most=budget_ms, set_at="gate_model.max_p99_ms")
    passed = check.outcome is Outcome.PASS
    verdict = Verdict("gate_model", check.outcome, (check,), "Judged.", "release" if passed else "end")
    with store.workspace() as out:
        (out / VERDICT_FILE).write_text(json.dumps(verdict.to_json()))
        inputs = {"model": model.ref.sha256}
        return store.publish(out, Content(kind="model_verdict", stage="gate_model", inputs=inputs), Record())


def test_tiers_are_one_release(session: Session, store: LocalStore, released: Released) -> None:
    full, basic = publish_cell_model(store), publish_cell_model(store, gain=0.8)
    verdicts = judged(store, full), judged(store, basic, budget_ms=900.0)
    made = released(full, verdicts[0], basic=verdicts[1])
    facts = made.json(RELEASE_FILE)
    assert (facts["version"], {*facts["tiers"]}, facts["digest"]) == (1, {"full", "basic"}, facts["tiers"]["full"])
    bundles = {tier: Bundle.load(made.path(f"{BUNDLES[tier]}/manifest.json").parent) for tier in facts["tiers"]}
    assert {tier: bundle.manifest.latency_budget_ms for tier, bundle in bundles.items()} == {
        "full": 500.0,
        "basic": 900.0,
    }
    assert {tier: bundle.manifest.digest for tier, bundle in bundles.items()} == facts["tiers"]
    assert {"model", "verdict", "training", "basic"} == {*made.manifest.content.inputs}
    again = released(full, verdicts[0], basic=verdicts[1]).json(RELEASE_FILE)
    assert again == facts, "equal bundles are not released twice"
    other = publish_cell_model(store, gain=0.7)
    assert released(full, verdicts[0], basic=judged(store, other)).json(RELEASE_FILE)["version"] == 2


def test_what_a_gate_has_not_passed_is_not_released(session: Session, store: LocalStore, released: Released) -> None:
    full, slow = publish_cell_model(store), publish_cell_model(store, gain=0.8)
    with pytest.raises(InputError, match=r"model of tier basic was not admitted .*gate_model"):
        released(full, judged(store, full), basic=judged(store, slow, ms=600.0))
    with pytest.raises(InputError, match="model of tier full was not admitted"):
        released(slow, judged(store, slow, ms=600.0))
    with pytest.raises(InputError, match="the verdict is on another model"):
        released(slow, judged(store, full))
    assert not (session.settings.releases / "parts").exists()


def test_no_tier_is_left_without_a_bundle(session: Session, store: LocalStore, released: Released) -> None:
    full, basic, better = (publish_cell_model(store, gain=gain) for gain in (1.0, 0.8, 0.9))
    released(full, judged(store, full), basic=judged(store, basic))
    with pytest.raises(InputError, match=r"fewer tiers than .*expected full, basic, got full.*tiers\.basic=\{\}"):
        released(better, judged(store, better))
    state = state_of(session.settings.releases / "parts")
    assert (state.permitted["stable"], state.releases["stable"]) == ((1,), 1)
    permitted = released(better, judged(store, better), roll_out=False)
    state = state_of(session.settings.releases / "parts")
    assert (permitted.json(RELEASE_FILE)["version"], state.releases["stable"]) == (2, 1), "permitted, and run by nobody"
