"""The life cycle: photographs in, a signed INT8 detector on a device out.

>>> [stage.name for stage in STAGES][:3]
['ingest', 'train_generator', 'generate']
"""

from __future__ import annotations

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
    """Those that a recipe asks for."""
    return tuple(
        stage
        for stage in STAGES
        if (stage is not compress or recipe.compress.wanted) and (stage is not flash or recipe.release.roll_out)
    )


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
    trained = train_detector(recipe.train_detector, training)
    detector = compress(recipe.compress, trained, training) if recipe.compress.wanted else trained
    int8 = quantize(recipe.quantize, detector, real)
    measured = gate_model(recipe.gate_model, int8, detector, real, find_champion(int8))
    admitted = enforce_model(measured, int8)
    released = release(recipe.release, int8, admitted, training)
    if recipe.release.roll_out:
        flash(recipe.flash, released, real)
