"""From a tiny real dataset to a generator artifact to a synthetic dataset, with real files in a real store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewright.artifacts import Artifact, ArtifactRef, Content, LocalStore, Record, Store
from edgewright.data.codec import encode_png
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rle import decode_mask
from edgewright.data.rows import Label, Row
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.label.train import train_labeler
from edgewright.progress import silent
from edgewright.recipe.label import TrainLabelerConfig
from edgewright.recipe.synth import GenerateConfig, TrainGeneratorConfig
from edgewright.synth import compositor
from edgewright.synth.boxes import tight_box
from edgewright.synth.generate import GenerateReport, generate, make_factory
from edgewright.synth.generator import GeneratorReport, open_generator, train_generator
from edgewright.synth.objects.crops import CropBank
from tests.scenes import plates, publish_dataset

CLASSES = ("plate", "ring", "never")
TRAIN = TrainGeneratorConfig(steps=4, batch=4, width=8, latent=8)
GENERATE = GenerateConfig(images=6, image_px=64)


def picture(index: int, *, masked: bool) -> tuple[np.ndarray, tuple[Label, ...]]:
    """An 80 x 60 gray picture with two red plates and a blue ellipse."""
    return plates(
        index,
        spots=((0, 4, 4), (0, 50, 30), (1, 25, 35)),
        masked=masked,
        jitter_px=6,
        widths_px=(14, 20),
        height_px=12,
        color=200,
        round_class=1,
    )


def real_dataset(
    store: Store, *, images: int = 8, masked: bool = False, hard: Mapping[str, float] | None = None
) -> Dataset:
    """`images` train pictures and two test pictures that are all white, with an unlabeled one."""
    pairs = []
    for index in range(images):
        image, labels = picture(index, masked=masked)
        row = Row(f"{index}.png", "", width=80, height=60, labels=labels, state="human")
        wanted = (hard or {}).get(row.id)
        pairs.append((row if wanted is None else replace(row, scores={"hard": wanted}), encode_png(image)))
    white = encode_png(np.full((60, 80, 3), 255, np.uint8))
    for split in ("test", "val"):
        label = (Label(0, 0, (10.0, 10.0, 40.0, 40.0)),)
        pairs.append((Row(f"{split}.png", "", width=80, height=60, split=split, labels=label, state="human"), white))
    pairs.append((Row("unlabeled.png", "", width=80, height=60), white))
    return publish_dataset(store, pairs, classes=CLASSES)


def make_generator(store: Store, dataset: Dataset, config: TrainGeneratorConfig) -> tuple[Artifact, GeneratorReport]:
    with store.workspace() as work, store.workspace() as scratch:
        report = train_generator(dataset, config, out=work, scratch=scratch, seed=1, threads=1, on_progress=silent)
        ref = store.publish(work, Content("generator", "train_generator"), Record())
    return store.open(ref), report


def make_images(
    store: Store, generator: Artifact, dataset: Dataset, config: GenerateConfig = GENERATE, *, seed: int = 1
) -> tuple[Dataset, GenerateReport]:
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=dataset.classes)
        report = generate(generator, dataset, config, writer=writer, seed=seed, on_progress=silent)
        writer.finish()
        ref = store.publish(work, Content("dataset_synthetic", "generate"), Record())
    return Dataset.open(store, ref), report


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def dataset(store: Store) -> Dataset:
    return real_dataset(store)


@pytest.fixture(scope="module")
def gan(store: Store, dataset: Dataset) -> Artifact:
    return make_generator(store, dataset, TRAIN)[0]


def test_the_artifact_holds_its_files_and_the_report_names_the_missing_class(store: Store, dataset: Dataset) -> None:
    artifact, report = make_generator(store, dataset, TRAIN)
    assert artifact.files == [
        "crops.npz",
        "gan.safetensors",
        "generator.json",
        "history.json",
        "layout.json",
        "preview.png",
    ]
    assert report.crops_by_class == {"plate": 16, "ring": 8, "never": 0}
    assert report.not_generated == ("never",)
    assert report.images == 8, "neither val, test nor unlabeled pictures are looked at"
    assert [point["step"] for point in artifact.json("history.json")] == [1, 2, 3, 4]
    assert open_generator(artifact).sampler is not None


def test_the_same_inputs_give_the_same_artifacts(store: Store, dataset: Dataset, gan: Artifact) -> None:
    again, _ = make_generator(store, dataset, TRAIN)
    assert again.ref == gan.ref
    first, second = (make_images(store, gan, dataset)[0] for _ in range(2))
    assert first.ref == second.ref
    assert make_images(store, gan, dataset, seed=2)[0].ref != first.ref


def test_a_picture_depends_on_its_index_alone(store: Store, dataset: Dataset, gan: Artifact) -> None:
    few, _ = make_images(store, gan, dataset, replace_config(images=3))
    many, _ = make_images(store, gan, dataset, replace_config(images=6))
    assert [row.sha256 for row in few.rows] == [row.sha256 for row in many.rows[:3]]
    assert [row.labels for row in few.rows] == [row.labels for row in many.rows[:3]]


@pytest.mark.parametrize(("limit_bytes", "plates"), [(0, 0), (70_000, 2)])  # of eight, 30.6 kB each
def test_what_is_remembered_changes_no_picture(
    store: Store, dataset: Dataset, gan: Artifact, limit_bytes: int, plates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, _ = make_images(store, gan, dataset)
    monkeypatch.setattr(compositor, "PLATE_BYTES", limit_bytes)
    monkeypatch.setattr(compositor, "FITTED_BYTES", limit_bytes)
    assert make_images(store, gan, dataset)[0].ref == known.ref
    factory = make_factory(open_generator(gan), dataset, GENERATE, seed=1)
    assert isinstance(factory, compositor.PictureFactory)
    for index in range(12):
        factory.make(index)
        assert factory._plates.currsize <= limit_bytes
    assert len(factory._plates) == plates


def replace_config(**changes: object) -> GenerateConfig:
    return GenerateConfig.model_validate({**GENERATE.model_dump(), **changes})


def test_rows_say_what_they_are(store: Store, dataset: Dataset, gan: Artifact) -> None:
    made, report = make_images(store, gan, dataset)
    train_ids = {row.id for row in dataset.select(split="train", labeled=True)}
    assert report.images == len(made.rows) == 6
    for row in made.rows:
        image = made.image(row)
        assert (row.origin, row.split, row.group, row.state) == ("synthetic", "train", "synthetic", "constructed")
        assert (row.width, row.height) == (image.shape[1], image.shape[0]) == (64, 48)
        assert row.parents and set(row.parents) <= train_ids
        assert {label.source for label in row.labels} <= {"constructed", "human"}
        for label in row.labels:
            assert label.class_id in (0, 1)
            assert 0 <= label.xyxy[0] < label.xyxy[2] <= 64 and 0 <= label.xyxy[1] < label.xyxy[3] <= 48
            if label.source == "constructed":
                assert tight_box(decode_mask(label.mask, shape=(48, 64))) == label.xyxy
    objects = sum(not label.ignore for row in made.rows for label in row.labels)
    assert sum(report.objects_by_class.values()) == objects
    assert report.pasted_real + report.pasted_generated > 0


def test_what_a_box_holds_has_the_color_of_its_class(store: Store, dataset: Dataset) -> None:
    compositor, _ = make_generator(store, dataset, TrainGeneratorConfig(method="compositor"))
    made, report = make_images(store, compositor, dataset, replace_config(images=12))
    assert report.pasted_generated == 0
    for row in made.rows:
        image = made.image(row).astype(int)
        for label in row.labels:
            if not label.ignore:
                x1, y1, x2, y2 = (int(value) for value in label.xyxy)
                middle = image[(y1 + y2) // 2, (x1 + x2) // 2]
                assert (middle[0] > middle[2]) == (label.class_id == 0)


def test_the_share_of_generated_crops_is_about_what_was_asked(store: Store, dataset: Dataset, gan: Artifact) -> None:
    _, none = make_images(store, gan, dataset, replace_config(generated_share=0.0))
    _, all_of_them = make_images(store, gan, dataset, replace_config(generated_share=1.0))
    assert none.pasted_generated == 0 and none.pasted_real > 0
    assert all_of_them.pasted_real == 0 and all_of_them.pasted_generated > 0


def test_keeping_nothing_keeps_nothing_and_keeping_all_keeps_all(store: Store, dataset: Dataset, gan: Artifact) -> None:
    _, nothing = make_images(store, gan, dataset, replace_config(keep_share=0.0))
    _, everything = make_images(store, gan, dataset, replace_config(keep_share=1.0))
    assert nothing.kept == 0
    assert everything.kept == 18


def test_a_picture_into_which_nothing_fits_is_not_the_photograph_over_again(store: Store) -> None:
    """One object that fills its photograph: where it stayed, there is no room for another, so it goes."""
    pairs = []
    for index in range(10):
        image = np.full((60, 80, 3), 90 + 5 * index, np.uint8)
        image[10:50, 15:65] = (200, 15 * index, 40)
        label = (Label(0, 0, (15.0, 10.0, 65.0, 50.0)),)
        pairs.append((Row(f"{index}.png", "", width=80, height=60, labels=label, state="human"), encode_png(image)))
    large = publish_dataset(store, pairs, classes=CLASSES)
    generator, _ = make_generator(store, large, TRAIN.model_copy(update={"method": "compositor"}))
    made, report = make_images(store, generator, large, replace_config(images=40, keep_share=0.5, max_overlap=0.0))
    assert report.kept == 0
    assert report.pasted_real > 30  # at times a window shows too little of what was planned
    assert {label.source for row in made.rows for label in row.labels} == {"constructed"}


@pytest.mark.parametrize(
    "change",
    [{"max_overlap": 0.0}, {"min_visible": 1.0}, {"image_px": 80}, {"class_balance": 1.0}, {"hard_share": 1.0}],
)
def test_every_field_changes_the_pictures_or_their_labels(
    store: Store, dataset: Dataset, gan: Artifact, change: dict[str, object]
) -> None:
    crowded = {"images": 12, "keep_share": 1.0, "max_overlap": 1.0}
    plain, _ = make_images(store, gan, dataset, replace_config(**crowded))
    changed, _ = make_images(store, gan, dataset, replace_config(**{**crowded, **change}))
    assert changed.ref != plain.ref


def test_class_balance_shows_in_the_pictures(store: Store, dataset: Dataset, gan: Artifact) -> None:
    """Two plates and a ring stand in each real picture."""
    _, plain = make_images(store, gan, dataset, replace_config(images=60, keep_share=0.5))
    _, even = make_images(store, gan, dataset, replace_config(images=60, keep_share=0.5, class_balance=1.0))
    rings = [report.objects_by_class["ring"] / sum(report.objects_by_class.values()) for report in (plain, even)]
    assert rings[1] > rings[0] + 0.05
    assert even.objects_by_class["never"] == 0


def test_hard_pictures_are_built_on_more_often(store: Store, gan: Artifact) -> None:
    scored = real_dataset(store, hard={"3.png": 100.0})
    plain, _ = make_images(store, gan, scored, replace_config(images=30))
    hard, _ = make_images(store, gan, scored, replace_config(images=30, hard_share=1.0, keep_share=1.0))
    counts = [sum("3.png" in row.parents for row in made.rows) for made in (plain, hard)]
    assert counts[1] > 24 > counts[0]


def test_a_wish_for_hard_pictures_without_a_score_is_answered(store: Store, dataset: Dataset, gan: Artifact) -> None:
    _, silent_one = make_images(store, gan, dataset, replace_config(images=1))
    _, in_vain = make_images(store, gan, dataset, replace_config(images=1, hard_share=0.5))
    _, steered = make_images(
        store, gan, real_dataset(store, hard={"3.png": 1.0}), replace_config(images=1, hard_share=0.5)
    )
    assert silent_one.facts == {"hard_scored": 0, "warnings": []}
    assert in_vain.hard_scored == 0 and "hard_share changed nothing" in in_vain.facts["warnings"][0]
    assert steered.facts == {"hard_scored": 1, "warnings": []}


def test_training_gives_the_threads_back(store: Store, dataset: Dataset) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []
    with store.workspace() as work:
        train_generator(
            dataset,
            TrainGeneratorConfig(method="copier"),
            out=work,
            scratch=work,
            seed=0,
            threads=before + 1,
            on_progress=lambda *_: seen.append(torch.get_num_threads()),
        )
    assert (seen, torch.get_num_threads()) == ([before + 1], before)


def test_too_many_classes_for_a_map_are_refused_before_anything_is_learned(
    store: Store, dataset: Dataset, tmp_path: Path
) -> None:
    many = Dataset(
        ref=dataset.ref,
        manifest=dataset.manifest,
        classes=tuple(f"c{number}" for number in range(255)),
        rows=dataset.rows,
        shards=dataset.shards,
        locate=store.file,
    )
    scenes = TrainGeneratorConfig(level="scene", side_px=32, steps=1)
    kinds = {"out": tmp_path, "scratch": tmp_path, "seed": 0, "threads": 1, "on_progress": silent}
    with pytest.raises(InputError, match=r"too many classes.*at most 254.*255"):
        train_generator(many, scenes, **kinds)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="too many classes"):
        train_labeler(many, TrainLabelerConfig(steps=1), **kinds)  # type: ignore[arg-type]


def test_the_report_says_how_far_the_layouts_are_from_real_ones(store: Store, dataset: Dataset, gan: Artifact) -> None:
    _, report = make_images(store, gan, dataset, replace_config(images=8))
    assert set(report.layout_distance) == set(report.layout_baseline_q95) >= {"class_frequency", "log_size", "overlap"}
    assert report.layout_pictures == 4, "half of the eight real ones"
    _, none = make_images(store, gan, dataset, replace_config(images=0))
    assert (none.layout_distance, none.layout_pictures, none.images) == ({}, 0, 0)


def test_the_copier_returns_the_training_pictures(store: Store, dataset: Dataset) -> None:
    copier, report = make_generator(store, dataset, TrainGeneratorConfig(method="copier"))
    made, _ = make_images(store, copier, dataset, replace_config(images=8, image_px=80))
    assert report.steps == 0
    copied = {row.parents[0]: row for row in made.rows}
    originals = dataset.select(split="train", labeled=True)
    assert sorted(copied) == [row.id for row in originals]
    for row in originals:
        assert (made.image(copied[row.id]) == dataset.image(row)).all()
        assert [label.xyxy for label in copied[row.id].labels] == [label.xyxy for label in row.labels]


def test_labeled_masks_become_opacity(store: Store) -> None:
    dataset = real_dataset(store, masked=True)
    generator, _ = make_generator(store, dataset, TrainGeneratorConfig(method="compositor"))
    bank = open_generator(generator).bank
    assert bank.masked(0) and bank.masked(1)
    opaque = [float((crop.rgba[..., 3] > 127).mean()) * 1.4**2 for crop in bank.crops]
    plates = [share for share, crop in zip(opaque, bank.crops, strict=True) if crop.class_id == 0]
    rings = [share for share, crop in zip(opaque, bank.crops, strict=True) if crop.class_id == 1]
    assert np.mean(plates) == pytest.approx(1.0, abs=0.12), "a plate fills its box"
    assert np.mean(rings) == pytest.approx(np.pi / 4, abs=0.12), "an ellipse does not"
    made, _ = make_images(store, generator, dataset)
    assert all(label.mask for row in made.rows for label in row.labels)


def test_too_few_objects_are_an_input_error(store: Store) -> None:
    with pytest.raises(InputError, match="too few objects"):
        make_generator(store, real_dataset(store, images=2), TRAIN)


def test_another_class_list_is_refused(store: Store, dataset: Dataset, gan: Artifact, tmp_path: Path) -> None:
    renamed = Dataset(
        ref=dataset.ref,
        manifest=dataset.manifest,
        classes=("a", "b", "c"),
        rows=dataset.rows,
        shards=dataset.shards,
        locate=store.file,
    )
    writer = DatasetWriter(tmp_path, classes=renamed.classes)
    with pytest.raises(InputError, match="class lists differ"):
        generate(gan, renamed, GENERATE, writer=writer, seed=0, on_progress=silent)


def test_the_bank_round_trip_and_its_refusal(gan: Artifact, tmp_path: Path) -> None:
    bank = CropBank.load(gan.path("crops.npz"))
    bank.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == gan.path("crops.npz").read_bytes()
    (tmp_path / "torn.npz").write_bytes(gan.path("crops.npz").read_bytes()[:100])
    with pytest.raises(ArtifactCorrupt):
        CropBank.load(tmp_path / "torn.npz")


def test_weights_that_do_not_fit_are_corrupt(store: Store, gan: Artifact) -> None:
    with store.workspace() as work:
        for name in gan.files:
            (work / name).write_bytes(gan.path(name).read_bytes())
        described = gan.path("generator.json").read_text().replace('"width":8', '"width":16')
        (work / "generator.json").write_text(described)
        ref: ArtifactRef = store.publish(work, replace(gan.manifest.content, files={}), Record())
    with pytest.raises(ArtifactCorrupt, match="do not fit"):
        open_generator(store.open(ref))


@pytest.mark.parametrize("codec", ["jpegls", "jxl"])
def test_pictures_that_lie_in_a_codec_are_the_same(store: Store, dataset: Dataset, gan: Artifact, codec: str) -> None:
    pytest.importorskip("imagecodecs")
    plain = Dataset.open(store, make_images(store, gan, dataset)[0].ref)
    made = Dataset.open(store, make_images(store, gan, dataset, replace_config(codec=codec))[0].ref)
    assert {row.codec for row in made.rows} == {codec}
    assert [row.sha256 for row in made.rows] == [row.sha256 for row in plain.rows]
    for row, other in zip(made.rows, plain.rows, strict=True):
        assert np.array_equal(made.image(row), plain.image(other))
        assert made.payload(row) == plain.payload(other), "a PNG of ours comes back as it was"
    assert sum(row.bytes for row in made.rows) < sum(row.bytes for row in plain.rows)
