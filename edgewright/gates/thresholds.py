"""Every threshold of the data gate, with where it comes from. The recipe's defaults are these, which a test holds.

Decides nothing at run time: a run's own thresholds stand in its recipe. The two of the literal rule `fid_recall` are
not in the recipe, because the rule is its numbers.

>>> threshold("min_coverage_ratio").value
0.85
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_FID = 30.0
MIN_RECALL = 0.85
MIN_FID_IMAGES = 2048
"""A covariance of 2,048 features is singular on fewer samples."""


@dataclass(frozen=True)
class Threshold:
    """One default. `field` is of the recipe's section `gate_data`; `source` says why this value and no other."""

    field: str
    value: float
    source: str


THRESHOLDS = (
    Threshold("max_fd_ratio", 2.5, "our toy generators: helpful ones reach 1.8, real against real 1.1"),
    Threshold("max_kid_excess", 0.6, "docs/LOG.md, controls on BCCD and the simulated camera"),
    Threshold("min_coverage_ratio", 0.85, "half of what k = 5 leaves between a perfect set (0.97) and 0.7"),
    Threshold("min_picture_coverage_ratio", 0.85, "as min_coverage_ratio; 16 of 16 splits with a mode dropped below"),
    Threshold("min_precision_ratio", 0.85, "as min_coverage_ratio, the other way round"),
    Threshold("min_density_ratio", 0.7, "docs/LOG.md; density is the noisier of the two"),
    Threshold("max_spectrum_excess_db", 3.0, "half the power in a band; a 3 x 3 box blur gives 5 dB and more"),
    Threshold("copy_radius", 0.1, "re-coded, re-lit and mirrored copies lie below, composites above (docs/LOG.md)"),
    Threshold("max_copy_share", 0.12, "twice the 5 % that fall below a 5 % quantile by chance, and a margin"),
    Threshold("max_object_copy_share", 0.5, "real crops among new neighbors stay below (docs/LOG.md)"),
    Threshold("min_copy_distance_ratio", 0.8, "toy flow generator: 0.89; copies: 0"),
    Threshold(
        "max_layout_ratio", 1.5, "real against real reaches 1 in one of 20 by definition, held out with luck 1.4"
    ),
    Threshold("min_label_agreement", 0.4, "between label.drop_iou and keep_iou; held-out BCCD, weak labeler: 0.49 and more"),
    Threshold(
        "max_label_error_share", 0.4, "held-out photographs judged by a labeler of a few hundred steps, and a margin"
    ),
    Threshold("max_left_out_share", 0.4, "more than this left out is a generator's failure, not a filter's work"),
    Threshold(
        "min_utility_gain", -0.005, "half a point of mAP50-95, about the deviation between seeds of one training"
    ),
    Threshold("interval_slack", 0.5, "with 40 held-out pictures the bound on a ratio is half as large again"),
    Threshold("fid_recall: FID", MAX_FID, "the literal rule; fidelity by Heusel et al. 2017, arXiv 1706.08500"),
    Threshold(
        "fid_recall: recall", MIN_RECALL, "the literal rule; recall by Kynkäänniemi et al. 2019, arXiv 1904.06991"
    ),
)


def threshold(field: str) -> Threshold:
    """Raises StopIteration for a field without a threshold."""
    return next(each for each in THRESHOLDS if each.field == field)


def threshold_table() -> str:
    """The table as Markdown."""
    rows = [f"| `{each.field}` | {each.value:g} | {each.source} |" for each in THRESHOLDS]
    return "\n".join(["| threshold | value | source |", "| --- | --- | --- |", *rows])
