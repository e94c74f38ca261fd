"""The recipe: one section a stage, and what holds between sections. The form the Prefect UI shows, what MLflow records.

Decides every number a run depends on. Refuses an unknown field, a wrong type, a value out of range. Endpoints and
credentials never stand here (recipes are logged); they are settings.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from edgewright.recipe.compress import CompressConfig, QuantizeConfig
from edgewright.recipe.data import IngestConfig
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.gates import GateDataConfig, GateModelConfig, MeasureUtilityConfig
from edgewright.recipe.label import LabelConfig, TrainLabelerConfig
from edgewright.recipe.release import FlashConfig, ReleaseConfig
from edgewright.recipe.route import RouteConfig
from edgewright.recipe.section import Section
from edgewright.recipe.synth import GenerateConfig, TrainGeneratorConfig


class Recipe(Section):
    """Everything a run depends on, apart from its source and the machine."""

    preset: Literal["demo", "laptop", "workstation", "cluster"] = "laptop"
    seed: int = Field(0, ge=0)
    ingest: IngestConfig = IngestConfig()
    train_generator: TrainGeneratorConfig = TrainGeneratorConfig()
    generate: GenerateConfig = GenerateConfig()
    train_labeler: TrainLabelerConfig = TrainLabelerConfig()
    label: LabelConfig = LabelConfig()
    measure_utility: MeasureUtilityConfig = MeasureUtilityConfig()
    gate_data: GateDataConfig = GateDataConfig()
    train_detector: TrainDetectorConfig = TrainDetectorConfig()
    compress: CompressConfig = CompressConfig()
    quantize: QuantizeConfig = QuantizeConfig()
    gate_model: GateModelConfig = GateModelConfig()
    release: ReleaseConfig = ReleaseConfig()
    flash: FlashConfig = FlashConfig()
    route: RouteConfig = RouteConfig()

    @model_validator(mode="after")
    def _paint_scenes_as_large_as_they_were_learned(self) -> Self:
        learnt_px, wanted_px = self.train_generator.scene_px, self.generate.image_px
        if self.train_generator.level == "scene" and learnt_px != wanted_px:
            raise ValueError(
                f"level scene: train_generator.scene_px ({learnt_px}) and generate.image_px ({wanted_px}) must be equal"
            )
        return self

    @model_validator(mode="after")
    def _measure_what_shall_decide(self) -> Self:
        if self.decided_by_use and not self.measure_utility.pairs:
            raise ValueError("gate_data decides by usefulness: measure_utility.pairs must be at least 1, got 0")
        return self

    @property
    def decided_by_use(self) -> bool:
        """Whether the data gate refuses pictures whose usefulness was not measured."""
        return self.gate_data.require_utility or self.gate_data.rule == "utility"

    @property
    def utility(self) -> MeasureUtilityConfig:
        """`measure_utility` with the detector that this run trains, where it names no other: what helps one network may
        not help another. Without pairs nothing is trained, and the detector is left out."""
        if not self.measure_utility.pairs:
            return self.measure_utility
        detector = self.measure_utility.detector or self.train_detector
        return self.measure_utility.model_copy(update={"detector": detector})
