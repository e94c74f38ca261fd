"""Quantize: ONNX export and static INT8, calibrated on the user's own images."""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.data.dataset import Dataset
from edgewright.metrics import metrics_of
from edgewright.recipe.compress import QuantizeConfig
from tasks.engine.stage import stage
from tasks.engine.work import Work


@stage(pools=("cpu",))
def quantize(work: Work, config: QuantizeConfig, detector: ArtifactRef, dataset: ArtifactRef) -> ArtifactRef:
    """Convolutions to U8 activations and S8 weights; decoding stays in float."""
    from edgewright.compress.fpga.session import NUMBER_FORMAT
    from edgewright.compress.quantize import quantize as quantize_detector

    with work.session.store.workspace() as out:
        report = quantize_detector(
            work.open(detector),
            Dataset.open(work.session.store, dataset),
            config,
            out=out,
            seed=work.seed,
            threads=work.threads,
            on_progress=work.on_progress,
        )
        facts = {"fpga_number_format": NUMBER_FORMAT} if config.fpga else {}
        return work.publish(out, kind="int8_model", metrics=metrics_of(report), facts=facts)
