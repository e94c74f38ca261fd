"""The data gate: may training see the synthetic pictures?

Measuring (`measure_data`) and deciding (`decide_data`, pure) are two steps, so that a verdict can be made again from
its evidence. S = usable synthetic pictures, T = real `train`, H = real `val`; `test` is never opened. Each check
compares (S, H) with (T, H) at the same number of pictures and one scale (`tiles.py`), in feature spaces declared
before the run:

    distance    Fréchet distance ratio, KID excess       the sets' means, spreads and shapes
    coverage    coverage ratio                           is every kind of real picture there
    fidelity    precision ratio, density ratio           is every synthetic picture like some real one
    detail      spectrum excess, dB                      blur and noise, which the feature networks do not see
    copy        picture and object copies (`copying.py`) training pictures over again
    recall      reported only: a perfect generator's recall is far below 1 and says little (arXiv 2505.22450)

A check passes where its estimate meets the threshold *and* the worse end of its interval (95 %, one-sided) does not
reach past a limit `interval_slack` beyond it. With 40 held-out pictures the bound on a Fréchet ratio is half as large
again as the ratio: held to the threshold itself it would refuse real pictures; ignored, it would admit guesses. An
interval past the limit is undecided, and undecided is not admitted, like too few pictures, pictures all alike, or
numbers that are not finite. Not checked here: labels (`label` does that) and usefulness for the detector.

    evidence = measure_data(real, synthetic, config, seed=0, threads=2, on_progress=silent)
    verdict = decide_data(evidence, config)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgewright.data.dataset import Dataset
from edgewright.errors import InputError
from edgewright.gates.copying import measure_copying
from edgewright.gates.evidence import DataEvidence
from edgewright.gates.features import FeatureExtractor, embedding_digest, fit_space, random_extractor
from edgewright.gates.likeness import Rounds, TileFeatures, measure_likeness
from edgewright.gates.look import Everything, Sets, look_at_all, problem_of
from edgewright.gates.spectrum import measure_spectrum, radial_spectrum_db
from edgewright.gates.tiles import RESIZE_PATH, Scale, Tiles
from edgewright.gates.verdict import Check, Outcome, Verdict, combine, compare
from edgewright.progress import OnProgress
from edgewright.recipe import GateDataConfig

GATE = "gate_data"
DIMENSIONS = 32
_DECISIONS = {"real_only": "real_only", "fail": "end", "ask": "ask"}


def measure_data(
    real: Dataset, synthetic: Dataset, config: GateDataConfig, *, seed: int, threads: int, on_progress: OnProgress
) -> DataEvidence:
    """Everything `decide_data` needs. Deterministic: same pictures, config, seed and threads, same evidence.

    Raises:
        InputError: the two class lists differ, or a picture cannot be decoded.
        ArtifactCorrupt: the bytes of a picture are not those of its row.
    """
    synthetic.check_classes(real.classes)
    sets = Sets.of(real, synthetic, config, rng=np.random.default_rng([seed, 0]))
    evidence = DataEvidence(len(sets.train), len(sets.held_out), len(sets.synthetic), seed=seed)
    problem = problem_of(sets, config)
    if problem:
        return replace(evidence, problem=problem)
    scale = Scale.of(sets.synthetic)
    looked = look_at_all(sets, real, synthetic, config, scale=scale, seed=seed, on_progress=on_progress)
    extractors = [random_extractor(seed=number) for number in range(config.feature_seeds)]
    evidence = replace(
        evidence,
        n_matched=sets.n_matched,
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
    try:
        return _measure(evidence, looked, extractors, config, threads=threads, on_progress=on_progress)
    except InputError as error:
        return replace(evidence, problem=str(error))


def decide_data(evidence: DataEvidence, config: GateDataConfig) -> Verdict:
    """Pure. `decision`: `admitted`, or what `config.on_refuse` says: `real_only`, `end` (for `fail`) or `ask`."""
    checks = _checks(evidence, config)
    outcome = combine(checks)
    decision = "admitted" if outcome is Outcome.PASS else _DECISIONS[config.on_refuse]
    verdict = Verdict(GATE, outcome, tuple(checks), "", decision)
    return replace(verdict, sentence=_sentence(verdict, evidence))


@dataclass(frozen=True)
class _Rule:
    """One check: a measurement and the recipe field that holds its threshold; `""` for a number that is only
    reported."""

    measurement: str
    comparison: str
    field: str


_RULES = (
    _Rule("picture_copy_share", "<=", "max_copy_share"),
    _Rule("object_copy_share", "<=", "max_object_copy_share"),
    _Rule("object_distance_ratio", ">=", "min_copy_distance_ratio"),
    _Rule("fd_ratio", "<=", "max_fd_ratio"),
    _Rule("kid_excess", "<=", "max_kid_excess"),
    _Rule("coverage_ratio", ">=", "min_coverage_ratio"),
    _Rule("precision_ratio", ">=", "min_precision_ratio"),
    _Rule("density_ratio", ">=", "min_density_ratio"),
    _Rule("spectrum_excess_db", "<=", "max_spectrum_excess_db"),
    _Rule("recall_ratio", ">=", ""),
    _Rule("picture_distance_ratio", ">=", ""),
)


def _checks(evidence: DataEvidence, config: GateDataConfig) -> list[Check]:
    if not evidence.problem:
        return [_check(rule, evidence, config) for rule in _RULES]
    n = min(evidence.n_train, evidence.n_held_out, evidence.n_synthetic)
    check = compare("evidence", None, n=n, set_at="gate_data.min_images", at_least=float(config.min_images))
    return [replace(check, sentence=f"the synthetic images could not be judged: {evidence.problem}")]


def _check(rule: _Rule, evidence: DataEvidence, config: GateDataConfig) -> Check:
    found = evidence.measurement(rule.measurement)
    threshold = float(getattr(config, rule.field)) if rule.field else None
    return compare(
        rule.measurement.replace("_db", ", dB").replace("_", " "),
        found.value,
        n=found.n,
        low=found.low,
        high=found.high,
        at_least=threshold if rule.comparison == ">=" else None,
        at_most=threshold if rule.comparison == "<=" else None,
        slack=config.interval_slack,
        min_n=config.min_images,
        set_at=f"gate_data.{rule.field}" if rule.field else "",
        decides=bool(rule.field),
    )


def _sentence(verdict: Verdict, evidence: DataEvidence) -> str:
    what = f"{evidence.n_synthetic} synthetic images against {evidence.n_held_out} held-out photographs"
    if verdict.outcome is Outcome.PASS:
        return f"{what}: admitted, every check holds"
    word = "refused" if verdict.outcome is Outcome.REFUSE else "not admitted, because they could not be judged"
    return f"{what}: {word}. {verdict.reasons[0]}"


def _measure(
    evidence: DataEvidence,
    looked: Everything,
    extractors: Sequence[FeatureExtractor],
    config: GateDataConfig,
    *,
    threads: int,
    on_progress: OnProgress,
) -> DataEvidence:
    n, t = looked.n_matched, config.tiles_per_image
    tiles = (
        looked.synthetic.first_tiles(n, tiles_per_image=t),
        looked.train.first_tiles(n, tiles_per_image=t),
        looked.held_out.tiles,
    )
    rng = np.random.default_rng([evidence.seed, 2])
    rounds = Rounds.draw(n_matched=n, n_held_out=evidence.n_held_out, rounds=config.bootstraps, rng=rng)
    stated_n = min(n, evidence.n_held_out)
    total = len(extractors) + 1
    likeness = measure_likeness(
        _embed(tiles, extractors, threads=threads),
        rounds,
        tiles_per_image=t,
        k=config.neighbors,
        n=stated_n,
        on_space=lambda done: on_progress(done, total, "feature spaces compared"),
    )
    synthetic, train, held_out = (radial_spectrum_db(some) for some in tiles)
    spectrum = measure_spectrum(synthetic, train, held_out, rounds, tiles_per_image=t, n=stated_n)
    copying, nearest = measure_copying(
        looked.synthetic.prints,
        looked.train.prints,
        looked.held_out.prints,
        copy_radius=config.copy_radius,
        rounds=config.bootstraps,
        rng=np.random.default_rng([evidence.seed, 3]),
    )
    on_progress(total, total, "copy test done")
    return replace(evidence, measurements=(*likeness, spectrum, *copying), nearest=nearest)


def _embed(
    tiles: tuple[Tiles, Tiles, Tiles], extractors: Sequence[FeatureExtractor], *, threads: int
) -> list[TileFeatures]:
    """Every space is fitted to the real training tiles alone."""
    import torch

    torch.set_num_threads(threads)
    embedded = []
    for extractor in extractors:
        synthetic, train, held_out = (extractor(some) for some in tiles)
        space = fit_space(train, dimensions=DIMENSIONS)
        embedded.append(TileFeatures(space.project(synthetic), space.project(train), space.project(held_out)))
    return embedded
