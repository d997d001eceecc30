"""What a study is, as strict YAML: data, protocol, algorithms with their hyper-parameters, seeds and training."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from spooflab.config import Config
from spooflab.experiments.cost_curves import Costs
from spooflab.experiments.executors.choice import AnyExecutor
from spooflab.experiments.protocols import AnyProtocol, LeaveOneAttackOut

Selection = Literal["source_dev", "leave_one_domain_out", "entropy", "snd", "im", "bnm"]
"""What chooses the weights that a training keeps."""
Setting = bool | int | float | str | None


class FoldSettings(Config):
    """What one fold of a column has of its own, as a search chooses it."""

    hparams: dict[str, Any] = Field(default_factory=dict, description="over the column's hparams")
    train: dict[str, Any] = Field(default_factory=dict, description="over the column's training settings")


class AlgorithmConfig(Config):
    """One column of the study: an algorithm with its hyper-parameters."""

    name: str = Field(description="as `spooflab list algorithms` prints it")
    label: str = Field(default="", max_length=40, description="heading in the report; empty takes the name")
    hparams: dict[str, Any] = Field(default_factory=dict, description="the algorithm's keyword arguments")
    train: dict[str, Any] = Field(default_factory=dict, description="training settings of this column alone")
    by_fold: dict[str, FoldSettings] = Field(default_factory=dict, description="settings of single folds, by name")
    selection: Selection | None = Field(default=None, description="of this column alone; None takes the study's")
    test_time: str | None = Field(
        default=None, description="method by which the trained model adapts to the images it is judged on, unlabelled"
    )
    test_time_hparams: dict[str, Any] = Field(default_factory=dict, description="that method's keyword arguments")

    @model_validator(mode="after")
    def _names_its_method(self) -> "AlgorithmConfig":
        if self.test_time_hparams and self.test_time is None:
            raise ValueError(f"test_time_hparams {self.test_time_hparams} without test_time")
        return self

    @property
    def title(self) -> str:
        """Heading of the column."""
        name = f"{self.name} + {self.test_time}" if self.test_time else self.name
        return self.label or (name if self.selection is None else f"{name}, by {self.selection}")


class StudyConfig(Config):
    """A grid of runs (algorithms × folds × seeds) over one data set, and how it is reported."""

    title: str = Field(default="", description="heading of the report; empty lets the protocol name it")
    data: Path | None = Field(default=None, description="folder of the data set; --data wins over it")
    protocol: AnyProtocol = LeaveOneAttackOut()
    disjoint: tuple[Literal["instrument_id", "device_id", "device_profile"], ...] = Field(
        default=(), description="columns of which test shares no value with train and dev: proven, besides people"
    )
    algorithms: tuple[AlgorithmConfig, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(
        default=(0,), min_length=1, description="training seeds; none of them moves the data split"
    )
    train: dict[str, Any] = Field(default_factory=dict, description="training settings of all columns")
    pretrain: dict[str, Any] | None = Field(
        default=None,
        description="training settings of one run for each fold and seed, whose backbone all algorithms start from",
    )
    cache: bool = Field(
        default=False, description="run what is frozen of a backbone once for each image; it fills OUT/features"
    )
    selection: Selection = Field(
        default="source_dev",
        description="what chooses a training's weights: its figure of dev rows; cross-validation over the training "
        "domains; or, for algorithms that adapt, a figure of unlabelled target images",
    )
    oracle: bool = Field(
        default=False, description="note test figures along each training, to tell what choosing by them would hide"
    )
    train_size: PositiveInt | None = Field(default=None, description="training rows per fold, balanced; None takes all")
    metric: Literal["acer", "hter"] = Field(default="acer", description="the figure that algorithms are compared by")
    costs: Costs = Field(default=Costs(), description="what errors cost in use; reported, never trained by")
    bootstrap: int = Field(default=2000, ge=100, description="resamples of subjects; below 2000 is for trying only")
    workers: int = Field(default=2, ge=0, le=256, description="processes; 0 runs in this one")
    executor: AnyExecutor | None = Field(
        default=None, description="where cells run; None takes `workers` processes here"
    )
    tracker: Literal["none", "tensorboard", "wandb", "mlflow"] = Field(
        default="none",
        description="of accelerate's trackers, told of every training as LABEL/FOLD/seed-N; no run changes",
    )
    run_minutes: float | None = Field(default=None, gt=0, description="time limit of a cell; None sets none")

    @field_validator("selection", mode="before")
    @classmethod
    def _no_oracle(cls, value: Any) -> Any:
        if value == "oracle":
            raise ValueError("the test rows choose nothing here; `oracle: true` tells what they would have chosen")
        return value

    @model_validator(mode="after")
    def _names_differ(self) -> "StudyConfig":
        titles = [algorithm.title for algorithm in self.algorithms]
        if len(set(titles)) != len(titles):
            raise ValueError(f"algorithms {titles}: two share a heading; give one of them a label")
        if self.train_size is not None and self.protocol.name == "synthetic_to_real":
            raise ValueError("train_size would cut across the ratios of synthetic_to_real; wanted protocol.size")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} repeat")
        return self
