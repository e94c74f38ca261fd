"""What a finished run says about its detector in plain words, and what its owner should do next.

Decides when a detector finds little, whatever the recipe lets through, and which steps the mistakes ask for: the first
of them stands where more is to be won. Refuses to leave a page without a next step.

>>> weakness(0.41, {"bolt": 0.7, "nut": 0.12})
"It finds little: mAP50 is under 0.5, and 'nut' is hardly found (0.12)."
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edgewright.detect.mistakes import SMALL_PX, Mistakes
from edgewright.recipe.gates import GateModelConfig

_LEAST = GateModelConfig()
_FEW_OBJECTS = 60
"""DESIGN: below it a class's examples are easily counted as the reason that it is found badly."""
_WORTH_SHARE, _WORTH_COUNT = 0.1, 3
"""DESIGN: a kind of mistake is named from a tenth of all and three cases on."""
_ALARMS_SHARE = 0.3
_LATE_SHARE = 0.1
_MAX_STEPS = 4


@dataclass(frozen=True)
class Outcomes:
    """What the advice rests on; whatever was not measured is left out.

    Attributes:
        ap50: of INT8 by class. n_train: labeled real objects of a class in train.
        val_map50: after each epoch. image_px: of the detector's input.
    """

    simulated: bool = False
    mistakes: Mistakes | None = None
    ap50: Mapping[str, float] = field(default_factory=dict)
    n_train: Mapping[str, int] = field(default_factory=dict)
    n_unlabeled: int = 0
    val_map50: Sequence[float] = ()
    image_px: int = 0


def weakness(map50: float | None, ap50: Mapping[str, float]) -> str:
    """One sentence where the detector finds little or hardly finds a class; empty where it does not."""
    hardly = sorted((value, name) for name, value in ap50.items() if value < _LEAST.min_class_map50)
    named = ", ".join(f"{name!r} is hardly found ({value:.2f})" for value, name in hardly[:3])
    if map50 is not None and map50 < _LEAST.min_map50:
        return f"It finds little: mAP50 is under {_LEAST.min_map50:g}" + (f", and {named}." if named else ".")
    return f"Beware: {named}." if named else ""


def next_steps(outcomes: Outcomes) -> list[str]:
    """At most _MAX_STEPS, at least one."""
    found = [*_of_mistakes(outcomes), *_of_classes(outcomes), *_of_training(outcomes)][: _MAX_STEPS - 1]
    if outcomes.simulated:
        last = "Use photographs of your own: edgewright run laptop --source FOLDER"
    else:
        last = "Look at what it makes of pictures that nobody has chosen: edgewright detect MODEL PICTURE…"
    return [*found, last]


def _of_mistakes(outcomes: Outcomes) -> Iterator[str]:
    mistakes = outcomes.mistakes
    if mistakes is None:
        return
    if mistakes.n_missed_small >= max(_WORTH_COUNT, _WORTH_SHARE * mistakes.n_missed):
        raised = f"raise train_detector.image_px (now {outcomes.image_px})"
        yield (
            f"{mistakes.n_missed_small} of {mistakes.n_missed} objects missed are smaller than {SMALL_PX:g} px "
            f"at the network's input: {raised}."
        )
    yield from _of_confusion(mistakes)
    objects = sum(map(sum, mistakes.matrix[:-1]))
    if mistakes.n_false >= max(_WORTH_COUNT, _ALARMS_SHARE * objects):
        yield (
            f"{mistakes.n_false} detections of nothing beside {objects} objects: add pictures without objects, "
            "or look whether these are objects that nobody labeled."
        )


def _of_confusion(mistakes: Mistakes) -> Iterator[str]:
    """The pair of classes that is mixed up most."""
    pairs = [
        (count, row, column)
        for row, counts in enumerate(mistakes.matrix[:-1])
        for column, count in enumerate(counts[:-1])
        if row != column and count >= max(_WORTH_COUNT, _WORTH_SHARE * sum(counts))
    ]
    if pairs:
        count, row, column = max(pairs)
        taken, other = mistakes.classes[row], mistakes.classes[column]
        total = sum(mistakes.matrix[row])
        yield f"{count} of {total} objects {taken!r} are taken for {other!r}: do their labels keep them apart?"


def _of_classes(outcomes: Outcomes) -> Iterator[str]:
    weak = [name for name, value in outcomes.ap50.items() if value < _LEAST.min_map50]
    for name in sorted(weak, key=lambda name: outcomes.ap50[name])[:1]:
        n = outcomes.n_train.get(name, 0)
        if n < _FEW_OBJECTS:
            yield (
                f"{name!r} has {n} labeled objects to learn from: label more of them, "
                "or ask for more in synthetic pictures (--set generate.class_balance=1)."
            )


def _of_training(outcomes: Outcomes) -> Iterator[str]:
    epochs, values = len(outcomes.val_map50), outcomes.val_map50
    if epochs > 1 and values.index(max(values)) >= epochs - max(1, round(_LATE_SHARE * epochs)):
        yield "The detector was best in its last epochs: raise train_detector.epochs."
    if outcomes.n_unlabeled:
        yield (
            f"{outcomes.n_unlabeled} photographs have no labels of people: edgewright review export writes those "
            "that are worth a look."
        )
