"""The data gate: may training see the synthetic pictures?

Measuring (`measure_data`) and deciding (`decide_data`, pure) are two steps, so that a verdict can be made again from
its evidence. S = usable synthetic pictures, T = real `train`, H = real `val`; `test` is never opened. Each check
compares (S, H) with (T, H) at the same number of pictures and one scale (`tiles.py`), in feature spaces declared
before the run:

    distance    Fréchet distance ratio, KID excess       the sets' means, spreads and shapes
    coverage    coverage ratio, by tiles and by pictures is every kind of real picture there
    fidelity    precision ratio, density ratio           is every synthetic picture like some real one
    detail      spectrum excess, dB                      blur and noise, which the feature networks do not see
    copy        picture and object copies (`copying.py`) training pictures over again
    layout      counts, classes, sizes, places, overlaps are objects where and as many as in real pictures
    classes     classes without an object            is every class there (`rules.class_checks`)
    labels      agreement, errors, pictures left out     do the labels say what is there (`labels.py`)
    utility     gain of a detector in paired runs        measured by a stage of its own, or reported as not measured
    recall      reported only: a perfect generator's recall is far below 1 and says little (arXiv 2505.22450)

A check passes where its estimate meets the threshold *and* the worse end of its interval (95 %, one-sided) does not
reach past a limit `interval_slack` beyond it. With 40 held-out pictures the bound on a Fréchet ratio is half as large
again as the ratio: held to the threshold itself it would refuse real pictures; ignored, it would admit guesses. An
interval past the limit is undecided, and undecided is not admitted, like too few pictures, pictures all alike, or
numbers that are not finite. Beside these stands the rule fid_recall `fid_recall` (`rules.py`). Thresholds and their
sources: `thresholds.py`.

    evidence = measure_data(real, synthetic, config, seed=0, threads=2, on_progress=silent)
    verdict = decide_data(evidence, config)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgewright.data.dataset import Dataset
from edgewright.data.rows import Origin, Split
from edgewright.errors import InputError
from edgewright.gates.evidence import NOT_MEASURED, ClassCount, DataEvidence, Measurement, NearPair
from edgewright.gates.fid_recall import FID_RECALL_RESIZE, drawn_rows, measure_fid_recall
from edgewright.gates.measure.copying import measure_copying
from edgewright.gates.measure.labels import count_classes, measure_labeled_layouts, measure_labels
from edgewright.gates.measure.picture_metrics import PICTURE_DIMENSIONS, measure_whole_pictures
from edgewright.gates.measure.samples import Everything, Sets, alike_problem, draw_all, problem_of
from edgewright.gates.measure.spectrum import measure_spectrum, radial_spectrum_db
from edgewright.gates.measure.tile_metrics import Rounds, TileFeatures, measure_tiles
from edgewright.gates.measure.tiles import RESIZE_PATH, Scale, Tiles
from edgewright.gates.rules import checks_of, told_beside
from edgewright.gates.spaces.extractors import open_extractors
from edgewright.gates.spaces.features import FeatureExtractor, embedding_digest, fit_space
from edgewright.gates.utility import UtilityEvidence
from edgewright.gates.verdict import Outcome, Verdict, combine
from edgewright.progress import OnProgress
from edgewright.recipe.gates import GateDataConfig

GATE = "gate_data"
DIMENSIONS = 32
_DECISIONS = {"real_only": "real_only", "fail": "end", "ask": "ask"}


def measure_data(
    real: Dataset,
    synthetic: Dataset,
    config: GateDataConfig,
    *,
    seed: int,
    threads: int,
    on_progress: OnProgress,
    utility: UtilityEvidence = NOT_MEASURED,
) -> DataEvidence:
    """Everything `decide_data` needs. Deterministic: same pictures, config, seed and threads, same evidence.

    Args:
        utility: what paired detector runs said; passed through.

    Raises:
        InputError: the two class lists differ, or a picture cannot be decoded.
        ArtifactCorrupt: the bytes of a picture are not those of its row.
    """
    synthetic.check_classes(real.classes)
    sets = Sets.of(real, synthetic, config, rng=np.random.default_rng([seed, 0]))
    evidence = DataEvidence(
        len(sets.train),
        len(sets.held_out),
        len(sets.synthetic),
        seed=seed,
        utility=utility,
        classes=_count_classes(real, synthetic),
    )
    labels = _measure_labels(synthetic, config, seed=seed)
    problem = problem_of(sets, config)
    if problem:
        return replace(evidence, problem=problem, measurements=labels)
    _use_threads(threads)
    scale = Scale.of(sets.synthetic)
    looked = draw_all(sets, real, synthetic, config, scale=scale, seed=seed, on_progress=on_progress)
    problem = alike_problem(looked)
    if problem:
        return replace(evidence, problem=problem, measurements=labels)
    try:
        extractors = open_extractors(config, looked.train.tiles, seed=seed, on_progress=on_progress)
        evidence = _described(evidence, config, extractors, n_matched=sets.n_matched, scale=scale)
        layouts = measure_labeled_layouts(
            sets.synthetic,
            (*sets.train, *sets.held_out),
            rounds=config.bootstraps,
            rng=np.random.default_rng([seed, 4]),
        )
        seen, nearest = _measure_pictures(evidence, looked, extractors, config, on_progress=on_progress)
        evidence = replace(evidence, measurements=(*seen, *layouts, *labels), nearest=nearest)
        if config.features != "inception":
            return evidence
        return with_fid_recall(evidence, real, synthetic, config, extractors[0], on_progress=on_progress)
    except InputError as error:
        return replace(evidence, problem=str(error), measurements=labels)


def with_fid_recall(
    evidence: DataEvidence,
    real: Dataset,
    synthetic: Dataset,
    config: GateDataConfig,
    extractor: FeatureExtractor,
    *,
    on_progress: OnProgress,
) -> DataEvidence:
    """With FID and recall of all usable synthetic pictures against all of real `val`, up to `max_fid_images` a side."""
    rng = np.random.default_rng([evidence.seed, 8])
    made, held_out = (
        (dataset, drawn_rows(rows, limit=config.max_fid_images, rng=rng))
        for dataset, rows in (
            (synthetic, synthetic.select(origin=Origin.SYNTHETIC)),
            (real, real.select(split=Split.VAL, origin=Origin.REAL)),
        )
    )
    found = measure_fid_recall(made, held_out, extractor, rng=rng, on_progress=on_progress)
    return replace(
        evidence,
        measurements=(*evidence.measurements, *found.measurements),
        fid_width=found.width,
        fid_resize_path=FID_RECALL_RESIZE,
    )


def decide_data(evidence: DataEvidence, config: GateDataConfig) -> Verdict:
    """Pure. `decision`: `admitted`, or what `config.on_refuse` says: `real_only`, `end` (for `fail`) or `ask`."""
    checks = checks_of(evidence, config)
    outcome = combine(checks)
    decision = "admitted" if outcome is Outcome.PASS else _DECISIONS[config.on_refuse]
    verdict = Verdict(GATE, outcome, tuple(checks), "", decision, beside=told_beside(evidence, config))
    return replace(verdict, sentence=_sentence(verdict, evidence))


def _sentence(verdict: Verdict, evidence: DataEvidence) -> str:
    what = f"{evidence.n_synthetic} synthetic images against {evidence.n_held_out} held-out photographs"
    if verdict.outcome is Outcome.PASS:
        return f"{what}: admitted, every check holds"
    word = "refused" if verdict.outcome is Outcome.REFUSE else "not admitted, because they could not be judged"
    return f"{what}: {word}. {verdict.reasons[0]}"


def _described(
    evidence: DataEvidence,
    config: GateDataConfig,
    extractors: Sequence[FeatureExtractor],
    *,
    n_matched: int,
    scale: Scale,
) -> DataEvidence:
    return replace(
        evidence,
        n_matched=n_matched,
        scale_px=scale.common_px,
        tile_px=config.feature_px,
        tiles_per_image=config.tiles_per_image,
        neighbors=config.neighbors,
        bootstraps=config.bootstraps,
        dimensions=DIMENSIONS,
        feature_kind=config.features,
        embedding_digest=embedding_digest(extractors),
        resize_path=RESIZE_PATH,
    )


def _count_classes(real: Dataset, synthetic: Dataset) -> tuple[ClassCount, ...]:
    return count_classes(
        synthetic.select(origin=Origin.SYNTHETIC), real.select(origin=Origin.REAL, labeled=True), classes=real.classes
    )


def _measure_labels(synthetic: Dataset, config: GateDataConfig, *, seed: int) -> tuple[Measurement, ...]:
    """Of all that the labeler judged: where it left everything out, that is all there is to say."""
    judged = [row for row in synthetic.rows if row.origin == Origin.SYNTHETIC]
    return tuple(measure_labels(judged, rounds=config.bootstraps, rng=np.random.default_rng([seed, 5])))


def _measure_pictures(
    evidence: DataEvidence,
    looked: Everything,
    extractors: Sequence[FeatureExtractor],
    config: GateDataConfig,
    *,
    on_progress: OnProgress,
) -> tuple[list[Measurement], tuple[NearPair, ...]]:
    n, t, seed = looked.n_matched, config.tiles_per_image, evidence.seed
    tiles = (
        looked.synthetic.first_tiles(n, tiles_per_image=t),
        looked.train.first_tiles(n, tiles_per_image=t),
        looked.held_out.tiles,
    )
    rng = np.random.default_rng([seed, 2])
    rounds = Rounds.draw(n_matched=n, n_held_out=evidence.n_held_out, rounds=config.bootstraps, rng=rng)
    stated_n = min(n, evidence.n_held_out)
    total = len(extractors) + 2
    likeness = measure_tiles(
        [_project(space, dimensions=DIMENSIONS) for space in _embed(tiles, extractors)],
        rounds,
        tiles_per_image=t,
        k=config.neighbors,
        n=stated_n,
        on_space=lambda done: on_progress(done, total, "feature spaces compared"),
    )
    squares = (looked.synthetic.pictures[:n], looked.train.pictures[:n], looked.held_out.pictures)
    modes = measure_whole_pictures(
        [_project(space, dimensions=PICTURE_DIMENSIONS) for space in _embed(squares, extractors)],
        rounds,
        k=config.neighbors,
        n=stated_n,
        rng=np.random.default_rng([seed, 6]),
    )
    on_progress(total - 1, total, "whole pictures compared")
    synthetic, train, held_out = (radial_spectrum_db(some) for some in tiles)
    spectrum = measure_spectrum(synthetic, train, held_out, rounds, tiles_per_image=t, n=stated_n)
    copying, nearest = measure_copying(
        looked.synthetic.prints,
        looked.train.prints,
        looked.held_out.prints,
        copy_radius=config.copy_radius,
        rounds=config.bootstraps,
        rng=np.random.default_rng([seed, 3]),
    )
    on_progress(total, total, "copy test done")
    return [*likeness, *modes, spectrum, *copying], nearest


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _embed(sets: tuple[Tiles, Tiles, Tiles], extractors: Sequence[FeatureExtractor]) -> list[TileFeatures]:
    """Raw features of S, T and H, a space an extractor."""
    return [TileFeatures(*(extractor(some) for some in sets)) for extractor in extractors]


def _project(raw: TileFeatures, *, dimensions: int) -> TileFeatures:
    """Every space is fitted to the real training pictures alone."""
    space = fit_space(raw.train, dimensions=dimensions)
    return TileFeatures(space.project(raw.synthetic), space.project(raw.train), space.project(raw.held_out))
