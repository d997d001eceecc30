"""What a hyper-parameter search is: a study, and how its settings are chosen before it is run."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from spooflab.config import Config
from spooflab.experiments.study_config import StudyConfig

Range = tuple[float, float, Literal["log", "linear"]]

COMMON: dict[str, Range] = {
    "lr": (10**-4.5, 10**-2.5, "log"),
    "weight_decay": (1e-6, 1e-2, "log"),
    "batch_size": (8, 45, "log"),
}
"""Training settings that every algorithm is searched over, as DomainBed's registry draws them (Gulrajani and Lopez-Paz
2021): the rate of its small networks, weight decay and batch size of its larger ones (the small ones' decay is 0)."""


class SearchSettings(Config):
    """How many settings are tried, how they are drawn, and what chooses among them."""

    trials: PositiveInt = Field(default=20, description="settings tried per algorithm and fold, the default among them")
    sampler: Literal["random", "tpe"] = Field(
        default="random", description="random draws, as DomainBed's; or draws that learn from earlier trials"
    )
    round: PositiveInt = Field(default=4, description="trials of an algorithm and fold that run before `tpe` learns")
    startup: PositiveInt = Field(default=8, description="trials that `tpe` draws at random first")
    selection: Literal["dev", "leave_one_domain_out"] = Field(
        default="dev",
        description="equal error rate on source-dev; or mean error on each training domain by detectors without it",
    )
    seed: int = Field(default=1000, ge=0, description="of the draws and of the trials' trainings")
    common: dict[str, Range] = Field(default=COMMON, description="training settings searched for every algorithm")
    ranges: dict[str, dict[str, Range]] = Field(
        default_factory=dict, description="by algorithm: ranges of hparams, over those that it names itself"
    )

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> "SearchSettings":
        for owner, ranges in {"common": self.common, **self.ranges}.items():
            for name, (low, high, scale) in ranges.items():
                if low >= high or (scale == "log" and low <= 0):
                    raise ValueError(f"{owner}.{name}: {low} to {high} {scale}; wanted low < high, above 0 where log")
        return self


class SearchConfig(StudyConfig):
    """A study whose settings are searched first; what the file fixes for one column is not searched for it."""

    search: SearchSettings = SearchSettings()

    @model_validator(mode="after")
    def _other_seeds(self) -> "SearchConfig":
        if self.search.seed in self.seeds:
            raise ValueError(
                f"search.seed {self.search.seed} is among seeds {list(self.seeds)}: its luck chose settings"
            )
        taken = [a.title for a in self.algorithms if a.by_fold]
        if taken:
            raise ValueError(f"algorithms {taken} have settings by fold already, which a search would choose")
        unknown = sorted(set(self.search.ranges) - {a.name for a in self.algorithms})
        if unknown:
            raise ValueError(f"search.ranges of {unknown}, which the study does not have")
        return self
