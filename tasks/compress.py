"""Compress: a trained detector with fewer channels or with zeros, trained again beside what it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgewright.artifacts import Artifact, ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.metrics import metrics_of
from edgewright.recipe.compress import CompressConfig
from edgewright.sparse.facts import FACTS_FILE
from tasks.engine.stage import stage
from tasks.engine.told import Told
from tasks.engine.work import Work

SPEED_UP = "sparsity/speed_up"
"""Of the float network on one thread of this machine: in the record, for no two machines agree on it."""


def told_of(artifact: Artifact) -> Told:
    """What was taken, and what is left of the accuracy."""
    facts: Mapping[str, Any] = artifact.json(FACTS_FILE)
    kept = f"{facts['parameters_after'] / facts['parameters_before']:.0%} of the weights"
    work = f"{facts['multiplications_after'] / facts['multiplications_before']:.0%} of the multiplications"
    lines = [
        f"kept   {kept}, {work}; {facts['zeros']:.0%} of what is kept is zero",
        f"speed  {artifact.manifest.record.metrics[SPEED_UP]:.2f} times as fast (float, one thread)",
    ]
    if facts["map50_95"] is not None and facts["map50_95_before"] is not None:
        lines.append(f"val    mAP50-95 {facts['map50_95_before']:.3f} before, {facts['map50_95']:.3f} after")
    tags = {"compress.method": facts["method"], "compress.parameters": str(facts["parameters_after"])}
    return Told(facts, lines, "\n\n".join(lines), tags)


@stage(pools=("gpu", "cpu"), tells=told_of)
def compress(work: Work, config: CompressConfig, detector: ArtifactRef, dataset: ArtifactRef) -> ArtifactRef:
    """The least important channels or weights go; a killed training continues from its last epoch."""
    from edgewright.compress.sparsify import sparsify
    from edgewright.compress.speed import speed_up

    whole = work.open(detector)
    with work.session.store.workspace() as out:
        report = sparsify(
            whole,
            Dataset.open(work.session.store, dataset),
            config,
            out=out,
            scratch=work.scratch,
            seed=work.seed,
            threads=work.threads,
            on_epoch=work.on_epoch,
        )
        faster = speed_up(whole.path, lambda name: out / name)
        return work.publish(out, kind="detector", metrics={**metrics_of(report, prefix="sparsity/"), SPEED_UP: faster})
