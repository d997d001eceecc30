"""How pictures are painted: steps, guidance, and how much pose and identity weigh."""

from dataclasses import dataclass

from spooflab.errors import ConfigError


@dataclass(frozen=True)
class Sampling:
    """How a picture is painted.

    Attributes:
        steps: of denoising, 1 or more.
        guidance: classifier-free guidance (Ho & Salimans 2022); 1 is none of it, and half the work.
        strength: share of the noise that the picture starts from, 0-1; 1 forgets what was under the mask.
        control: weight of each ControlNet, 0 or more; one number is for all of them.
        identity_scale: weight of the identity adapter, 0 or more; 0 switches it off.
    """

    steps: int = 20
    guidance: float = 5.0
    strength: float = 1.0
    control: float | tuple[float, ...] = 1.0
    identity_scale: float = 1.0

    def __post_init__(self) -> None:
        weights = (*(self.control if isinstance(self.control, tuple) else (self.control,)), self.identity_scale)
        right = self.steps >= 1 and self.guidance >= 1 and 0 < self.strength <= 1 and all(w >= 0 for w in weights)
        if not right or int(self.steps * self.strength) < 1:
            raise ConfigError(
                f"sampling: {self}",
                wanted="steps x strength of 1 or more, guidance >= 1, 0 < strength <= 1, scales of 0 or more",
            )
