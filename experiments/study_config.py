"""What a study is, as strict YAML: data, protocol, algorithms with their hyper-parameters, seeds and training."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from spooflab.config import Config
from spooflab.experiments.executors.choice import AnyExecutor
from spooflab.experiments.protocols import AnyProtocol, LeaveOneAttackOut

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
        return self.label or (f"{self.name} + {self.test_time}" if self.test_time else self.name)


class StudyConfig(Config):
    """A grid of runs (algorithms × folds × seeds) over one data set, and how it is reported."""

    title: str = Field(default="", description="heading of the report; empty lets the protocol name it")
    data: Path | None = Field(default=None, description="folder of the data set; --data wins over it")
    protocol: AnyProtocol = LeaveOneAttackOut()
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
    train_size: PositiveInt | None = Field(default=None, description="training rows per fold, balanced; None takes all")
    metric: Literal["acer", "hter"] = Field(default="acer", description="the figure that algorithms are compared by")
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

    @model_validator(mode="after")
    def _names_differ(self) -> "StudyConfig":
        titles = [algorithm.title for algorithm in self.algorithms]
        if len(set(titles)) != len(titles):
            raise ValueError(f"algorithms {titles}: two share a heading; give one of them a label")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} repeat")
        return self
