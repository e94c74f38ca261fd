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

## The model gate and processors without VNNI

`gate_model.max_map_drop`, `min_map50` and `max_bytes` hold for each INT8 file of a model in every form that it must
hold in: `model.onnx` as it runs and as it is written, `model-safe.onnx` also with saturation, as x86 without VNNI
computes it ([0012](adr/0012-an-int8-file-for-every-x86.md)). What `model.onnx` would find there is told and decides
nothing. `gate_model.max_layer_error` is 1: an error as large as what the float convolution says. It finds what is
broken, and is no measure of accuracy: 0.19 on playing cards and 0.48 on blood cells cost nothing, 0.55 by saturation a
third of the mAP50-95 (docs/LOG.md). `gate_model.max_export_difference` is 0.1 px; 0.0001 was measured.
`quantize.safe_max_loss` is 0.1: what scales against saturation alone changed of a convolution's output was at most
0.05.

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

## What the model gate measures, and the champion

Float, float ONNX and INT8 are judged by one evaluator on the labeled real `test` photographs; its numbers equal
pycocotools'. Beside mAP50 and mAP50-95, whole and by class, `measured.json`, MLflow and the page hold:

- **by size**: mAP of small (up to 32² px of the photograph), medium (to 96² px) and large objects. An object of another
  size is ignored, and so is a detection of another size that matches nothing.
- **at the score that the device reports from**: recall and precision at IoU 0.5, over all objects and by class; the
  class of the lowest recall is named. The score is that of the best F1 on the photographs of `val`, never of `test`, or
  what `quantize.score_threshold` says: families of detectors are sure of themselves in different degrees, and one score
  for all of them gave the default four times as many false alarms as the slim YOLO.
- **what scores are worth**: the detection expected calibration error over ten bins of score (Küppers et al. 2020, arXiv
  2004.13546), of what is reported. 0: of the detections with a score of 0.8, four in five are right.

A model takes the place of the project's `champion` only where it is no worse. Both INT8 files are run on the test
photographs of the data set of now, and photographs are drawn with replacement 500 times, the same draw for both: that
gives the difference in mAP50-95 its 90 % interval.

- No champion yet: it passes, and says so.
- More than `gate_model.max_regression` lost, and the interval lies below 0: refused as worse than the champion.
- Something lost, and the interval reaches more than `regression_slack` past that: undecided. Nothing is released; more
  test photographs would tell.
- The champion has other classes, or its files are gone or corrupt: not evaluable. Nothing is released.
- Anything else passes: as good or better, or a loss that is small or may be chance.

A person who wants the new model all the same, or whose classes have changed for good, writes
`--set gate_model.champion=ignore`. The verdict, its page and MLflow then say that nothing was compared. The other
checks of the gate hold as ever.

Small test sides tell little: equal detectors lie 0.06 apart on 16 photographs, 0.02 on 79 (standard deviation,
docs/LOG.md). What `ingest.train_share` and `val_share` leave is `test`; where it is large, a smaller `max_regression`
and `regression_slack` are worth setting.
"""


def page() -> str:
    """The whole page."""
    return _HEAD + threshold_table() + "\n" + _TAIL


if __name__ == "__main__":
    PAGE.write_text(page())
