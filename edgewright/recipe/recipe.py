"""The recipe: one section a stage, and what holds between sections. The form the Prefect UI shows, what MLflow records.

Decides every number a run depends on. Refuses an unknown field, a wrong type, a value out of range. Endpoints and
credentials never stand here (recipes are logged); they are settings.
"""

from __future__ import annotations

from typing import Any, Literal, Self, cast

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgewright.device.offer import TIERS
from edgewright.recipe.compress import CompressConfig, QuantizeConfig
from edgewright.recipe.data import IngestConfig
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.gates import GateDataConfig, GateModelConfig, MeasureUtilityConfig
from edgewright.recipe.label import LabelConfig, TrainLabelerConfig
from edgewright.recipe.release import FlashConfig, ReleaseConfig
from edgewright.recipe.route import RouteConfig
from edgewright.recipe.section import Section
from edgewright.recipe.synth import GenerateConfig, TrainGeneratorConfig
from edgewright.recipe.tiers import FurtherTier, TierConfig, told


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
    tiers: dict[FurtherTier, TierConfig] = Field(
        {},
        description="Detectors of further tiers of devices, released beside that of `full` under one number: tier => "
        "what is otherwise for it; full alone where nothing stands here",
    )

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

    @model_validator(mode="after")
    def _make_tiers_that_can_be_made(self) -> Self:
        for tier in self.tiers:
            self.of_tier(tier)
        return self

    @model_validator(mode="after")
    def _give_features_that_there_are(self) -> Self:
        for recipe in map(self.of_tier, self.tiers_made):
            if recipe.quantize.feature and not recipe.train_detector.is_lite:
                model = recipe.train_detector.model
                raise ValueError(f"quantize.feature: efficientdet- alone gives one, got train_detector.model={model}")
        return self

    @model_serializer(mode="wrap")
    def _say_nothing_of_tiers_where_there_are_none(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A recipe without them is what it was before there were any, and so is the run that it continues."""
        values: dict[str, Any] = dump(self)
        if not self.tiers:
            values.pop("tiers", None)
        return values

    @property
    def tiers_made(self) -> tuple[str, ...]:
        """The best first; `full` always."""
        return tuple(tier for tier in TIERS if tier == TIERS[0] or tier in self.tiers)

    def of_tier(self, tier: str) -> Recipe:
        """The recipe by which a tier's detector is made; of `full` this one. Raises ValueError where it says none."""
        if tier == TIERS[0]:
            return self
        otherwise = {name: values for name, values in self.tiers[cast(FurtherTier, tier)] if values}
        sections = {
            name: told(getattr(self, name), values, where=f"tiers.{tier}.{name}") for name, values in otherwise.items()
        }
        return self.model_copy(update=sections)

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
