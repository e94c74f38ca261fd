"""The life cycle: photographs in, a signed INT8 detector a tier on devices out.

Decides that a further tier's detector is made as the first one is, from the same training set by its own sections, and
that a release is all tiers: one that its gate refuses ends the run.

>>> [stage.name for stage in STAGES][:3]
['ingest', 'train_generator', 'generate']
"""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.device.offer import TIERS
from edgewright.recipe import Recipe
from tasks.compress import compress
from tasks.engine.champion import find_champion
from tasks.engine.enforce import enforce_data, enforce_model
from tasks.engine.run import pipeline
from tasks.engine.stage import Stage
from tasks.flash import flash
from tasks.gate_data import gate_data
from tasks.gate_model import gate_model
from tasks.generate import generate
from tasks.ingest import ingest
from tasks.label import label
from tasks.measure_utility import measure_utility
from tasks.quantize import quantize
from tasks.release import release
from tasks.train_detector import train_detector
from tasks.train_generator import train_generator
from tasks.train_labeler import train_labeler

STAGES = (
    ingest,
    train_generator,
    generate,
    train_labeler,
    label,
    measure_utility,
    gate_data,
    train_detector,
    compress,
    quantize,
    gate_model,
    release,
    flash,
)


def stages_of(recipe: Recipe) -> tuple[Stage[...], ...]:
    """Those that a recipe asks for, in order: what makes a detector once a tier."""
    of_a_tier = (train_detector, compress, quantize, gate_model)
    first, last = STAGES.index(of_a_tier[0]), STAGES.index(of_a_tier[-1])
    detectors = (
        stage.for_tier(tier)
        for tier in recipe.tiers_made
        for stage in of_a_tier
        if stage is not compress or recipe.of_tier(tier).compress.wanted
    )
    after = (stage for stage in STAGES[last + 1 :] if stage is not flash or recipe.release.roll_out)
    return (*STAGES[:first], *detectors, *after)


def make_detector(
    recipe: Recipe, tier: str, *, real: ArtifactRef, training: ArtifactRef
) -> tuple[ArtifactRef, ArtifactRef]:
    """A tier's INT8 model, and the verdict that admits it."""
    trained = train_detector.for_tier(tier)(recipe.train_detector, training)
    detector = compress.for_tier(tier)(recipe.compress, trained, training) if recipe.compress.wanted else trained
    int8 = quantize.for_tier(tier)(recipe.quantize, detector, real)
    champion = find_champion(int8, tier)
    measured = gate_model.for_tier(tier)(recipe.gate_model, int8, detector, real, champion)
    return int8, enforce_model(measured, int8, tier)


@pipeline(name="lifecycle")
def lifecycle(recipe: Recipe, source: str) -> None:
    """Run every stage in order; stages whose result the store already knows are not run again."""
    real = ingest(recipe.ingest, source)
    generator = train_generator(recipe.train_generator, real)
    synthetic = generate(recipe.generate, generator, real)
    labeler = train_labeler(recipe.train_labeler, real)
    labeled = label(recipe.label, labeler, synthetic, real)
    utility = measure_utility(recipe.utility, real, labeled)
    gated = gate_data(recipe.gate_data, real, labeled, utility)
    training = enforce_data(gated)
    int8, admitted = make_detector(recipe, TIERS[0], real=real, training=training)
    further = {
        tier: make_detector(recipe.of_tier(tier), tier, real=real, training=training)[1]
        for tier in recipe.tiers_made[1:]
    }
    released = release(recipe.release, int8, admitted, training, **further)
    if recipe.release.roll_out:
        flash(recipe.flash, released, real)
