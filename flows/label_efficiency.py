"""How many labels does synthetic data save? The arms of the experiment, run by run, and what follows from them.

A run that stands in the results file is not made again; a stage that the store knows is not run again. So the same
command continues where it was cut off, and arms that share a step (the photographs-alone detector, a labeler) share its
result: the paired arms are the measurement of usefulness, and nothing is trained twice.
"""

from __future__ import annotations

from edgewright.artifacts import ArtifactRef
from edgewright.errors import EdgewrightError
from edgewright.experiment.arms import Arm, arm_named, arm_recipe
from edgewright.experiment.plan import (
    AssembleConfig,
    EfficiencyConfig,
    EvaluateConfig,
    Run,
    SubsetConfig,
    detector_of,
    utility_of,
)
from edgewright.recipe import Recipe
from tasks.assemble import assemble
from tasks.engine.experiment import Findings, can_train, conclude, open_runs, record, report_failures, running
from tasks.engine.run import pipeline
from tasks.evaluate import evaluate
from tasks.gate_data import gate_data
from tasks.generate import generate
from tasks.ingest import ingest
from tasks.label import label
from tasks.measure_utility import measure_utility
from tasks.subset import subset
from tasks.train_detector import train_detector
from tasks.train_generator import train_generator
from tasks.train_labeler import train_labeler

STAGES = (
    *(subset, train_generator, generate, train_labeler, label, measure_utility, gate_data),
    *(assemble, train_detector, evaluate),
)
"""What a run of the experiment is made by."""


@pipeline(name="label_efficiency")
def label_efficiency(recipe: Recipe, config: EfficiencyConfig, source: str, results: str) -> None:
    """Make every run that is not in the results file yet, then conclude from all that are.

    A run that fails does not keep the others from being made; what failed is raised at the end.
    """
    real = ingest(recipe.ingest, source)
    failed: dict[str, EdgewrightError] = {}
    for run in open_runs(recipe, config, real, results):
        try:
            with running(run):
                record(_learn(recipe, config, run, real), results, stages=STAGES)
        except EdgewrightError as error:
            failed[run.title] = error
    try:
        conclude(recipe, config, real, results, failed)
    finally:
        report_failures(failed)


def _learn(recipe: Recipe, config: EfficiencyConfig, run: Run, real: ArtifactRef) -> Findings:
    """One detector from what its arm may see."""
    arm, resolved = arm_named(run.arm), arm_recipe(recipe, run.arm)
    drawn = SubsetConfig(labels=run.labels, draw=run.draw, held_out_share=config.held_out_share)
    own = subset(drawn, real)
    extra, gated, reference = own, None, None
    if arm.extra == "synthetic":
        extra = _synthetic(resolved, arm, own)
        apart = subset(drawn.model_copy(update={"rest": "held_out"}), real)
        useful = measure_utility(utility_of(resolved, run.arm), own, extra)
        gated = gate_data(resolved.gate_data, own, extra, useful)
        reference = gate_data(resolved.gate_data, apart, extra, useful)
    if arm.extra == "pseudo":
        unlabeled = subset(drawn.model_copy(update={"rest": "unlabeled"}), real)
        extra = label(resolved.label, train_labeler(resolved.train_labeler, own), unlabeled, own)
    training = assemble(AssembleConfig(photographs=arm.photographs, extra=arm.extra), own, extra)
    measured = None
    if can_train(training):
        measured = evaluate(EvaluateConfig(), train_detector(detector_of(resolved, config), training), real)
    return Findings(
        recipe=recipe,
        config=config,
        run=run,
        real=real,
        training=training,
        evaluation=measured,
        extra=extra,
        gated=gated,
        reference=reference,
    )


def _synthetic(recipe: Recipe, arm: Arm, own: ArtifactRef) -> ArtifactRef:
    """Pictures made from the arm's own photographs, examined by a labeler that saw nothing else either."""
    made = generate(recipe.generate, train_generator(recipe.train_generator, own), own)
    return label(recipe.label, train_labeler(recipe.train_labeler, own), made, own) if arm.checked else made
