"""Which detector is the best within a budget? Candidates climb rungs of successive halving, measured on val; what is
picked is measured on test, once.

A stage that the store knows is not run again, so the same command continues where it was cut off.
"""

from __future__ import annotations

import math

from edgewright.artifacts import ArtifactRef
from edgewright.budget.pick import Point, survivors
from edgewright.budget.plan import (
    BudgetConfig,
    Candidate,
    Rung,
    candidates_of,
    compression_for,
    detector_for,
    quantization_for,
    rungs_of,
)
from edgewright.errors import EdgewrightError
from edgewright.recipe import Recipe
from tasks.compress import compress
from tasks.engine.budget import conclude, limits_of, photographs_of, point_of, report_failures, training_set, weighing
from tasks.engine.run import pipeline
from tasks.ingest import ingest
from tasks.quantize import quantize
from tasks.train_detector import train_detector
from tasks.weigh import weigh, weighing_on

STAGES = (ingest, train_detector, compress, quantize, weigh)


@pipeline(name="budget")
def budget(recipe: Recipe, config: BudgetConfig, source: str) -> None:
    """Try every candidate for a while, the better half for longer; conclude from all that were measured.

    A candidate that fails does not keep the others from being measured; what failed is raised at the end.
    """
    real = photographs_of(config) or ingest(recipe.ingest, source)
    training = training_set(config) or real
    candidates = {one.title: one for one in candidates_of(config, image_px=recipe.train_detector.image_px)}
    points: dict[str, Point] = {}
    failed: dict[str, EdgewrightError] = {}
    for rung in rungs_of(config):
        found = []
        for candidate in candidates.values():
            try:
                with weighing(candidate, rung):
                    found.append(_measured(recipe, config, candidate, rung, real, training))
            except EdgewrightError as error:
                failed[candidate.title] = error
        points |= {point.title: point for point in found}
        going_on = survivors(found, limits_of(config), n=math.ceil(len(candidates) / 2))
        candidates = {point.title: candidates[point.title] for point in going_on}
    try:
        conclude(
            recipe,
            config,
            list(points.values()),
            failed,
            on_test=lambda model, detector: weigh(weighing_on("test"), model, detector, real),
        )
    finally:
        report_failures(failed)


def _measured(
    recipe: Recipe, config: BudgetConfig, candidate: Candidate, rung: Rung, real: ArtifactRef, training: ArtifactRef
) -> Point:
    detector = train_detector(detector_for(candidate, recipe.train_detector, rung), training)
    cut = compression_for(candidate, recipe.compress, rung)
    if cut.wanted:
        detector = compress(cut, detector, training)
    model = quantize(quantization_for(recipe.quantize, config), detector, real)
    found = weigh(weighing_on("val"), model, detector, real)
    return point_of(candidate, rung, found, model=model, detector=detector)
