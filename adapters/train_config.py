"""What one training is: backbone, algorithm, optimiser and stopping rule, each with a default."""

import inspect
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from spooflab.adapters.algorithms import ALGORITHMS
from spooflab.config import Config

Hyper = bool | int | float | str | tuple[int, ...]


class BackboneConfig(Config):
    """Which network turns an image into features."""

    name: str = Field(default="resnet-tiny", description="a preset, a local folder, or a hub id `owner/model`")
    revision: str | None = Field(
        default=None, description="commit, tag or branch of a hub id; pin a commit for a study"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="transformers config fields, presets only")
    tuning: Literal["full", "frozen", "lora"] = Field(
        default="full", description="what of it learns: everything, nothing (a linear probe), or low-rank updates"
    )
    lora_rank: PositiveInt = Field(default=8, description="rank of the updates")
    lora_alpha: PositiveInt = Field(default=8, description="updates are scaled by alpha / rank")
    lora_dropout: float = Field(default=0.4, ge=0, lt=1, description="of what the updates are shown")


class AugmentConfig(Config):
    """Train-time augmentation: small, and free of resampling so that moiré and halftone stay as they were shot."""

    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a mirror image")
    shift: float = Field(
        default=0.06, ge=0, lt=0.5, description="largest shift, as a share of the side, reflected border"
    )
    gain: float = Field(default=0.1, ge=0, lt=1, description="largest relative change of each colour channel")


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
    resample: ResampleConfig | None = Field(default=None, description="hard images more often; None deals all evenly")
    size: int = Field(default=128, ge=16, le=2048, description="side of the network's input, pixels")
    domain_by: tuple[str, ...] = Field(
        default=("device_profile",), min_length=1, description="columns that name a domain"
    )
    steps: PositiveInt = 400
    batch_size: int = Field(
        default=32, ge=2, description="images per optimiser step, over all micro-batches and processes"
    )
    accumulate: PositiveInt = Field(default=1, description="micro-batches per optimiser step")
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_steps: int = Field(default=20, ge=0)
    clip_norm: float = Field(default=5.0, gt=0)
    precision: Literal["no", "bf16", "fp16"] = "no"
    device: Literal["auto", "cpu"] = "auto"
    eval_every: PositiveInt = 50
    eval_batch_size: PositiveInt = 64
    patience: PositiveInt | None = Field(default=None, description="evaluations without improvement before stopping")
    monitor: Literal["eer", "loss"] = Field(default="eer", description="source-dev figure that picks the weights")
    checkpoint_every: PositiveInt | None = Field(default=100, description="steps between checkpoints; None writes none")
    log_every: PositiveInt = 10
    tracker: Literal["none", "tensorboard"] = "none"

    @model_validator(mode="after")
    def _known(self) -> "TrainConfig":
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm {self.algorithm!r} is unknown; choices: {', '.join(ALGORITHMS)}")
        known = hyperparameters(ALGORITHMS[self.algorithm])
        unknown = sorted(set(self.hparams) - set(known))
        if unknown:
            raise ValueError(f"{self.algorithm} has no hparams {unknown}; choices: {', '.join(known) or 'none'}")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} does not divide into {self.accumulate} micro-batches")
        return self


def hyperparameters(algorithm: type) -> dict[str, Any]:
    """Name → default of an algorithm's own keyword arguments."""
    parameters = inspect.signature(algorithm).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
