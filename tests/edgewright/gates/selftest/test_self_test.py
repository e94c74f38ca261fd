"""The self-test on drawn scenes under two lamps, with a judge that looks: real passes, every bad control is caught."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edgewright.artifacts import Content, LocalStore, Record
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Row
from edgewright.errors import InputError
from edgewright.gates.selftest.controls import Scene, background_only, copied, one_mode, pasted, shuffled_labels
from edgewright.gates.selftest.self_test import CONTROLS, SelfTest, self_test
from edgewright.gates.verdict import Outcome
from edgewright.progress import silent
from edgewright.recipe.gates import GateDataConfig
from tests.scenes import discs, publish_dataset

CONFIG = GateDataConfig(feature_px=32, tiles_per_image=3, bootstraps=20)
SIZE_WH = (96, 72)


def scene(rng: np.random.Generator) -> Scene:
    """Discs that a judge can see."""
    return Scene(*discs(rng, contrast=(40, 70)))


def scenes(n: int, *, seed: int) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [replace(scene(rng), source=str(index)) for index in range(n)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("store"))


def photographs(store: LocalStore, n: int) -> Dataset:
    pairs = []
    for index, member in enumerate(scenes(n, seed=0)):
        split = ("train", "train", "train", "val", "test")[index % 5]
        row = Row(f"{index:03d}.png", "", width=96, height=72, split=split, group=f"{index // 2}", state="human")
        pairs.append((replace(row, labels=member.labels), encode_png(member.image)))
    return publish_dataset(store, pairs, classes=("disc",), stage="test")


def by_contrast(store: LocalStore) -> Callable[[Dataset], Callable[[Dataset], Dataset]]:
    """A judge that finds an object where a box's middle differs from its corners."""

    def make(train: Dataset) -> Callable[[Dataset], Dataset]:
        assert {row.split for row in train.rows} == {"train", "val"}

        def judge(synthetic: Dataset) -> Dataset:
            with store.workspace() as work:
                writer = DatasetWriter(work, classes=synthetic.classes)
                for row in synthetic.rows:
                    image = synthetic.image(row).astype(float)
                    seen = [_contrast(image, label.xyxy) > 15 for label in row.labels]
                    scores = {"agreement": 0.8 * float(np.mean(seen)), "judged": float(len(seen)), "phantom": 0.0}
                    judged = replace(row, scores={**scores, "missed": float(len(seen) - sum(seen))})
                    if np.mean(seen) >= 0.5:
                        writer.link(judged, synthetic)
                    else:
                        writer.quarantine(replace(judged, quarantine="objects not seen"))
                writer.finish()
                return Dataset.open(store, store.publish(work, Content(kind="dataset_labeled", stage="t"), Record()))

        return judge

    return make


def _contrast(image: np.ndarray, xyxy: tuple[float, float, float, float]) -> float:
    x1, y1, x2, y2 = xyxy
    x, y = int(np.clip((x1 + x2) / 2, 2, 93)), int(np.clip((y1 + y2) / 2, 2, 69))
    middle = image[y - 2 : y + 3, x - 2 : x + 3].mean()
    corners = [image[int(np.clip(cy, 0, 71)), int(np.clip(cx, 0, 95))].mean() for cx in (x1, x2) for cy in (y1, y2)]
    return float(abs(middle - np.median(corners)))


def examine(store: LocalStore, n: int, config: GateDataConfig = CONFIG) -> SelfTest:
    """The self-test of the gate on `n` photographs."""
    judge, real = by_contrast(store), photographs(store, n)
    return self_test(real, config, image_px=96, store=store, make_judge=judge, seed=0, threads=1, on_progress=silent)


@pytest.fixture(scope="module")
def report(store: LocalStore) -> SelfTest:
    return examine(store, 200)


def test_real_is_admitted_and_every_control_refused_by_the_check_that_must(report: SelfTest) -> None:
    assert [result.name for result in report.results] == [name for name, _ in CONTROLS]
    assert report.passed, report.table()
    assert report.results[0].verdict.outcome is Outcome.PASS
    assert all(set(result.must) & set(result.refused_by) for result in report.results[1:])
    assert report.n_train + report.n_held_out + report.n_fresh == 160  # the test split stays closed
    written = json.loads(json.dumps(report.to_json()))
    assert (written["passed"], written["results"][1]["right"]) == (True, True)
    assert all(row[3] == "right" for row in report.table())
    assert all(result.numbers() for result in report.results[1:])


def test_a_gate_that_lets_a_control_pass_has_failed(store: LocalStore) -> None:
    blind = CONFIG.model_copy(
        update={
            "max_copy_share": 1.0,
            "max_scene_copy_share": 1.0,
            "max_object_copy_share": 1.0,
            "min_copy_distance_ratio": 0.0,
        }
    )
    found = examine(store, 200, blind)
    assert [result.name for result in found.results if not result.right] == [
        "training copies",
        "cut copies",
        "pasted copies",
    ]
    assert not found.passed


def test_too_few_pictures_are_an_error(store: LocalStore) -> None:
    with pytest.raises(InputError, match="too few labeled real pictures"):
        examine(store, 40)


def test_controls_do_what_they_say() -> None:
    rng = np.random.default_rng(0)
    some = scenes(40, seed=1)
    copies = copied(some, count=100, rng=rng)
    assert len(copies) == 100
    assert {copy.source for copy in copies} == {member.source for member in some}
    mirrored = next(copy for i, copy in enumerate(copies) if i % 2)
    original = some[int(mirrored.source)]
    np.testing.assert_array_equal(mirrored.image, original.image[:, ::-1])
    assert mirrored.labels[0].xyxy[0] == pytest.approx(96 - original.labels[0].xyxy[2])
    shuffled = shuffled_labels(some, rng=rng)
    assert all(a.labels != b.labels for a, b in zip(shuffled, some, strict=True))
    assert sorted(len(a.labels) for a in shuffled) == sorted(len(a.labels) for a in some)
    light = [float(member.image.mean()) for member in one_mode(some, at_least=5, rng=rng)]
    assert max(light) < 110 or min(light) > 110  # one lamp
    assert 5 <= len(light) <= 20
    empty = background_only(some[0], rng=rng)
    assert empty.labels == some[0].labels
    assert empty.image.astype(float).std() < 0.7 * some[0].image.astype(float).std()
    again = pasted(some[0], rng=rng)
    assert again.labels == some[0].labels
    differs = (again.image != some[0].image).any(axis=2)
    assert 0 < differs.mean() < 0.5  # a rim of paint around what was put back
