"""One quantized candidate: bytes and accuracy beside its float detector's on a split's photographs, and its time.

Decides that the worse of the two INT8 files counts, each as a processor computes it that it is for: a budget has to
hold on every device. Refuses a split without a labeled object.
"""

from __future__ import annotations

import numpy as np

from edgewright.artifacts import Artifact
from edgewright.budget.weighed import Weighed
from edgewright.compress.files import FLOAT_FILE, INT8_FILE, SAFE_FILE, SPEC_FILE, file_for_this_machine
from edgewright.compress.forms import forms_of
from edgewright.compress.measure import measure_latency
from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Split
from edgewright.detect.bootstrap import compare_paired
from edgewright.detect.evaluate import Evaluation, Sample, evaluate
from edgewright.detect.train import FACTS_FILE
from edgewright.errors import InputError
from edgewright.progress import OnProgress, silent
from edgewright.runtime.session import EVALUATION_SCORE_THRESHOLD, ModelSpec, Network, load_network, predictor


def weigh(
    model: Artifact,
    detector: Artifact,
    dataset: Dataset,
    *,
    split: Split,
    seed: int,
    threads: int,
    on_progress: OnProgress = silent,
) -> Weighed:
    """Args: model: the INT8 model. detector: what it was made of."""
    spec = ModelSpec.from_json(model.json(SPEC_FILE))
    dataset.check_classes(spec.classes)
    rows = dataset.select(split=split, origin=Origin.REAL, labeled=True)
    if not any(len(row.boxes) for row in rows):
        raise InputError(f"nothing to find on {split}, so nothing can be measured", where=dataset.ref.uri)
    samples = [Sample(dataset.image(row), row.boxes, row.ignored) for row in rows]
    networks: dict[str, Network] = {
        FLOAT_FILE: load_network(model.path(FLOAT_FILE), threads=threads),
        **{name: forms_of(model.path(name), threads=threads).shipped for name in (INT8_FILE, SAFE_FILE)},
    }
    found = {
        name: _evaluated(network, spec, samples, name=name, on_progress=on_progress)
        for name, network in networks.items()
    }
    worse = min((INT8_FILE, SAFE_FILE), key=lambda name: found[name].map50_95 or 0.0)
    whole, matched = found[FLOAT_FILE], found[worse].matched
    assert whole.matched is not None
    assert matched is not None
    return Weighed(
        bytes=max(model.path(name).stat().st_size for name in (INT8_FILE, SAFE_FILE)),
        parameters=detector.json(FACTS_FILE)["parameters"],
        float_map50_95=whole.map50_95 or 0.0,
        map50_95=found[worse].map50_95 or 0.0,
        map50=found[worse].map50 or 0.0,
        n_images=len(rows),
        paired=compare_paired(matched, whole.matched, seed=seed),
    )


def answer_ms(model: Artifact, *, runs: int) -> float:
    """Median from decoded picture to boxes, of the file that this machine runs, on one thread.

    On noise of the input's size: the time hardly depends on what is seen, and no picture has to be decoded for it.
    """
    spec = ModelSpec.from_json(model.json(SPEC_FILE))
    here = file_for_this_machine((INT8_FILE, SAFE_FILE))
    picture = np.random.default_rng(0).integers(0, 255, (spec.input_px, spec.input_px, 3), dtype=np.uint8)
    return measure_latency(predictor(load_network(model.path(here), threads=1), spec), [picture], runs=runs).p50_ms


def _evaluated(
    network: Network, spec: ModelSpec, samples: list[Sample], *, name: str, on_progress: OnProgress
) -> Evaluation:
    return evaluate(
        predictor(network, spec, score_threshold=EVALUATION_SCORE_THRESHOLD),
        samples,
        classes=spec.classes,
        n_samples=len(samples),
        on_progress=lambda done, total, _: on_progress(done, total, f"evaluating {name}"),
        collect=True,
    )
