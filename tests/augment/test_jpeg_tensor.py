"""JPEG on tensors against libjpeg, and its tables and transform against what defines them."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn, idctn
from torch import Tensor

from spooflab.augment.codec import jpeg
from spooflab.augment.jpeg_tables import CHROMA_TABLE, LUMA_TABLE, quantisation_tables
from spooflab.augment.jpeg_tensor import tensor_jpeg
from spooflab.augment.jpeg_transform import forward_transform, inverse_transform
from spooflab.errors import DataError


def photograph(height: int, width: int, count: int = 1, seed: int = 0) -> Tensor:
    """Return uint8 pictures with smooth areas, edges, saturated colours and noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 9, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic") * 1.4 - 0.2
    smooth[..., height // 3 : height // 2, width // 4 : width // 2] *= 0.3
    noisy = smooth + 0.04 * torch.randn(count, 3, height, width, generator=generator)
    return (noisy.clamp(0, 1) * 255).to(torch.uint8)


def same(count: int, value: int) -> Tensor:
    return torch.full((count,), value)


@pytest.mark.parametrize("quality", [1, 10, 50, 75, 95, 100])
@pytest.mark.parametrize("code", [0, 1, 2])
@pytest.mark.parametrize("size", [(64, 48), (75, 61)])
def test_it_is_libjpegs_to_the_byte(quality: int, code: int, size: tuple[int, int], device: torch.device) -> None:
    pictures = torch.cat(
        [
            photograph(*size),
            torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(7)),
        ]
    )
    q, s = same(2, quality), same(2, code)
    ours = tensor_jpeg(pictures.to(device), quality=q.to(device), subsampling=s.to(device))
    assert torch.equal(ours.cpu(), jpeg(pictures, quality=q, subsampling=s))


@given(st.integers(8, 41), st.integers(8, 41), st.integers(1, 100), st.integers(0, 2), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_every_size_and_quality_is_libjpegs(height: int, width: int, quality: int, code: int, seed: int) -> None:
    picture, q, s = photograph(height, width, seed=seed), same(1, quality), same(1, code)
    assert torch.equal(tensor_jpeg(picture, quality=q, subsampling=s), jpeg(picture, quality=q, subsampling=s))


def test_nothing_is_read_back_from_the_device() -> None:
    # A tensor without storage raises where a value is asked for; `jpeg` codes such a picture on tensors.
    picture = torch.empty(2, 3, 40, 24, dtype=torch.uint8, device="meta")
    q, s = (torch.empty(2, dtype=torch.int64, device="meta") for _ in range(2))
    with pytest.raises(RuntimeError):
        q.max().item()
    out = jpeg(picture, quality=q, subsampling=s)
    assert (out.shape, out.dtype) == (picture.shape, picture.dtype)
    with pytest.raises(DataError, match="at least 8"):
        jpeg(picture[..., :7], quality=q, subsampling=s)


def test_rows_have_their_own_tables_and_formats_and_equal_themselves_alone() -> None:
    pictures, q, s = photograph(40, 56, 4), torch.tensor([0, 12, 60, 97]), torch.tensor([2, 2, 1, 0])
    together = tensor_jpeg(pictures, quality=q, subsampling=s)
    assert torch.equal(together[0], pictures[0])
    for row in range(4):
        one = slice(row, row + 1)
        assert torch.equal(tensor_jpeg(pictures[one], quality=q[one], subsampling=s[one])[0], together[row])


@pytest.mark.parametrize("quality", [1, 7, 24, 49, 50, 51, 75, 99, 100])
def test_tables_are_those_that_libjpeg_writes_into_the_file(quality: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    written = Image.open(io.BytesIO(file.getvalue())).quantization
    ours = quantisation_tables(torch.tensor([quality]))[0].flatten(1).tolist()
    assert ours == [list(written[0]), list(written[1])]


def test_quality_50_is_annex_k() -> None:
    assert quantisation_tables(torch.tensor([50]))[0].tolist() == [
        [list(row) for row in LUMA_TABLE],
        [list(row) for row in CHROMA_TABLE],
    ]


def test_the_transform_is_the_cosine_transform_within_its_rounding() -> None:
    block = torch.randint(-128, 128, (1, 1, 8, 8), generator=torch.Generator().manual_seed(1)).float()
    ours = forward_transform(block)[0, 0].double().numpy() / 8
    exact = dctn(block[0, 0].double().numpy(), norm="ortho")
    assert np.abs(ours - exact).max() < 0.2  # two roundings of an eighth or less, and cosines of 13 bits
    whole = torch.from_numpy(exact.round()).float()[None, None]
    back = inverse_transform(whole)[0, 0].numpy()
    assert np.abs(back - idctn(exact.round(), norm="ortho")).max() <= 1.0


def test_halves_in_the_transform_are_exact_however_large_the_picture() -> None:
    checks = torch.tensor([[127.0, -128.0], [-128.0, 127.0]]).repeat(4, 4)[None, None]
    big = checks.repeat(1, 1, 40, 40)
    assert torch.equal(forward_transform(big), forward_transform(checks).repeat(1, 1, 40, 40))
