"""A line changes after its detector was shipped: is it noticed, what comes home, and how much of the loss comes back?

A stage that the store knows is not run again, and what happened on the line is written down: the same command continues
where it was cut off.
"""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.device.offer import TIERS
from edgewright.experiment.plan import EvaluateConfig
from edgewright.recipe import Recipe
from edgewright.rehearsal.plan import ARMS, BEFORE, SHIPPED, Arm, RehearsalConfig, recipe_for
from flows.lifecycle import make_detector
from tasks.engine.enforce import enforce_data
from tasks.engine.run import pipeline
from tasks.evaluate import evaluate
from tasks.gate_data import gate_data
from tasks.gate_model import gate_model
from tasks.generate import generate
from tasks.ingest import ingest
from tasks.label import label
from tasks.measure_utility import measure_utility
from tasks.photograph import photograph
from tasks.quantize import quantize
from tasks.release import release
from tasks.serve.rehearsal import Measured, conclude, learned_from, record, ship, watch_line
from tasks.train_detector import train_detector
from tasks.train_generator import train_generator
from tasks.train_labeler import train_labeler

STAGES = (
    *(ingest, photograph, train_generator, generate, train_labeler, label, measure_utility, gate_data),
    *(train_detector, quantize, gate_model, release, evaluate),
)


@pipeline(name="rehearsal")
def rehearsal(recipe: Recipe, config: RehearsalConfig, source: str, results: str) -> None:
    """Ship, change, notice, keep, learn, ship again; the page is written whatever becomes of the last step."""
    real = ingest(recipe.ingest, source)
    changed = photograph(config, real)
    first = recipe_for(recipe, config, ARMS[BEFORE])
    training = _training(first, ARMS[BEFORE], real)
    int8, admitted = make_detector(first, TIERS[0], real=real, training=training)
    release(first.release, int8, admitted, training)
    frames = watch_line(config, int8)
    learned: dict[str, tuple[ArtifactRef, ArtifactRef]] = {}
    for arm in config.chosen:
        own = recipe_for(recipe, config, arm)
        photographs, clicks = learned_from(arm, frames, real, changed)
        learned[arm.name] = photographs, _training(own, arm, photographs)
        detector = train_detector(own.train_detector, learned[arm.name][1])
        on_changed, on_day = (evaluate(EvaluateConfig(), detector, each) for each in (changed, real))
        record(Measured(recipe, config, arm, frames, learned[arm.name][1], on_changed, on_day, clicks), results)
    try:
        own, (photographs, training) = recipe_for(recipe, config, ARMS[SHIPPED]), learned[SHIPPED]
        int8, admitted = make_detector(own, TIERS[0], real=photographs, training=training)
        ship(config, release(own.release, int8, admitted, training))
    finally:
        conclude(recipe, config, results)


def _training(recipe: Recipe, arm: Arm, photographs: ArtifactRef) -> ArtifactRef:
    """What an arm's detector may see: with pictures that the data gate admits, where it makes any."""
    if not arm.synthetic:
        return photographs
    made = generate(recipe.generate, train_generator(recipe.train_generator, photographs), photographs)
    labeled = label(recipe.label, train_labeler(recipe.train_labeler, photographs), made, photographs)
    utility = measure_utility(recipe.utility, photographs, labeled)
    return enforce_data(gate_data(recipe.gate_data, photographs, labeled, utility))
