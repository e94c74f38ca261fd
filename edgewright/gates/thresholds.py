"""Every threshold of the data gate, with where it comes from. The recipe's defaults are these, which a test holds.

Decides nothing at run time: a run's own thresholds stand in its recipe. The two of the literal rule `fid_recall` are
not in the recipe, because the rule is its numbers.

>>> threshold_table().splitlines()[0]
'| threshold | value | source |'
"""

from __future__ import annotations

from dataclasses import dataclass

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


THRESHOLDS = (
    Threshold(
        "max_fd_ratio",
        2.5,
        "own choice: fresh real pictures 0.7 to 1.2, a mode less 1.6 to 4.9, noise 10 to 92 (docs/LOG.md)",
    ),
    Threshold(
        "max_kid_excess", 0.6, "set after looking (docs/LOG.md): fresh real pictures -0.14 to 0.05, noise 6 to 109"
    ),
    Threshold(
        "min_coverage_ratio", 0.85, "own choice: fresh real pictures 0.99 to 1.05, noise 0.00 to 0.39 (docs/LOG.md)"
    ),
    Threshold(
        "min_picture_coverage_ratio",
        0.85,
        "real 0.99 to 1.07; a mode less 0.58 to 0.80, once of seven 0.97 (docs/LOG.md)",
    ),
    Threshold("min_precision_ratio", 0.85, "as min_coverage_ratio, the other way round"),
    Threshold("min_density_ratio", 0.7, "below precision's: density is the noisier of the two"),
    Threshold(
        "max_spectrum_excess_db",
        3.0,
        "twice or half the power; fresh real pictures -3.1 to -0.5, blur 3.4 to 7.5, noise 8.1 to 18.7 (docs/LOG.md)",
    ),
    Threshold("copy_radius", 0.1, "medians of changed copies 0.02 to 0.09, of composites 0.61 and 0.75 (docs/LOG.md)"),
    Threshold("max_copy_share", 0.12, "the 5 % expected below a 5 % quantile, doubled"),
    Threshold(
        "max_object_copy_share",
        0.65,
        "composites of 9 to 38 photographs 0.46 to 0.62; moved or slightly cut copies 0.68 to 1.00 (docs/LOG.md)",
    ),
    Threshold(
        "min_copy_distance_ratio",
        0.68,
        "composites of 9 to 38 photographs 0.72 to 0.80; moved or slightly cut copies 0 to 0.65 (docs/LOG.md)",
    ),
    Threshold("max_layout_ratio", 1.5, "1 is exceeded by one of 20 real half-splits by definition; half as much again"),
    Threshold("absent classes: chance", MAX_MISS_CHANCE, "the usual level: one perfect generator of 20 is undecided"),
    Threshold("min_label_agreement", 0.4, "between label.drop_iou and label.keep_iou"),
    Threshold("max_label_error_share", 0.4, "held-out BCCD under a labeler of 150 steps: 0.28, and a margin"),
    Threshold("max_left_out_share", 0.4, "more left out is a generator's failure, no filter's work"),
    Threshold(
        "min_utility_gain", -0.005, "own choice: half a point of mAP50-95, below what two seeds differ by (docs/LOG.md)"
    ),
    Threshold("interval_slack", 0.5, "with 40 held-out pictures the bound on a ratio is half as large again"),
    Threshold("fid_recall: FID", MAX_FID, "the literal rule; FID: Heusel et al. 2017, arXiv 1706.08500"),
    Threshold("fid_recall: recall", MIN_RECALL, "the literal rule; recall: Kynkäänniemi et al. 2019, arXiv 1904.06991"),
)


def threshold_table() -> str:
    """The table as Markdown."""
    rows = [f"| `{each.field}` | {each.value:g} | {each.source} |" for each in THRESHOLDS]
    return "\n".join(["| threshold | value | source |", "| --- | --- | --- |", *rows])
