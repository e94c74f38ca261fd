"""The arms of the label-efficiency experiment: what each may learn from. One table, and the recipe that each one means.

Decides how arms differ: in the data and in nothing else. Detector, picture size, batch and optimizer steps are those
of the recipe and the same everywhere. Refuses an arm that is not in the table.

>>> arm_recipe(Recipe(), "compositor").train_generator.method
'compositor'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgewright.errors import RecipeError
from edgewright.recipe import Recipe


@dataclass(frozen=True)
class Arm:
    """One way to train a detector from n labeled photographs.

    Attributes:
        extra: what stands beside the photographs: `none`, those with rare objects `repeated`, `synthetic` pictures, or
            `pseudo`-labeled photographs.
        photographs: whether the n photographs are trained on (`synthetic_only` leaves them out).
        checked: whether the labeler examines the synthetic pictures first.
        everything: all labeled photographs of the pool instead of n.
        changes: recipe section => fields that the arm sets.
        edition: raised where what the arm means changes, so that no older run is taken for one of its.
    """

    name: str
    title: str
    extra: str = "none"
    photographs: bool = True
    checked: bool = True
    everything: bool = False
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    edition: int = 1

    @property
    def makes(self) -> bool:
        """Whether something is learned from the photographs first, to make or label other pictures with."""
        return self.extra in ("synthetic", "pseudo")


_COMPOSITOR = {"train_generator": {"method": "compositor", "level": "object"}}
_GAN = {"train_generator": {"method": "gan"}}
_DIFFUSION = {"train_generator": {"method": "diffusion"}}

ARMS = {
    arm.name: arm
    for arm in (
        Arm("real", "photographs alone"),
        Arm("strong", "+ stronger classic augmentation", changes={"train_detector": {"augmentation": "strong"}}),
        Arm("repeated", "photographs, those with rare objects more often", "repeated"),
        Arm("compositor", "+ composites of real crops", "synthetic", changes=_COMPOSITOR),
        Arm("gan", "+ GAN", "synthetic", changes=_GAN),
        Arm("diffusion", "+ diffusion", "synthetic", changes=_DIFFUSION),
        Arm("pseudo", "+ pseudo-labeled photographs", "pseudo", edition=2),
        Arm("unchecked", "+ diffusion, neither checked nor gated", "synthetic", checked=False, changes=_DIFFUSION),
        Arm("synthetic_only", "diffusion alone", "synthetic", photographs=False, changes=_DIFFUSION),
        Arm("all_real", "all photographs of the pool", everything=True),
    )
}
BASELINE = "real"
"""Every other arm is paired with this one: same photographs, same seed."""


def arm_named(name: str) -> Arm:
    """Raises RecipeError where there is no such arm."""
    if name not in ARMS:
        raise RecipeError("no such arm", expected=", ".join(ARMS), got=name)
    return ARMS[name]


def arm_recipe(recipe: Recipe, name: str) -> Recipe:
    """The recipe with what the arm sets."""
    sections = {
        section: getattr(recipe, section).model_copy(update=dict(values))
        for section, values in arm_named(name).changes.items()
    }
    return recipe.model_copy(update=sections)
