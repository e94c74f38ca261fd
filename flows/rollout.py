"""A step of every rollout that runs: what devices said since decides (`edgewright fleet step`).

Its schedule is on while a rollout runs, and switches itself off when none does.
"""

from __future__ import annotations

from prefect import flow

from tasks.serve.rollouts import step_by_schedule


@flow(name="step-rollouts", persist_result=False)
def step_rollouts() -> list[str]:
    """Advance, hold or withdraw each rollout of this home, where its online keys are."""
    return step_by_schedule()
