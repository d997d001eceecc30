"""What is shown: the codec against libjpeg and its own theory, reduction, graphics."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from skimage.data import astronaut
from torch import Tensor

from spooflab.augment.codec import jpeg
from spooflab.generators.attacks.replays.codec import recode
from spooflab.generators.attacks.replays.content import reduce, soften
from spooflab.generators.attacks.replays.interface import DRAW, Sheet, paint


def photograph(size: int = 256) -> Tensor:
    return torch.from_numpy(astronaut()[:size, 100 : 100 + size].copy()).permute(2, 0, 1)[None]


def coded(codes: Tensor, quality: int = 0, subsampling: int = 0, qp: int = 0, halo: float = 0.0) -> Tensor:
    batch = len(codes)
    whole = (torch.full((batch,), v, dtype=torch.int64) for v in (quality, subsampling, qp))
    q, s, v = whole
    return recode(codes.float(), quality=q, subsampling=s, video_qp=v, halo=torch.full((batch,), halo),
                  halo_texels=torch.ones(batch))  # fmt: skip


def psnr(one: Tensor, other: Tensor) -> float:
    return 10 * math.log10(255**2 / float((one.float() - other.float()).square().mean()))


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("quality", [30, 60, 90])
def test_the_tensor_codec_is_libjpegs(quality: int, subsampling: int) -> None:
    picture = photograph()
    ours = coded(picture, quality, subsampling)
    theirs = jpeg(picture, quality=torch.tensor([quality]), subsampling=torch.tensor([subsampling]))
    assert psnr(ours, theirs) > 40
    assert psnr(ours, theirs) > psnr(picture, theirs) + 3  # nearer to libjpeg's result than the original is


def test_nothing_is_lost_without_a_codec() -> None:
    picture = photograph(100)  # no whole number of blocks
    assert int((coded(picture).int() - picture.int()).abs().max()) <= 1
    assert coded(picture, 80, 2).shape == picture.shape


def test_rows_are_coded_by_their_own_settings() -> None:
    picture = photograph(64).expand(4, -1, -1, -1)
    settings = {
        "quality": torch.tensor([0, 90, 40, 80]),
        "subsampling": torch.tensor([0, 0, 2, 0]),
        "video_qp": torch.tensor([0, 0, 0, 34]),
        "halo": torch.tensor([0.0, 0.8, 0.0, 0.3]),
        "halo_texels": torch.tensor([1.0, 1.2, 0.7, 1.0]),
    }
    together = recode(picture.float(), **settings)
    for row in range(4):
        alone = recode(picture[:1].float(), **{k: v[row : row + 1] for k, v in settings.items()})
        assert int((together[row : row + 1].int() - alone.int()).abs().max()) <= 1
    assert len({int(out.long().sum()) for out in together}) == 4


def test_a_video_picture_loses_what_its_step_is_coarser_than() -> None:
    """Inner coefficients of luma blocks are multiples of 0.625 · 2^(QP/6), and more of them vanish with QP."""
    picture = photograph(128)
    errors, zeros = [], []
    for qp in (20, 28, 36):
        out = coded(picture, qp=qp)
        errors.append(psnr(out, picture))
        luma = (out[0].float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0).numpy()
        blocks = luma.reshape(16, 8, 16, 8).transpose(0, 2, 1, 3)
        spectrum = dctn(blocks, axes=(2, 3), norm="ortho")
        step = 0.625 * 2 ** (qp / 6)
        inner = spectrum[..., 3:, 3:]  # deblocking moves the others a little
        zeros.append(float((np.abs(inner) < step / 3).mean()))
    assert errors == sorted(errors, reverse=True)
    assert zeros == sorted(zeros)
    assert errors[0] > 34
    assert zeros[-1] > 0.97


def test_deblocking_closes_the_small_steps_of_a_smooth_picture() -> None:
    y, x = torch.meshgrid(torch.linspace(0, 1, 128), torch.linspace(0, 1, 128), indexing="ij")
    smooth = (70 + 60 * torch.sin(2.3 * x + 1.1 * y))[None, None].expand(1, 3, -1, -1)

    def steps(out: Tensor) -> float:
        rise = out[0, 0].float().diff(dim=1).abs().mean(0)
        edge = torch.arange(127) % 8 == 7
        return float(rise[edge].mean() / rise[~edge].mean())

    assert steps(coded(smooth, qp=38)) < 0.7 * steps(coded(smooth, quality=8))


def test_sharpening_overshoots_an_edge_by_its_gain() -> None:
    edge = torch.where(torch.arange(64) < 32, 80.0, 160.0).expand(1, 3, 64, 64)
    out = coded(edge, halo=0.5).float()[0, 0, 32]
    # Beside a step of h an unsharp mask of gain g overshoots by g h Q, Q the blur's share from beyond the edge.
    kernel = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    beyond = kernel[4:].sum() / kernel.sum()
    assert float(out[32]) == pytest.approx(160 + 0.5 * 80 * beyond, abs=1)
    assert float(out[31]) == pytest.approx(80 - 0.5 * 80 * beyond, abs=1)


def test_a_reduced_picture_lies_in_the_corner_and_keeps_its_mean_and_its_places() -> None:
    picture = photograph(128).float()
    out = reduce(picture.expand(2, -1, -1, -1), torch.tensor([0.5, 1.0]))
    assert torch.equal(out[1], picture[0])
    small = torch.nn.functional.interpolate(picture, size=(64, 64), mode="bilinear", antialias=True)
    assert psnr(out[:1, :, :64, :64], small) > 30
    edge = out[0, :, :64, 63:64].expand(-1, -1, 60)
    torch.testing.assert_close(out[0, :, :64, 68:], edge, atol=30, rtol=0)
    assert float((out[0, :, :63, 68:] - out[0, :, :63, 127:]).abs().max()) < 1e-3  # the edge repeats


def test_softening_has_the_variance_asked_for_and_keeps_light() -> None:
    point = torch.zeros(2, 1, 31, 31)
    point[:, :, 15, 15] = 1
    out = soften(point, torch.tensor([0.0, 1.5]))
    assert torch.equal(out[0], point[0])
    offset = torch.arange(31) - 15.0
    assert float(out[1].sum()) == pytest.approx(1, abs=1e-5)
    assert float((out[1, 0].sum(0) * offset**2).sum()) == pytest.approx(1.5, rel=0.02)


def screens(family: str, kinds: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    size = torch.tensor([[400.0, 800.0]]).expand(len(kinds), 2)
    sheet = Sheet(size, seeds % 2 == 0, seeds)
    DRAW[family](sheet, kinds)
    table = sheet.table()
    light = torch.nn.functional.pad(table[..., 4:7].transpose(1, 2) / 255, (0, 1))
    return table, paint(table, light, torch.full((len(kinds), 2), 0.25), 200, 100)


@pytest.mark.parametrize("family", sorted(DRAW))
def test_every_application_draws_its_own_screen_from_its_seed(family: str) -> None:
    kinds, seeds = torch.arange(5), torch.tensor([11, 12, 13, 14, 15])
    _, pictures = screens(family, kinds, seeds)
    assert pictures.shape == (5, 4, 200, 100)
    assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1
    for row in range(5):
        assert torch.equal(screens(family, kinds[row : row + 1], seeds[row : row + 1])[1], pictures[row : row + 1])
        for other in range(row):
            assert not torch.equal(pictures[row], pictures[other])
    over = pictures[:, 3].flatten(1).amax(1)
    assert float(over.max()) > 0.5  # some stand over the photograph


def test_shapes_are_painted_as_a_loop_over_pixels_would() -> None:
    table, picture = screens("handheld", torch.tensor([2]), torch.tensor([13]))
    wanted = torch.zeros(4, 200, 100)
    for shape in table[0]:
        left, top, width, height, *rgb, oval, over, shown = shape.tolist()
        if not shown:
            continue
        x0, y0, x1, y1 = (v * 0.25 for v in (left, top, left + width, top + height))
        for y in range(max(0, round(y0)), min(200, round(y1))):
            for x in range(max(0, round(x0)), min(100, round(x1))):
                dx, dy = (2 * x + 1 - x0 - x1) / (x1 - x0), (2 * y + 1 - y0 - y1) / (y1 - y0)
                if not oval or dx * dx + dy * dy <= 1:
                    wanted[:, y, x] = torch.tensor([*(c / 255 for c in rgb), over])
    assert float(((picture[0] - wanted).abs().amax(0) > 1e-5).float().mean()) < 0.002  # ties in rounding


def test_both_ways_of_painting_agree() -> None:
    from spooflab.generators.attacks.replays import interface as ui

    kinds, seeds = torch.arange(5), torch.tensor([3, 4, 5, 6, 7])
    for family in sorted(DRAW):
        _, one = screens(family, kinds, seeds)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ui, "_paint_rows", ui._paint_together)
            _, other = screens(family, kinds, seeds)
        assert float(((one - other).abs().amax(1) > 1e-5).float().mean()) < 1e-4
