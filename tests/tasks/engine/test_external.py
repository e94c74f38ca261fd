"""Files that a recipe names: their bytes count, not their names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgewright.artifacts import LocalStore
from edgewright.recipe import Recipe
from edgewright.recipe.gates import GateDataConfig, MeasureUtilityConfig
from edgewright.recipe.label import TrainLabelerConfig
from edgewright.recipe.section import Section
from edgewright.recipe.synth import TrainGeneratorConfig
from edgewright.settings import read_settings
from tasks.engine.external import external_digests
from tasks.engine.journal import Journal
from tasks.engine.session import Session, StageLink
from tasks.engine.stage import Stage
from tasks.engine.tracking import Tracker
from tasks.train_generator import train_generator
from tasks.train_labeler import train_labeler


def key(stage: Stage, config: Section, folder: Path) -> str:
    settings = read_settings({"EDGEWRIGHT_HOME": str(folder)})
    session = Session(
        settings=settings,
        store=LocalStore(folder / "store"),
        tracker=Tracker("", artifacts=folder),
        journal=Journal(folder / "run.json"),
        link=StageLink(project="toy"),
    )
    return stage.key(config, {}, session=session)


def test_other_bytes_under_the_same_name_are_another_key(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    config = TrainLabelerConfig(teacher=str(weights))
    absent = key(train_labeler, config, tmp_path)
    weights.write_bytes(b"one")
    one = key(train_labeler, config, tmp_path)
    weights.write_bytes(b"other")
    other = key(train_labeler, config, tmp_path)
    assert len({absent, one, other}) == 3
    weights.write_bytes(b"one")
    assert key(train_labeler, config, tmp_path) == one


def test_every_file_of_a_folder_counts(tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline"
    (pipeline / "unet").mkdir(parents=True)
    config = TrainGeneratorConfig(method="diffusers", pipeline=str(pipeline))
    keys = [key(train_generator, config, tmp_path)]
    for name, content in (("unet/a.safetensors", "1"), ("unet/a.safetensors", "2"), ("b.json", "2")):
        (pipeline / name).write_text(content)
        keys.append(key(train_generator, config, tmp_path))
    (pipeline / "b.json").rename(pipeline / "c.json")
    keys.append(key(train_generator, config, tmp_path))
    assert len(set(keys)) == len(keys)
    moved = pipeline.rename(tmp_path / "moved")
    assert external_digests(config) == {}
    assert list(external_digests(config.model_copy(update={"pipeline": str(moved)}))) == ["pipeline"]


def test_a_section_within_a_section_counts_too(tmp_path: Path) -> None:
    (tmp_path / "start.pt").write_bytes(b"one")
    detector = Recipe().train_detector.model_copy(update={"model": str(tmp_path / "start.pt")})
    assert list(external_digests(MeasureUtilityConfig(detector=detector))) == ["detector.model"]


@pytest.mark.parametrize("config", [TrainLabelerConfig(), GateDataConfig(), Recipe().train_detector])
def test_a_recipe_without_files_has_nothing_external(config: Section) -> None:
    assert external_digests(config) == {}


def test_no_field_that_names_a_file_is_forgotten() -> None:
    """Every text field whose description speaks of a file, a folder or a path."""
    speaks = re.compile(r"\b(file|folder|path)\b")
    sections = [section for _, section in Recipe() if isinstance(section, Section)]
    named = {
        (type(section), name)
        for section in sections
        for name, field in type(section).model_fields.items()
        if field.annotation is str and speaks.search((field.description or "").lower())
    }
    named -= {(type(Recipe().ingest), "group_pattern")}  # a path within the source, whose bytes are the stage's input
    assert named == {(type(section), name) for section in sections for name in section.external_paths}
