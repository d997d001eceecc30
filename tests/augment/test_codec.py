"""JPEG is libjpeg's, row by row."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from spooflab.augment.codec import jpeg


def _picture(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (72, 56), mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8)


@pytest.mark.parametrize("quality", [10, 50, 95])
@pytest.mark.parametrize(("code", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_it_is_pillows_own(quality: int, code: int, name: str) -> None:
    pictures = _picture(2)
    ours = jpeg(pictures, quality=torch.tensor([quality] * 2), subsampling=torch.tensor([code] * 2))
    for row in range(2):
        file = io.BytesIO()
        Image.fromarray(pictures[row].permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality, subsampling=name)
        wanted = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
        assert np.array_equal(ours[row].permute(1, 2, 0).numpy(), wanted)


def test_rows_have_their_own_quality_and_zero_means_no_codec() -> None:
    pictures = _picture(3)
    out = jpeg(pictures, quality=torch.tensor([0, 20, 90]), subsampling=torch.tensor([2, 2, 0]))
    error = (out.float() - pictures.float()).abs().mean((1, 2, 3))
    assert float(error[0]) == 0
    assert float(error[1]) > float(error[2]) > 0
