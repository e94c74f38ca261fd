"""Laws of the paired bootstrap over images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgewright.detect.bootstrap import compare_paired, precisions
from edgewright.detect.matching import Matched
from edgewright.detect.ranking import class_precisions
from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes
from tests.coco import Scene, evaluate_scenes, random_scene

N = 24


def scenes(seed: int, *, n: int = N) -> list[Scene]:
    """No two detections of one score: copies of a picture rank as its weight does."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        truth, ignored, found = random_scene(rng, side_px=60)
        made.append((truth, ignored, Boxes(found.xyxy, found.class_id, rng.random(len(found)).astype(np.float32))))
    return made


def matched(given: list[Scene]) -> Matched:
    found = evaluate_scenes(given).matched
    assert found is not None
    return found


def better(scene: Scene) -> Scene:
    """Every object found where it is, and nothing else."""
    truth, ignored, _ = scene
    return truth, ignored, truth


@pytest.mark.parametrize("seed", range(3))
def test_with_every_weight_one_it_is_the_evaluators_number(seed: int) -> None:
    given = scenes(seed)
    [found] = precisions(matched(given), np.ones((1, N), dtype=np.int64))
    assert found == pytest.approx([class_precisions(parts).mean() for parts in matched(given).by_class], abs=1e-12)
    assert found.mean() == pytest.approx(evaluate_scenes(given).map50_95, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_weight_is_as_many_copies(seed: int) -> None:
    given = scenes(seed)
    weights = np.random.default_rng(seed).multinomial(N, np.full(N, 1 / N))
    copies = [scene for scene, times in zip(given, weights, strict=True) for _ in range(times)]
    [found] = precisions(matched(given), weights[None])
    assert np.nanmean(found) == pytest.approx(evaluate_scenes(copies).map50_95, abs=1e-12)


def test_a_class_that_a_draw_has_no_object_of_is_left_out() -> None:
    given = scenes(0)
    weights = np.zeros((1, N), dtype=np.int64)
    empty = next(i for i, (truth, _, _) in enumerate(given) if 0 < len(set(truth.class_id.tolist())) < 3)
    weights[0, empty] = N
    [found] = precisions(matched(given), weights)
    assert np.isnan(found).tolist() == [name not in given[empty][0].class_id for name in range(3)]


def test_a_detector_against_itself_differs_by_nothing() -> None:
    one = matched(scenes(1))
    found = compare_paired(one, one, seed=0)
    assert (found.difference, found.low, found.high, found.n_images) == (0.0, 0.0, 0.0, N)


def test_better_on_every_image_has_its_interval_above_zero() -> None:
    given = scenes(2)
    found = compare_paired(matched([better(scene) for scene in given]), matched(given), seed=0)
    assert found.difference is not None and found.low is not None and found.high is not None
    assert 0 < found.low <= found.difference <= found.high
    turned = compare_paired(matched(given), matched([better(scene) for scene in given]), seed=0)
    assert (turned.difference, turned.low, turned.high) == pytest.approx((-found.difference, -found.high, -found.low))


def test_pairing_tells_what_two_intervals_would_not() -> None:
    """One picture more is found: draws with it gain, the others neither gain nor lose."""
    given = scenes(3)
    changed = [better(scene) if number == 0 else scene for number, scene in enumerate(given)]
    found = compare_paired(matched(changed), matched(given), seed=0)
    assert found.low is not None and found.high is not None and found.difference is not None
    assert -0.02 < found.low <= found.difference <= found.high < 0.2


def test_an_equal_seed_is_an_equal_interval() -> None:
    a, b = matched(scenes(4)), matched([better(scene) for scene in scenes(4)])
    assert compare_paired(a, b, seed=1, rounds=50) == compare_paired(a, b, seed=1, rounds=50)
    assert compare_paired(a, b, seed=1, rounds=50) != compare_paired(a, b, seed=2, rounds=50)


def test_without_an_object_there_is_no_difference() -> None:
    nothing = matched([(Boxes.empty(), Boxes.empty(), Boxes.empty())] * 3)
    found = compare_paired(nothing, nothing, seed=0)
    assert (found.difference, found.low, found.high) == (None, None, None)


def test_other_objects_or_classes_are_refused() -> None:
    one = matched(scenes(5))
    with pytest.raises(InputError, match="not judged on the same objects"):
        compare_paired(one, matched(scenes(6)), seed=0)
    with pytest.raises(InputError, match="not judged on the same objects"):
        compare_paired(one, replace(one, classes=("a", "c", "b")), seed=0)


def test_rounds_are_worked_off_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = matched(scenes(7)), matched([better(scene) for scene in scenes(7)])
    whole = compare_paired(one, other, seed=0, rounds=40)
    monkeypatch.setattr("edgewright.detect.bootstrap._MAX_NUMBERS", 200)
    assert compare_paired(one, other, seed=0, rounds=40) == whole
