"""Auto-exposure from photographs, against cameras that meter as the fit believes they do."""

import pytest
import torch
from torch import Tensor

from spooflab.augment import load_profile
from spooflab.augment.exposure import meter
from spooflab.augment.fit.exposure import fit_exposure

TARGET, ERROR_EV = 0.2, 0.15


def photographs(count: int, *, highlight: float = 1.1) -> list[Tensor]:
    """Linear photographs of coloured squares, exposed and clipped as a camera would."""
    taken = []
    for number in range(count):
        gen = torch.Generator().manual_seed(number)
        colour = 1 + 0.3 * torch.rand(3, 12, 12, generator=gen)
        # Half of the scenes hold lamps and windows that keep the exposure down.
        shining = (torch.rand(12, 12, generator=gen) < 0.12) & (number % 2 == 1)
        bright = torch.where(shining, 4 + 8 * torch.rand(1, generator=gen), 0.2 + torch.rand(12, 12, generator=gen))
        light = colour * bright
        light = light.repeat_interleave(8, 1).repeat_interleave(8, 2)
        error = ERROR_EV * torch.randn(1, generator=gen)
        one = torch.ones(1)
        gain = meter(light[None], metering=one, target=one * TARGET, highlight=one * highlight, error_ev=error)
        taken.append((light * gain[:, None, None]).clamp(0, 1))
    return taken


@pytest.mark.parametrize("highlight", [0.9, 1.1, 1.25])
def test_target_and_highlight_come_back_although_highlights_clip(highlight: float) -> None:
    found = fit_exposure(photographs(40, highlight=highlight), load_profile("front_phone").exposure)
    assert found is not None
    assert found.target == pytest.approx(TARGET, rel=0.05)
    assert found.highlight == pytest.approx(highlight, rel=0.25)
    assert found.scatter_ev == pytest.approx(ERROR_EV, rel=0.4)


def test_few_photographs_tell_nothing() -> None:
    assert fit_exposure(photographs(2), load_profile("front_phone").exposure) is None
