"""Weigh: bytes, accuracy and time of one quantized candidate of a budget."""

from __future__ import annotations

import json
import os
import socket
from typing import Literal

from pydantic import Field

from edgewright.artifacts import ArtifactRef
from edgewright.budget.pick import P50_MS
from edgewright.budget.weighed import WEIGHED_FILE
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Split
from edgewright.metrics import metrics_of
from edgewright.recipe.section import Section
from tasks.engine.stage import stage
from tasks.engine.work import Work


class WeighConfig(Section):
    split: Literal["val", "test"] = Field("val", description="test: once, for what was picked")
    runs: int = Field(100, ge=10, description="Answers that are timed")
    machine: str = Field("", description="Whose time is measured: another one's answer is none")


def weighing_on(split: Literal["val", "test"]) -> WeighConfig:
    """By this machine."""
    return WeighConfig(split=split, machine=f"{socket.gethostname()}, {os.cpu_count()} cores")


@stage(pools=("cpu",))
def weigh(
    work: Work, config: WeighConfig, model: ArtifactRef, detector: ArtifactRef, dataset: ArtifactRef
) -> ArtifactRef:
    """The worse INT8 file beside the float detector, on labeled photographs."""
    from edgewright.budget.measure import answer_ms
    from edgewright.budget.measure import weigh as weigh_model

    int8 = work.open(model)
    found = weigh_model(
        int8,
        work.open(detector),
        Dataset.open(work.session.store, dataset),
        split=Split(config.split),
        seed=work.seed,
        threads=work.threads,
        on_progress=work.on_progress,
    )
    with work.session.store.workspace() as out:
        (out / WEIGHED_FILE).write_text(json.dumps(found.to_json(), sort_keys=True))
        return work.publish(
            out,
            kind="weighed",
            metrics=metrics_of(found, prefix=f"{config.split}/"),
            facts={P50_MS: answer_ms(int8, runs=config.runs)},
        )
