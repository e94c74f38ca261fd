"""Write docs/thresholds.md from the data gate's table: `python docs/write_thresholds.py`.

Decides nothing. tests/test_docs.py compares the page with `page()`.
"""

from __future__ import annotations

from pathlib import Path

from edgewright.gates.thresholds import threshold_table

PAGE = Path(__file__).parent / "thresholds.md"
_HEAD = """# Thresholds of the data gate

Every default of `gate_data`, and why it is this number and no other. A run's own thresholds stand in its recipe, in its
verdict beside the measured value, and on its report. A check passes where its estimate meets the threshold and the
worse end of its interval does not reach more than `interval_slack` past it; `fid_recall` allows no slack.

"""
_TAIL = """
## Pictures that differ from photographs on purpose

Balanced classes (`generate.class_balance`) or hard scenes (`generate.hard_share`) are unlike the photographs, so the
default rule refuses them, however useful they are: composites with balanced classes had an FD ratio of 10 and gained
the most (docs/LOG.md). `--set gate_data.rule=utility --set measure_utility.pairs=1` lets measured usefulness decide in
place of likeness: pairs of detectors with and without the pictures, every labeled photograph of `train` and `val` held
out once, and the lower bound of the gain above 0. FD, KID, coverage, precision, density, spectrum and layouts are then
reported; copies, labels and absent classes decide as ever. It costs ten trainings of `measure_utility.steps` steps: two
for each of `measure_utility.folds` folds, times `pairs`.

Five folds see gains whose lower bound lies 2.1 standard errors below them, three folds 2.9, ten 1.8 (Student's t). More
`pairs` make the trainings' part of that error smaller, never the photographs' part; more folds cost as much and lessen
both.

## How to have the rule fid_recall `fid_recall` evaluated

FID < 30 and recall > 0.85 are printed on every run, mostly as not evaluable, with what is missing. To have them judged:

1. `pip install 'edgewright[fidelity]'`, and download torch-fidelity's `weights-inception-2015-12-05-6726825d.pth`.
   Nothing downloads it for you.
2. `--set gate_data.features=inception --set gate_data.features_weights=FILE`: 30 means something in Inception's space
   alone.
3. At least 2,048 usable synthetic pictures (`generate.images`) and 2,048 held-out photographs (`ingest.val_share`): a
   covariance of 2,048 features is singular on fewer. Up to `gate_data.max_fid_images` a side are looked at, whichever
   `max_images` the other checks keep to. `train` has no part in it.
4. `--set gate_data.rule=fid_recall` makes it decide; then every other check is only reported. It praises a generator
   that copies well, and says nothing of labels: on its own it is no gate to rely on.

Pictures are resized whole to 299 × 299 by Pillow's antialiased bicubic filter and rounded to 8 bits.
"""


def page() -> str:
    """The whole page."""
    return _HEAD + threshold_table() + "\n" + _TAIL


if __name__ == "__main__":
    PAGE.write_text(page())
