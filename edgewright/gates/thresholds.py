"""Every threshold of the data gate, with where it comes from: the recipe's fields in the order in which they are read.

Decides nothing at run time: a run's own thresholds stand in its recipe. Three are not in the recipe and stand here: the
two of the rule `fid_recall`, because the rule is its numbers, and the chance that a class is missing by accident.

>>> threshold_table().splitlines()[0]
'| threshold | value | source |'
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgewright.recipe.gates import GateDataConfig

MAX_FID = 30.0
MIN_RECALL = 0.85
MAX_MISS_CHANCE = 0.05
"""Above it, a class that the synthetic pictures lack may be missing by chance."""


@dataclass(frozen=True)
class Threshold:
    """One default. `field` is of the recipe's section `gate_data`; `source` says why this value and no other."""

    field: str
    value: float
    source: str


def _of_recipe(*fields: str) -> Iterator[Threshold]:
    """Thresholds of the recipe: the fields' defaults, and the sources that stand there."""
    for field in fields:
        yield Threshold(field, float(GateDataConfig.model_fields[field].default), GateDataConfig.source_of(field))


THRESHOLDS = (
    *_of_recipe("max_fd_ratio", "max_kid_excess", "min_coverage_ratio", "min_picture_coverage_ratio"),
    *_of_recipe("min_precision_ratio", "min_density_ratio", "max_spectrum_excess_db"),
    *_of_recipe("copy_radius", "max_copy_share", "max_scene_copy_share"),
    *_of_recipe("max_object_copy_share", "min_copy_distance_ratio"),
    *_of_recipe("max_layout_ratio"),
    Threshold("absent classes: chance", MAX_MISS_CHANCE, "the usual level: one perfect generator of 20 is undecided"),
    *_of_recipe("min_label_agreement", "max_label_error_share", "max_left_out_share"),
    *_of_recipe("min_utility_gain", "interval_slack"),
    Threshold("fid_recall: FID", MAX_FID, "the rule itself; FID: Heusel et al. 2017, arXiv 1706.08500"),
    Threshold("fid_recall: recall", MIN_RECALL, "the rule itself; recall: Kynkäänniemi et al. 2019, arXiv 1904.06991"),
)


def threshold_table() -> str:
    """The table as Markdown."""
    rows = [f"| `{each.field}` | {each.value:g} | {each.source} |" for each in THRESHOLDS]
    return "\n".join(["| threshold | value | source |", "| --- | --- | --- |", *rows])
