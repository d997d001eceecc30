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


class TrainConfig(Config):
    """One training. The same config, data and seed give the same weights on the same machine type."""

    algorithm: str = "erm"
    hparams: dict[str, Hyper] = Field(default_factory=dict, description="the algorithm's keyword arguments")
    backbone: BackboneConfig = BackboneConfig()
    augment: AugmentConfig = AugmentConfig()
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
