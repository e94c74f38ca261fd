"""The recipe's sections, one a stage: every field with its type, range, default and meaning.

Decides what a stage may be told, and which fields name files whose bytes a result depends on. Refuses what makes no
sense, field by field and for the fields of one section together. What holds between sections stands in `recipe.py`.

>>> QuantizeConfig(score_threshold=0.5).iou_threshold
0.6
"""

from __future__ import annotations

import re
from string import Formatter
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_DOWNLOAD = re.compile(r"[\w.-]+(/[\w.-]+)?@[0-9a-f]{40}")


class Section(BaseModel):
    """One stage's part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions of optional extras that these values call in: a result depends on their versions then."""
        return ()


class IngestConfig(Section):
    layout: Literal["auto", "yolo", "coco", "voc", "unlabeled"] = Field(
        "auto", description="How the labels are laid out"
    )
    classes: tuple[str, ...] = Field((), description="Class list; empty: taken from the labels")
    missing_label: Literal["unlabeled", "background"] = Field("unlabeled", description="An image without a label file")
    group_by: Literal["image", "folder", "pattern"] = Field("image", description="What is never split up")
    group_pattern: str = Field(
        "", description="Regular expression on the relative path; its first group names the group"
    )
    frame_step: int = Field(10, ge=1, description="Video: every n-th frame")
    frame_group_s: float = Field(2.0, gt=0, description="Video: frames within this many seconds are one group")
    train_share: float = Field(0.6, gt=0, lt=1, description="Share of groups in train")
    val_share: float = Field(0.15, gt=0, lt=1, description="Share of groups in val; the rest is test")
    max_pixels: int = Field(
        40_000_000, ge=1024, le=40_000_000, description="Larger pictures are quarantined from their header"
    )
    min_images: int = Field(10, ge=1, description="Fewer usable images end the run")
    scores: str = Field(
        "",
        description="CSV with the head `id,hard`: path of an image within the source, and how hard it is, in [0, 1]; "
        "see generate.hard_share",
    )
    photographs: int = Field(260, ge=12, description="How many the simulated camera takes; used only without a source")

    @model_validator(mode="after")
    def _leave_a_test_split(self) -> Self:
        if self.train_share + self.val_share >= 1:
            raise ValueError("train_share and val_share leave nothing for test")
        return self


class TrainGeneratorConfig(Section):
    method: Literal["gan", "diffusion", "compositor", "copier", "diffusers"] = Field(
        "gan",
        description="gan, diffusion: learnt from the train images; compositor: real crops only; "
        "diffusers: a pipeline of your own; copier: the control that a gate must refuse",
    )
    level: Literal["object", "scene"] = Field(
        "object", description="object: crops for the compositor; scene: whole pictures painted from a layout"
    )
    side_px: Literal[32, 48, 64, 96, 128, 192, 256] = Field(
        32, description="Side of the object crops, or of the tiles that scenes are learnt from"
    )
    scene_px: int = Field(192, ge=64, le=1024, description="Longer side of the pictures that scenes are learnt from")
    steps: int = Field(600, ge=1, description="Optimizer steps")
    batch: int = Field(32, ge=4)
    width: int = Field(
        32, ge=8, multiple_of=8, description="Channels on the finest grid; up to 4 times on coarser ones"
    )
    latent: int = Field(64, ge=8, description="GAN: numbers that a crop is drawn from")
    learning_rate: float | None = Field(
        None, gt=0, description="None: 2e-4 for the GAN (its discriminator's is 4 times that), 3e-3 for diffusion"
    )
    r1_gamma: float = Field(0.02, ge=0, description="GAN: weight of R1 and R2")
    penalty_every: int = Field(4, ge=1, description="GAN: lazy R1/R2, every n-th step, weight scaled by n")
    augment: bool = Field(
        True, description="Augment what the networks see; what they make stays as the real images are"
    )
    ema_decay: float | None = Field(
        None, ge=0, lt=1, description="Of the averaged weights, which generate. None: 0.98 for the GAN, else 0.995"
    )
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = Field(
        "fp32", description="Of the networks' inside; tf32 and fp16 need an accelerator. Losses and weights are float32"
    )
    gradient_checkpointing: bool = Field(
        False, description="Less memory (diffusion: half, GAN: an eighth), a third more work"
    )
    pipeline: str = Field("", description="diffusers: folder of an inpainting pipeline in safetensors")
    pipeline_steps: int = Field(25, ge=1, description="diffusers: steps of the pipeline's own scheduler")
    pipeline_download: bool = Field(
        False, description="diffusers: `pipeline` is `name@commit` of one to download; the commit's 40 hex digits"
    )
    prompt: str = Field("a photo of a {name}", description="diffusers: {name} is the class's name")
    checkpoint_every: int = Field(100, ge=1)

    @property
    def libraries(self) -> tuple[str, ...]:
        return ("diffusers", "transformers") if self.method == "diffusers" else ()

    @model_validator(mode="after")
    def _fit_the_method(self) -> Self:
        if self.level == "scene" and self.method not in ("gan", "diffusion"):
            raise ValueError("level scene needs method gan or diffusion")
        if (self.method == "diffusers") != bool(self.pipeline):
            raise ValueError("method diffusers and a folder in pipeline belong together")
        if self.pipeline_download and not _DOWNLOAD.fullmatch(self.pipeline):
            raise ValueError("pipeline_download needs pipeline=name@commit, with the commit's 40 hex digits")
        return self

    @field_validator("prompt")
    @classmethod
    def _name_alone_stands_in_braces(cls, prompt: str) -> str:
        try:
            fields = {field for _, field, _, _ in Formatter().parse(prompt)}
            prompt.format(name="")
        except (KeyError, IndexError, AttributeError, ValueError) as error:
            raise ValueError("only {name} may stand in braces; write {{ and }} for braces") from error
        if not fields <= {None, "name"}:
            raise ValueError("only {name} may stand in braces; write {{ and }} for braces")
        return prompt


class GenerateConfig(Section):
    images: int = Field(240, ge=0, description="How many synthetic images")
    image_px: int = Field(192, ge=64, le=1024, description="Longer side of a synthetic image")
    generated_share: float = Field(
        0.25, ge=0, le=1, description="Object level: share of crops from the network or pipeline; others are real"
    )
    max_overlap: float = Field(
        0.3, ge=0, le=1, description="Object level: overlap, of the smaller box, above which another place is tried"
    )
    min_visible: float = Field(0.3, ge=0, le=1, description="Objects less visible than this are ignore regions")
    keep_share: float = Field(
        0.5, ge=0, le=1, description="Object level: share of the background's own objects that stay, unpainted"
    )
    class_balance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="0: classes as often as in the real set; 1: all equally often; between: like frequency^(1 - value)",
    )
    hard_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of scenes whose layout and background are drawn in proportion to the score `hard` of the "
        "train pictures (ingest.scores); one without a score is not drawn for them",
    )
    solver: Literal["euler", "heun"] = Field("heun", description="How a diffusion generator integrates its flow")
    sampler_steps: int = Field(4, ge=2, le=8, description="Steps of that solver")
    shard_images: int = Field(64, ge=1, description="Images a shard; an interruption loses at most the one in work")


class TrainLabelerConfig(Section):
    image_px: int = Field(128, ge=32, le=512, multiple_of=16)
    steps: int = Field(300, ge=1)
    batch: int = Field(16, ge=2)
    width: int = Field(16, ge=8, multiple_of=8)
    learning_rate: float = Field(4e-3, gt=0)
    mask_from_box: Literal["ellipse", "box", "grabcut", "sam"] = Field(
        "ellipse", description="Where labels have no masks"
    )
    sam_weights: str = Field("", description="Weights file of a Segment Anything model, for mask_from_box: sam")
    folds: int = Field(
        2,
        ge=1,
        le=20,
        description="Trainings that each leave a part of train out, to be judged on it; 1: judged on val",
    )
    min_images: int = Field(8, ge=2, description="Fewer labeled photographs in train end the run")
    suspect_score: float = Field(
        0.8, ge=0, le=1, description="A labeler this sure that disagrees with a person's label makes the label suspect"
    )
    teacher: str = Field(
        "",
        description="Weights file (.pt) of a YOLO-World, YOLOE or YOLO detector that labels photographs which "
        "nobody labeled, for the classes where it proves itself on people's labels",
    )
    checkpoint_every: int = Field(100, ge=1)

    @model_validator(mode="after")
    def _weights_for_sam(self) -> Self:
        if self.mask_from_box == "sam" and not self.sam_weights:
            raise ValueError("mask_from_box sam needs a weights file in sam_weights")
        return self


class LabelConfig(Section):
    use_unlabeled: bool = Field(
        True, description="Label the train photographs that nobody labeled, and train on those with a sure object"
    )
    reviewed: str = Field(
        "", description="`dataset:DIGEST` of an imported review of synthetic pictures: on those a person's labels stand"
    )
    keep_iou: float = Field(0.5, ge=0, le=1, description="Agreement at and above: the label is kept")
    drop_iou: float = Field(0.3, ge=0, le=1, description="Agreement below: the label is dropped")
    correct_score: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Between the two: a labeler at least this sure corrects the box, else it is reviewed",
    )
    min_score: float = Field(
        0.7,
        ge=0,
        le=1,
        description="How sure the labeler must be of what contradicts a label: an object that none knows, or another "
        "class. Where it agrees it need not be; the kept label says how sure it was",
    )
    max_bad_share: float = Field(0.5, ge=0, le=1, description="A larger share of dropped, missed, phantom: left out")
    min_object_px: float = Field(4.0, ge=0, description="Shorter sides, in px the labeler sees, are not judged")
    pseudo_precision: float = Field(
        0.9, gt=0, le=1, description="Held-out precision that a class's labels on unlabeled photographs must have"
    )
    pseudo_min_found: int = Field(
        10, ge=1, description="Held-out objects below which nothing is known of a precision: the class gets no label"
    )
    teacher_min_recall: float = Field(
        0.5, ge=0, le=1, description="Share of people's objects a teacher must find at that precision, class by class"
    )
    pseudo_ignore_score: float = Field(
        0.3, ge=0, le=1, description="Less certain objects down to this score become ignore regions"
    )

    @model_validator(mode="after")
    def _drop_below_what_is_kept(self) -> Self:
        if self.drop_iou > self.keep_iou:
            raise ValueError(f"drop_iou must be at most keep_iou, got {self.drop_iou:g} and {self.keep_iou:g}")
        return self


MIN_RANDOM_NETWORKS = 3


class GateDataConfig(Section):
    rule: Literal["default", "utility", "fid_recall"] = Field(
        "default",
        description="The rule set that decides; utility: measured usefulness in place of likeness; "
        "fid_recall: FID < 30 and recall > 0.85, always printed",
    )
    features: Literal["random", "ssl", "inception", "dinov2"] = Field(
        "random", description="The declared feature space; ssl is trained on the real train images"
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
    max_fd_ratio: float = Field(2.5, gt=0, description="Frechet distance in units of real against real")
    max_kid_excess: float = Field(
        0.6, ge=0, description="KID above real against real; the kernel of a tile with itself is ~8"
    )
    min_coverage_ratio: float = Field(0.85, ge=0)
    min_picture_coverage_ratio: float = Field(0.85, ge=0, description="Coverage by whole pictures: dropped modes")
    min_precision_ratio: float = Field(0.85, ge=0)
    min_density_ratio: float = Field(0.7, ge=0)
    max_spectrum_excess_db: float = Field(
        3.0, ge=0, description="Detail more or less than real, beyond real against real"
    )
    copy_radius: float = Field(
        0.1, gt=0, lt=1, description="A picture this much nearer to a train image than real ones are is a copy"
    )
    min_copy_distance_ratio: float = Field(
        0.68, ge=0, description="Median distance of made objects to train ones, in units of real ones'"
    )
    max_copy_share: float = Field(0.12, ge=0, le=1, description="Share of pictures that are copies")
    max_object_copy_share: float = Field(
        0.65, ge=0, le=1, description="Share of objects nearer to train than 95 % of real"
    )
    max_layout_ratio: float = Field(
        1.5, gt=0, description="Distance of counts, classes, sizes, places in units of real against real's 95 %"
    )
    min_label_agreement: float = Field(0.4, ge=0, le=1, description="Median IoU of labels and labeler, by picture")
    max_label_error_share: float = Field(0.4, ge=0, le=1, description="Missed and phantom objects among all known")
    max_left_out_share: float = Field(0.4, ge=0, le=1, description="Share of pictures the labeler left out")
    min_utility_gain: float = Field(
        -0.005, ge=-1, le=1, description="Lower bound of the gain in mAP50-95; above 0 useful, between neutral"
    )
    require_utility: bool = Field(False, description="Without measured usefulness: not evaluable")
    interval_slack: float = Field(0.5, ge=0, le=2, description="How far past a threshold the interval may reach")
    on_refuse: Literal["real_only", "fail", "ask"] = Field(
        "real_only",
        description="Where pictures are not admitted: photographs alone, end the run, wait for `edgewright decide`",
    )
    ask_timeout_s: int = Field(3600, ge=1, description="No answer within this time ends the run")

    @property
    def libraries(self) -> tuple[str, ...]:
        return ("torch-fidelity",) if self.features == "inception" else ()

    @model_validator(mode="after")
    def _enough_random_networks(self) -> Self:
        """One random space says little: its median over seeds is what the gate judges by."""
        if self.features == "random" and self.feature_seeds < MIN_RANDOM_NETWORKS:
            raise ValueError(f"features random needs feature_seeds >= {MIN_RANDOM_NETWORKS}, got {self.feature_seeds}")
        return self


class TrainDetectorConfig(Section):
    model: str = Field("edgewright-slim", description="A graph of our table, or any ultralytics model by name or path")
    width: float = Field(0.1875, gt=0, le=2, description="Width multiple of the slim graph")
    image_px: int = Field(192, ge=64, le=1280, multiple_of=32)
    epochs: int = Field(30, ge=1)
    batch: int = Field(16, ge=2)
    optimizer: Literal["AdamW", "SGD", "MuSGD"] = "AdamW"
    learning_rate: float = Field(2e-3, gt=0)
    mosaic: float = Field(1.0, ge=0, le=1, description="Share of training pictures put together from four")
    close_mosaic_share: float = Field(0.2, ge=0, le=1, description="Share of the epochs, the last ones, without it")
    flip_vertical: float = Field(0.0, ge=0, le=1, description="0.5 where the scene has no up and down")
    augmentation: Literal["usual", "strong"] = Field(
        "usual", description="usual: the library's; strong: about twice it"
    )
    patience: int = Field(100, ge=1, description="Epochs without a better val mAP before training ends")
    steps: int | None = Field(None, ge=1, description="Optimizer steps in all; none: what the epochs' batches give")
    real_share: float | None = Field(
        None, gt=0, le=1, description="Share of photographs among the pictures shown; none: as many as there are"
    )
    synthetic_until: float = Field(
        1.0, ge=0, le=1, description="Share of the epochs after which photographs alone are shown"
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16: autocast, about 1.7 times as fast on AVX-512 CPUs"
    )
    keep: Literal["best", "last"] = Field("best", description="best: the epoch best on val; last: the last, val unseen")


MIN_PAIRS = 3
"""Of detectors: fewer are no evidence of usefulness."""


class MeasureUtilityConfig(Section):
    pairs: int = Field(
        0,
        ge=0,
        le=20,
        description=f"Trainings with and without synthetic pictures; at least {MIN_PAIRS} to count, 0: not measured",
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


class QuantizeConfig(Section):
    calibration_images: int = Field(64, ge=4)
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    per_channel: bool = True
    score_threshold: float = Field(0.25, ge=0, le=1, description="What the device reports")
    iou_threshold: float = Field(0.6, ge=0, le=1)


class GateModelConfig(Section):
    max_bytes: int = Field(2_000_000, ge=1, description="Of the single ONNX file that the device loads")
    max_map_drop: float = Field(0.02, ge=0, le=1, description="Float mAP50-95 minus INT8 mAP50-95")
    min_parity: float = Field(0.9, ge=0, le=1, description="Share of float detections that INT8 finds at IoU >= 0.5")
    max_p99_ms: float = Field(250.0, gt=0, description="On the device runtime")
    min_map50: float = Field(0.05, ge=0, le=1, description="A detector that finds nothing is not released")
    latency_runs: int = Field(100, ge=10)


class ReleaseConfig(Section):
    channel: str = Field("stable", pattern=r"^[a-z0-9-]{1,32}$")
    golden_images: int = Field(
        4,
        ge=1,
        le=32,
        description="Pictures a device checks itself with: admitted synthetic ones, else the simulated camera's; "
        "photographs only where approved",
    )
    approve_real_golden: bool = Field(False, description="Allow photographs as golden images: they go to every device")


class FlashConfig(Section):
    device_group: str = Field("demo", pattern=r"^[a-z0-9-]{1,32}$")
    feed_frames: int = Field(24, ge=1, description="Frames of the feed that the device detects on")
    timeout_s: int = Field(120, ge=5)


EXTERNAL_PATHS: dict[type[Section], tuple[str, ...]] = {
    IngestConfig: ("scores",),
    TrainGeneratorConfig: ("pipeline",),
    TrainLabelerConfig: ("sam_weights", "teacher"),
    GateDataConfig: ("features_weights",),
    TrainDetectorConfig: ("model",),
}
"""Fields that may name a file or a folder: a result depends on what lies there, not on what it is called."""
