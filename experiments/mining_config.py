"""What a mining experiment is, as strict YAML: a lab, a detector, rounds with a budget, and how they are judged."""

from pydantic import Field, PositiveInt, model_validator

from spooflab.adapters import ALGORITHMS, TrainConfig
from spooflab.config import Config
from spooflab.generators.config import GenerationConfig


class RoundConfig(Config):
    """One round's budget, counted in renders, and its search. Every arm that renders spends the same."""

    attacks: PositiveInt = Field(default=120, description="renders of attacks, search and draws together")
    bonafide: int = Field(default=40, ge=0, description="renders of bona fide faces")
    counterparts: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the bona fide renders that are photographed as the found attacks are, not searched for",
    )
    startup: PositiveInt = Field(default=30, description="attacks drawn before the search takes over")
    trials: PositiveInt = Field(default=80, description="attacks of the search, startup among them; the rest is drawn")
    diversity: float = Field(default=2.0, ge=0, description="log-odds that a sample loses which lies on a found one")
    best_share: float = Field(default=0.2, gt=0, le=1, description="of the search, where fewer samples fool")
    floor: float = Field(default=0.2, gt=0, le=1, description="share of the draws that stay the prior's")
    width: float = Field(default=0.1, ge=0, description="move of a found coordinate, as a share of its range")
    freed: float = Field(default=0.1, ge=0, le=1, description="share of a found point's coordinates drawn anew")

    @model_validator(mode="after")
    def _fits(self) -> "RoundConfig":
        if not self.startup <= self.trials <= self.attacks:
            raise ValueError(
                f"startup {self.startup}, trials {self.trials}, attacks {self.attacks}: each at most the next"
            )
        return self


class MiningConfig(Config):
    """Generator in the loop, beside a control that draws as many samples at random, and beside no new data.

    `generation` names faces, attacks, devices, sizes and quality limits. Its `n`, `bonafide_share`, `shard_size` play
    no part; `units_per_device` units of each profile are trained on, and as many others are tested on.
    """

    title: str = Field(default="", description="heading of the report")
    generation: GenerationConfig
    training: TrainConfig = TrainConfig()
    seeds: tuple[int, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    members: PositiveInt = Field(
        default=1,
        description="trainings of each set; the detector is their mean log-odds, so that less is one run's luck",
    )
    rounds: PositiveInt = 3
    round: RoundConfig = RoundConfig()
    shares: tuple[float, float, float] = Field(
        default=(0.5, 0.2, 0.3), description="of the subjects: trained on, source-dev, tested on"
    )
    base: PositiveInt = Field(
        default=300,
        description="renders of the first training set, the same for all seeds and arms; half are bona fide",
    )
    dev: PositiveInt = Field(default=240, description="renders that fix the threshold, half of them bona fide")
    pool: PositiveInt = Field(default=1200, description="renders to be tested on, half of them bona fide")
    found_test: int = Field(default=40, ge=0, description="renders of the found region with test subjects, each round")
    hard_share: float = Field(default=0.1, gt=0, lt=1, description="of the pool that reference detectors find hardest")
    references: PositiveInt = Field(default=3, description="detectors, each of a training set of its own, that say so")
    bpcer: float = Field(default=0.05, gt=0, lt=1, description="share of source-dev's bona fides that is rejected")

    @model_validator(mode="after")
    def _sane(self) -> "MiningConfig":
        if min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"shares {list(self.shares)}: wanted three above 0 that sum to 1")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} repeat")
        if not self.generation.attacks:
            raise ValueError("generation.attacks is empty: nothing to mine")
        if self.training.domain_by != ("device_profile",):
            raise ValueError("training.domain_by: mining knows the device's profile alone")
        if ALGORITHMS[self.training.algorithm].setting != "generalisation":
            raise ValueError(f"training.algorithm {self.training.algorithm}: wanted one that needs no target")
        return self

    @property
    def renders(self) -> int:
        """Samples rendered in all."""
        per_arm = self.rounds * (self.round.attacks + self.round.bonafide)
        tested = self.rounds * self.found_test
        shared = self.dev + self.pool + self.base * (1 + self.references)
        return shared + len(self.seeds) * (2 * per_arm + tested)

    @property
    def trainings(self) -> int:
        """Detectors trained in all."""
        return self.members * (self.references + len(self.seeds) * (1 + 2 * self.rounds))
