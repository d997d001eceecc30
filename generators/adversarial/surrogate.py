"""The shipped detector: a small network trained on this library's own prints, screens and swaps.

It stands in for a detector that an attacker cannot see (a surrogate: Papernot et al. 2017, "Practical black-box attacks
against machine learning"). `examples/train_surrogate` holds the recipe and its log.
"""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from spooflab.errors import ConfigError
from spooflab.generators.adversarial.detector import Detector

SIZE = 112
PATH = Path(__file__).with_name("surrogate.safetensors")
_WIDTHS = ((3, 16, 2), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))


class Surrogate(nn.Module):
    """Five 3 x 3 convolutions, the average and the strongest response of each channel, one logit: 75 000 weights."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in _WIDTHS:
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(2 * _WIDTHS[-1][1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the bona fide logit (B,) of pictures (B, 3, 112, 112), scaled to about −1…1."""
        seen = self.features(images)
        logit: Tensor = self.head(torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1))[:, 0]
        return logit


def load_surrogate(path: Path | None = None) -> Detector:
    """Return the shipped detector, or one of the same network from another file of its recipe.

    Raises:
        ConfigError: no such file, no safetensors file, or other weights than the network's.
    """
    return _load(PATH if path is None else Path(path))


@lru_cache(maxsize=4)
def _load(path: Path) -> Detector:
    wanted = "the surrogate's own safetensors file"
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{path}: {error}", wanted=wanted) from error
    with torch.inference_mode(False):
        model = Surrogate()
        shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        seen = {name: tuple(value.shape) for name, value in stored.items()}
        if seen != shapes or not all(bool(torch.isfinite(v).all()) for v in stored.values() if v.is_floating_point()):
            odd = sorted(k for k in {*seen, *shapes} if seen.get(k) != shapes.get(k))
            raise ConfigError(f"{path}: other weights ({', '.join(odd[:4]) or 'not finite'})", wanted=wanted)
        model.load_state_dict({name: value.clone() for name, value in stored.items()}, strict=True)
        model.eval().requires_grad_(False)
    digest = sha256(path.read_bytes()).hexdigest()
    return Detector(model, "surrogate", (SIZE, SIZE), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), weights_sha256=digest)
