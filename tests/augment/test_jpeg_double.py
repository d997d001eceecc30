"""Double JPEG leaves a comb where its grids meet, and block edges at the phase that was asked for."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import Tensor

from spooflab.augment.codec import jpeg
from spooflab.augment.jpeg_double import DoubleJpeg, DoubleJpegParams, double_jpeg
from spooflab.errors import ConfigError, DataError


def _picture(side: int = 256, seed: int = 0) -> Tensor:
    """Return grey 1/f noise (1, 3, side, side): its coefficients are spread smoothly."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft2(torch.randn(side, side, generator=generator))
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]).clamp(min=1 / side)
    noise = torch.fft.irfft2(spectrum / frequency, s=(side, side))
    grey = (128 + 40 * noise / noise.std()).round().clamp(0, 255).to(torch.uint8)
    return grey.expand(1, 3, -1, -1).contiguous()


def _params(first: int, second: int, dx: int = 0, dy: int = 0) -> DoubleJpegParams:
    fields = {"first": first, "second": second, "dx": dx, "dy": dy, "subsampling": 0}
    return DoubleJpegParams(**{name: torch.tensor([value]) for name, value in fields.items()})


def _coefficients(grey: np.ndarray) -> np.ndarray:
    height, width = grey.shape
    blocks = grey.reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3).astype(float) - 128
    return dctn(blocks, axes=(2, 3), norm="ortho")


def _comb(coefficients: np.ndarray, step: float) -> float:
    """Return how far values gather at multiples of `step`: 1 at them, about 0 where they are spread."""
    away = coefficients[np.abs(coefficients) > step / 2]
    return float(np.cos(2 * np.pi * away / step).mean())


def test_the_first_passs_comb_shows_in_the_second_only_where_the_grids_meet() -> None:
    picture, first_step, second_step = _picture(), 11.0, 2.0  # table K.1, row 0, column 1, at qualities 50 and 90
    once = jpeg(picture, quality=torch.tensor([90]), subsampling=torch.tensor([0]))
    aligned = double_jpeg(picture, _params(50, 90))
    shifted = double_jpeg(picture, _params(50, 90, 3, 5))
    combs = [_comb(_coefficients(x[0, 0].numpy())[..., 0, 1], first_step) for x in (once, aligned, shifted)]
    assert abs(combs[0]) < 0.1
    assert combs[1] > 0.8
    assert abs(combs[2]) < 0.1
    # Levels of the second file between 0 and the first pass's first step, 5.5 of its own, are gaps.
    levels = [np.round(_coefficients(x[0, 0].numpy())[..., 0, 1] / second_step) for x in (once, aligned, shifted)]
    gaps = [float(((np.abs(n) >= 2) & (np.abs(n) <= 4)).mean()) for n in levels]
    assert gaps[1] < 0.01
    assert min(gaps[0], gaps[2]) > 0.05


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (1, 0), (3, 5), (7, 2), (12, 9)])
def test_block_edges_lie_at_the_phase_asked_for(dx: int, dy: int) -> None:
    twice = double_jpeg(_picture(), _params(15, 97, dx, dy))[0, 0].float().numpy()
    found = []
    for axis in (1, 0):
        bend = np.abs(np.diff(twice, n=3, axis=axis)).mean(1 - axis)  # a step stands out of a third difference
        phases = [bend[(np.arange(len(bend)) + 2) % 8 == phase].mean() for phase in range(8)]
        found.append(int(np.argmax(phases)))
    assert found == [dx % 8, dy % 8]


def test_aligned_passes_are_two_plain_ones_and_no_pass_is_none() -> None:
    picture = _picture(64)
    none, q = torch.tensor([0]), torch.tensor([40])
    once = jpeg(picture, quality=q, subsampling=none)
    assert torch.equal(double_jpeg(picture, _params(40, 0)), once)
    assert torch.equal(double_jpeg(picture, _params(0, 40, 5, 5)), once)
    assert torch.equal(double_jpeg(picture, _params(40, 40)), jpeg(once, quality=q, subsampling=none))


def test_module_draws_by_its_generator_and_a_row_equals_itself_alone() -> None:
    module, pictures = (
        DoubleJpeg(aligned=0.5, subsampling=("4:2:0", "4:4:4")),
        torch.cat([_picture(64, s) for s in (1, 2, 3)]),
    )
    params = module.sample(3, torch.Generator().manual_seed(4))
    again = module.sample(5, torch.Generator().manual_seed(4))
    out = module.apply(pictures, params)
    for row in range(3):
        assert DoubleJpegParams.from_json(again.row(row).to_json()).to_json() == params.row(row).to_json()
        assert torch.equal(module.apply(pictures[row : row + 1], params.row(row))[0], out[row])
    assert torch.equal(module(pictures, generator=torch.Generator().manual_seed(4)), out)
    many = module.sample(2000, torch.Generator().manual_seed(5))
    met = (many.dx == 0) & (many.dy == 0)
    assert abs(float(met.float().mean()) - 0.5) < 0.05
    assert (int(many.dx.max()), int(many.dy.max())) == (15, 15)


def test_bad_input() -> None:
    with pytest.raises(DataError, match="dx"):
        double_jpeg(_picture(32), _params(50, 90, dx=16))
    with pytest.raises(DataError, match="quality"):
        double_jpeg(_picture(32), _params(101, 90))
    with pytest.raises(DataError, match="quality"):
        double_jpeg(_picture(32), _params(50, 101))
    with pytest.raises(ConfigError, match="aligned"):
        DoubleJpeg(aligned=1.5)
    with pytest.raises(ConfigError, match="first"):
        DoubleJpeg(first=(90, 50))
    with pytest.raises(ConfigError, match="4:1:1"):
        DoubleJpeg(subsampling=("4:1:1",))
