"""Fast bilinear enlargement against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from spooflab.generators.enlarge import enlarge


@pytest.mark.parametrize("step", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (1, 4, 20, 9)])
def test_equals_interpolate(step: int, shape: tuple[int, ...]) -> None:
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    wanted = F.interpolate(image.double(), scale_factor=step, mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarge(image, step).double(), wanted, atol=1e-6, rtol=0)


def test_step_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="step"):
        enlarge(torch.zeros(1, 1, 2, 2), 0)
