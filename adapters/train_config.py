"""What one training is: backbone, algorithm, optimiser and stopping rule, each with a default."""

import inspect
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from spooflab.adapters.algorithms import ALGORITHMS
from spooflab.adapters.class_loss import ClassLossConfig
from spooflab.adapters.pixel_head import PixelConfig
from spooflab.config import Config

TargetMonitor = Literal["entropy", "snd", "im", "bnm"]
"""Figures of unlabelled target images (`spooflab.adapters.target_validators`)."""
Hyper = bool | int | float | str | tuple[int, ...]


class BackboneConfig(Config):
    """Which network turns an image into features."""

    name: str = Field(
        default="resnet-tiny", description="a preset, a local folder, or a hub id `owner/model`, which needs a revision"
    )
    revision: str | None = Field(
        default=None, description="commit of a hub id, 40 hexadecimal digits; presets and folders have none"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="transformers config fields, presets only")
    tuning: Literal["full", "frozen", "lora"] = Field(
        default="full", description="what of it learns: everything, nothing (a linear probe), or low-rank updates"
    )
    frozen_stages: int = Field(
        default=0, ge=0, description="stages (or blocks), from the first, that do not learn; with tuning 'full'"
    )
    lora_rank: PositiveInt = Field(default=8, description="rank of the updates")
    lora_alpha: PositiveInt = Field(default=8, description="updates are scaled by alpha / rank")
    lora_dropout: float = Field(default=0.4, ge=0, lt=1, description="of what the updates are shown")

    @model_validator(mode="after")
    def _one_freezing(self) -> "BackboneConfig":
        if self.frozen_stages and self.tuning != "full":
            raise ValueError(f"frozen_stages {self.frozen_stages} with tuning {self.tuning!r}; choose one of them")
        return self


class AugmentConfig(Config):
    """Train-time augmentation: small, and free of resampling so that moiré and halftone stay as they were shot."""

    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a mirror image")
    shift: float = Field(
        default=0.06, ge=0, lt=0.5, description="largest shift, as a share of the side, reflected border"
    )
    gain: float = Field(default=0.1, ge=0, lt=1, description="largest relative change of each colour channel")
    views: PositiveInt | None = Field(
        default=None, description="versions of each image, taken in turn, whatever the seed; None draws each time anew"
    )


class AveragingConfig(Config):
    """Whether the weights along the training are averaged; `averaging: ema` is short for `averaging: {kind: ema}`."""

    kind: Literal["none", "ema", "swad"] = Field(
        default="none",
        description="ema: source-dev picks among exponential averages; swad: the mean over the valley of its loss",
    )
    decay: float = Field(default=0.99, ge=0, lt=1, description="ema: over about 1 / (1 − decay) steps")
    optimum_patience: PositiveInt = Field(default=3, description="swad: N_s, evaluations")
    overfit_patience: PositiveInt = Field(default=6, description="swad: N_e, evaluations")
    tolerance: float = Field(default=1.3, ge=1, description="swad: r")
    statistics_steps: PositiveInt = Field(
        default=20, description="last steps whose batches give averaged weights their batch-norm statistics"
    )


class ResampleConfig(Config):
    """Which training images come more often, renewed as training goes on; classes and domains stay balanced.

    - `loss`: by the loss of the image as it is (Loshchilov and Hutter 2016 rank by it).
    - `disagreement`: by the variance of the prediction over augmented views, summed over both classes (Gao et al. 2020,
      equation 2, there for labels to ask for).
    - `false_accepts`: attacks whose nearest neighbour among the features is a bona fide, or nearly.
    """

    by: Literal["loss", "disagreement", "false_accepts"] = "loss"
    every: PositiveInt | None = Field(default=None, description="steps between renewals; None is about an epoch")
    temperature: float = Field(default=1.0, gt=0, description="of the odds, in standard deviations of the hardness")
    floor: float = Field(default=0.3, gt=0, le=1, description="share of the odds that stays even")
    views: int = Field(default=4, ge=2, description="augmented views of `disagreement`")


class TrainConfig(Config):
    """One training. The same config, data and seed give the same weights on the same machine type."""

    algorithm: str = "erm"
    hparams: dict[str, Hyper] = Field(default_factory=dict, description="the algorithm's keyword arguments")
    backbone: BackboneConfig = BackboneConfig()
    augment: AugmentConfig = AugmentConfig()
    class_loss: ClassLossConfig = ClassLossConfig()
    pixel: PixelConfig = PixelConfig()
    resample: ResampleConfig | None = Field(default=None, description="hard images more often; None deals all evenly")
    size: int = Field(default=128, ge=16, le=2048, description="side of the network's input, pixels")
    domain_by: tuple[str, ...] = Field(
        default=("device_profile",), min_length=1, description="columns that name a domain"
    )
    balance: Literal["class_domain", "none"] = Field(
        default="class_domain",
        description="batches with classes, and within a class domains, in equal number, or rows as the data come",
    )
    steps: PositiveInt = 400
    batch_size: int = Field(
        default=32, ge=2, description="images per optimiser step, over all micro-batches and processes"
    )
    accumulate: PositiveInt = Field(default=1, description="micro-batches per optimiser step")
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_steps: int = Field(default=20, ge=0)
    schedule: Literal["cosine", "constant"] = Field(default="cosine", description="of the rate after the warm-up")
    averaging: AveragingConfig = AveragingConfig()
    clip_norm: float = Field(default=5.0, gt=0)
    precision: Literal["no", "bf16", "fp16"] = "no"
    device: Literal["auto", "cpu"] = "auto"
    eval_every: PositiveInt = 50
    eval_batch_size: PositiveInt = 64
    patience: PositiveInt | None = Field(default=None, description="evaluations without improvement before stopping")
    monitor: Literal["eer", "loss"] | TargetMonitor = Field(
        default="eer",
        description="source-dev figure that picks the weights; or, for adaptation, one of unlabelled target images",
    )
    calibrate: bool = Field(
        default=False, description="whether scores are made probabilities by one temperature, fitted on source-dev"
    )
    checkpoint_every: PositiveInt | None = Field(default=100, description="steps between checkpoints; None writes none")
    log_every: PositiveInt = 10
    tracker: Literal["none", "tensorboard"] = "none"

    @field_validator("averaging", mode="before")
    @classmethod
    def _kind_alone(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _known(self) -> "TrainConfig":
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm {self.algorithm!r} is unknown; choices: {', '.join(ALGORITHMS)}")
        known = hyperparameters(ALGORITHMS[self.algorithm])
        unknown = sorted(set(self.hparams) - set(known))
        if unknown:
            raise ValueError(f"{self.algorithm} has no hparams {unknown}; choices: {', '.join(known) or 'none'}")
        if self.class_loss.kind == "logit_adjusted" and self.balance != "none":
            raise ValueError("class_loss logit_adjusted on balanced batches is cross-entropy; wanted balance: none")
        if self.resample is not None and self.balance == "none":
            raise ValueError("resample with balance 'none'; hard images come more often within balanced cells only")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} does not divide into {self.accumulate} micro-batches")
        if self.monitor not in ("eer", "loss"):
            setting = ALGORITHMS[self.algorithm].setting
            if setting != "adaptation":
                raise ValueError(
                    f"monitor {self.monitor} looks at unlabelled target images, which {self.algorithm} ({setting}) "
                    "must not see; choose eer or loss"
                )
            if self.averaging.kind == "swad":
                raise ValueError(f"averaging swad keeps its own valley of the dev loss, and no monitor {self.monitor}")
        if self.averaging.kind == "swad" and self.patience is not None:
            raise ValueError("averaging swad ends the training by its own rule; leave patience out")
        return self


def hyperparameters(algorithm: type) -> dict[str, Any]:
    """Name → default of an algorithm's own keyword arguments."""
    parameters = inspect.signature(algorithm).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
