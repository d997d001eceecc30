"""What a comparison of simulated with real captures may be told."""

from pathlib import Path

from pydantic import Field, model_validator

from spooflab.config import Config


class RealismSettings(Config):
    """Everything that decides the figures of one comparison.

    Attributes:
        seed: of sampling, folds, halvings, resampling and permutations.
        most: most pictures of one species from each store; they are spread over its subjects.
        fewest: matched pictures of a species on each side below which it is left out.
        fewest_subjects: the same for subjects.
        alias: species of REAL that stand for one of SYNTHETIC (`print_photo` to `print_a4`).
        folds, repeats: of the cross-validation by subject groups.
        halvings: how often REAL is split into two halves for the null.
        replicates: bootstrap resamples of subjects.
        permutations: of the test of each parameter.
        auc_permutations: of the test of each AUC.
        detectors: `.onnx` files or folders of `spooflab train`.
        detector_px: side of an ONNX detector's input where the model leaves it open.
        show_real: whether the page may hold pictures of REAL.
    """

    seed: int = Field(default=0, ge=0, lt=2**63)
    most: int = Field(default=160, ge=8, le=5000)
    fewest: int = Field(default=16, ge=8)
    fewest_subjects: int = Field(default=6, ge=4)
    alias: dict[str, str] = Field(default_factory=dict)
    folds: int = Field(default=5, ge=2, le=20)
    repeats: int = Field(default=3, ge=1, le=50)
    halvings: int = Field(default=200, ge=20, le=10_000)
    replicates: int = Field(default=1000, ge=100, le=100_000)
    permutations: int = Field(default=20_000, ge=200, le=1_000_000)
    auc_permutations: int = Field(default=2000, ge=100, le=100_000)
    detectors: tuple[Path, ...] = ()
    detector_px: int = Field(default=0, ge=0, le=4096)
    show_real: bool = False

    @model_validator(mode="after")
    def _check(self) -> "RealismSettings":
        if len(set(self.detectors)) != len(self.detectors):
            raise ValueError("a detector is named twice")
        return self
