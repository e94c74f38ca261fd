"""A new INT8 model against the champion: both on the same test photographs, by the same evaluator.

Decides nothing: `gates/champion.py` does. Each goes through its own letterbox, at its own input size: what is compared
is what devices run. Refuses to compare where class lists differ; then it says so in place of numbers.
"""

from __future__ import annotations

from edgewright.artifacts import Artifact
from edgewright.compress.files import INT8_FILE, SPEC_FILE
from edgewright.compress.measure import dataset_samples, judged_rows
from edgewright.data.dataset import Dataset
from edgewright.detect.bootstrap import compare_paired
from edgewright.detect.evaluate import evaluate
from edgewright.detect.matching import Matched
from edgewright.errors import InputError
from edgewright.gates.champion import Champion, Comparison
from edgewright.progress import OnProgress, silent
from edgewright.runtime.session import EVALUATION_SCORE_THRESHOLD, ModelSpec, Predictor, load_network, predictor


def challenge(
    challenger: Matched,
    champion: Champion,
    model: Artifact,
    dataset: Dataset,
    *,
    seed: int,
    threads: int,
    on_progress: OnProgress = silent,
) -> Comparison:
    """Judge the champion's INT8 model as the challenger has been, and compare them image by image.

    Args:
        challenger: its matches on the labeled real `test` rows.
        model: the champion's.

    Raises:
        ArtifactMissing, ArtifactCorrupt: a file of the champion's went while the challenger was measured.
    """
    files = {name: model.path(name) for name in (INT8_FILE, SPEC_FILE)}
    try:
        spec = ModelSpec.from_json(model.json(SPEC_FILE))
        network = load_network(files[INT8_FILE], threads=threads)
    except InputError as error:
        return Comparison.of(champion, problem=f"this version cannot run it: {error}")
    if spec.classes != dataset.classes:
        theirs, ours = ", ".join(spec.classes), ", ".join(dataset.classes)
        return Comparison.of(champion, problem=f"it knows other classes ({theirs}) than the data set ({ours})")
    predict = predictor(network, spec, score_threshold=EVALUATION_SCORE_THRESHOLD)
    matched = _judge(predict, dataset, on_progress)
    return Comparison.of(champion, paired=compare_paired(challenger, matched, seed=seed))


def _judge(predict: Predictor, dataset: Dataset, on_progress: OnProgress) -> Matched:
    rows = judged_rows(dataset)
    found = evaluate(
        predict,
        dataset_samples(dataset, rows),
        classes=dataset.classes,
        n_samples=len(rows),
        on_progress=lambda done, total, _: on_progress(done, total, "evaluating the champion"),
        collect=True,
    )
    if found.matched is None:
        raise InputError("nothing was matched", where=dataset.ref.uri)
    return found.matched
