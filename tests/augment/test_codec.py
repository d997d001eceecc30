"""JPEG is libjpeg's, row by row."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from spooflab.augment.codec import jpeg
from spooflab.augment.jpeg import Jpeg
from spooflab.errors import ConfigError, DataError


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


def test_threads_change_no_byte() -> None:
    pictures, quality = _picture(5), torch.tensor([30, 40, 0, 60, 90])
    subsampling = torch.tensor([0, 1, 2, 1, 2])
    alone = jpeg(pictures, quality=quality, subsampling=subsampling)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(jpeg(pictures, quality=quality, subsampling=subsampling), alone)
    finally:
        torch.set_num_threads(before)


def test_module_keeps_types_draws_by_its_generator_and_treats_rows_alone() -> None:
    module, pictures = Jpeg(quality=(30, 60)), _picture(4)
    params = module.sample(4, torch.Generator().manual_seed(1))
    out = module.apply(pictures, params)
    assert torch.equal(module(pictures, generator=torch.Generator().manual_seed(1)), out)
    assert torch.equal(module.apply(pictures[2:3], params.row(2))[0], out[2])
    for dtype in (torch.float32, torch.float64):
        coded = module.apply(pictures.to(dtype) / 255, params)
        assert coded.dtype == dtype
        assert torch.equal((coded * 255).round().to(torch.uint8), out)
    many = module.sample(3000, torch.Generator().manual_seed(2))
    assert (int(many.quality.min()), int(many.quality.max())) == (30, 60)
    assert sorted(set(many.subsampling.tolist())) == [0, 1, 2]
    assert module.apply(lambda part: None) is module  # as `nn.Module.apply`


_Q, _S = torch.tensor([50, 50]), torch.tensor([0, 2])


@pytest.mark.parametrize(
    ("pictures", "quality", "subsampling", "word"),
    [
        (_picture(2)[0], _Q, _S, "pictures"),
        (_picture(2)[:, :1], _Q, _S, "pictures"),
        (_picture(2).float(), _Q, _S, "float32"),
        (_picture(2)[:0], _Q[:0], _S[:0], "pictures"),
        (_picture(2), _Q[:1], _S, "quality"),
        (_picture(2), _Q.float(), _S, "quality"),
        (_picture(2), torch.tensor([50, 101]), _S, "0 to 100"),
        (_picture(2), torch.tensor([50, -1]), _S, "0 to 100"),
        (_picture(2), _Q, torch.tensor([0, 3]), "0 to 2"),
    ],
)
def test_bad_pictures_and_parameters(
    pictures: torch.Tensor, quality: torch.Tensor, subsampling: torch.Tensor, word: str
) -> None:
    with pytest.raises(DataError, match=word):
        jpeg(pictures, quality=quality, subsampling=subsampling)


def test_bad_settings() -> None:
    for limits in ((0, 50), (60, 50), (50, 101)):
        with pytest.raises(ConfigError, match="quality"):
            Jpeg(quality=limits)
    for names in (("4:1:1",), ()):
        with pytest.raises(ConfigError, match="subsampling"):
            Jpeg(subsampling=names)
    with pytest.raises(DataError, match="batch_size"):
        Jpeg().sample(0, torch.Generator())
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        Jpeg()(torch.full((1, 3, 16, 16), 2.0), generator=torch.Generator())
    with pytest.raises(DataError, match="parameters"):
        Jpeg().apply(torch.rand(1, 3, 16, 16), None)  # type: ignore[call-overload]
