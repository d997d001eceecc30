"""The quick camera: its versions against each other, its parts against theory, its agreement with the full one."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from spooflab.augment import (
    CaptureDevice,
    DeviceParams,
    DeviceShift,
    View,
    jpeg_tables,
    jpeg_transform,
    list_profiles,
    quick_photograph,
    rephotograph,
)
from spooflab.augment.bayer import demosaic
from spooflab.augment.camera_codec import without_codec
from spooflab.augment.codec import jpeg
from spooflab.augment.lens import window_rays
from spooflab.augment.noise_bank import bank_window, noise_bank
from spooflab.augment.quick import device_banks
from spooflab.augment.quick_batch import quick_codes, quick_rays, quick_tensors
from spooflab.augment.quick_chunks import LANES
from spooflab.augment.quick_table import interpolation_shares, quick_table, spread_function
from spooflab.errors import ConfigError, DataError


def _photos(count: int, side: int = 224, seed: int = 0) -> Tensor:
    """Return smooth uint8 pictures with an edge and a little grain."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    smooth = F.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)
    smooth[..., side // 3 : side // 2, side // 4 : side // 2] *= 0.4
    grain = 0.02 * torch.randn(count, 3, side, side, generator=generator)
    return ((0.1 + 0.8 * smooth + grain).clamp(0, 1) * 255).round().to(torch.uint8)


def _shift() -> DeviceShift:
    cameras = [CaptureDevice(name, unit=1) for name in list_profiles()]
    return DeviceShift([*cameras, CaptureDevice.ideal()], fidelity="quick")


def _shots(count: int, side: int = 224, seed: int = 1) -> DeviceParams:
    return _shift().sample(count, torch.Generator().manual_seed(seed), size=(side, side))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_chunks_give_what_whole_tensors_give(dtype: torch.dtype) -> None:
    taken, params = _photos(7), without_codec(_shots(7))
    photo = taken if dtype == torch.uint8 else taken / 255
    plain = quick_codes(taken / 255, quick_table(params), *device_banks(torch.device("cpu"), 256))
    difference = (quick_photograph(photo, params).int() - plain.int()).abs()
    assert int(difference.max()) <= 1
    assert float((difference > 0).float().mean()) < 0.03  # halves may fall either way


def test_a_row_is_the_same_alone_in_any_batch_and_on_any_number_of_threads() -> None:
    photo, params = _photos(2 * LANES + 1, 96), _shots(2 * LANES + 1, 96)
    together = quick_photograph(photo, params)
    try:
        torch.set_num_threads(2)
        assert torch.equal(quick_photograph(photo, params), together)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    for i in (0, 3, 2 * LANES):
        assert torch.equal(quick_photograph(photo[i : i + 1], params.row(i)), together[i : i + 1])
    order = torch.randperm(len(photo), generator=torch.Generator().manual_seed(0))
    shuffled = DeviceParams.stack([params.row(int(i)) for i in order])
    assert torch.equal(quick_photograph(photo[order], shuffled), together[order])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("side", [64, 224, 256])
def test_forward_returns_what_it_was_given_at_every_size(dtype: torch.dtype, side: int) -> None:
    device = CaptureDevice("front_phone", unit=1, fidelity="quick")
    taken = _photos(2, side)
    given = taken if dtype == torch.uint8 else (taken.double() / 255).to(dtype)
    out = device(given, generator=torch.Generator().manual_seed(3))
    assert (out.dtype, out.shape) == (dtype, taken.shape)
    exact = device(taken, generator=torch.Generator().manual_seed(3))
    codes = out if dtype == torch.uint8 else (out.double() * 255).round()
    error = (codes.double() - exact.double()).abs()
    assert float(error.mean()) < (1.5 if dtype == torch.bfloat16 else 0.5)
    if dtype in (torch.uint8, torch.float32, torch.float64):
        assert float(error.max()) == 0
    seen, shown = (x.double().mean(1)[..., 8:-8:4, 8:-8:4].flatten() for x in (codes, taken))
    assert float(torch.corrcoef(torch.stack([seen, shown]))[0, 1]) > 0.9


@pytest.mark.parametrize("size", [(8, 8), (9, 40), (225, 131)])
def test_any_size_from_8(size: tuple[int, int]) -> None:
    photo = _photos(2, 256)[..., : size[0], : size[1]].contiguous()
    out = _shift()(photo, generator=torch.Generator().manual_seed(2), gentle=torch.tensor([True, False]))
    assert out.shape == photo.shape


def test_forward_is_decided_by_its_generator() -> None:
    shift, photo = _shift(), _photos(5, 64)
    first = shift(photo, generator=torch.Generator().manual_seed(5))
    assert torch.equal(shift(photo, generator=torch.Generator().manual_seed(5)), first)
    assert not torch.equal(shift(photo, generator=torch.Generator().manual_seed(6)), first)


def test_the_ideal_device_changes_nothing_but_rounding() -> None:
    taken = _photos(3)
    again = CaptureDevice("ideal", fidelity="quick")(taken, generator=torch.Generator().manual_seed(4))
    assert int((again.int() - taken.int()).abs().max()) <= 1


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="'quik'"):
        CaptureDevice("dslr", fidelity="quik")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'quik'"):
        DeviceShift([CaptureDevice("dslr")], fidelity="quik")  # type: ignore[arg-type]
    device = CaptureDevice("dslr", fidelity="quick")
    for photo, told in (
        (torch.rand(1, 1, 32, 32), r"\(1, 1, 32, 32\)"),
        (torch.full((1, 3, 32, 32), torch.nan), "nan"),
    ):
        with pytest.raises(DataError, match=told):
            device(photo, generator=torch.Generator())


@pytest.mark.parametrize("name", list_profiles())
def test_the_spread_function_has_the_lens_mtf(name: str) -> None:
    view = CaptureDevice(name).sample(64, torch.Generator().manual_seed(2), size=(224, 224)).view
    kernel = spread_function(view)
    torch.testing.assert_close(kernel.sum((1, 2)), torch.ones(64), atol=1e-5, rtol=0)
    offset = torch.arange(7) - 3.0
    worst = []
    for fx, fy in ((0.0, 0.1), (0.1, 0.0), (0.2, 0.1), (0.25, 0.25), (-0.2, 0.2), (0.0, 0.5)):
        wave = torch.cos(2 * torch.pi * (fy * offset[:, None] + fx * offset[None, :]))
        got = (kernel * wave).sum((1, 2))
        worst.append((got - view.lens_mtf(torch.full((64, 1), fx), torch.full((64, 1), fy))[:, 0]).abs())
    error = torch.stack(worst)
    assert float(error.mean()) < 0.02
    assert float(error.max()) < 0.08  # long motion of a few pixels, whose ends lie outside the window


@pytest.mark.parametrize("name", [*list_profiles(), "ideal"])
def test_rays_are_those_of_the_full_lens(name: str) -> None:
    params = CaptureDevice(name, unit=2).sample(3, torch.Generator().manual_seed(2), size=(224, 200))
    ours = quick_rays(quick_table(params), 224, 200)[:, 3:-3, 3:-3]
    exact, _ = window_rays(dataclasses.replace(params.view, p1=None, p2=None))
    assert float(((ours - exact) * torch.tensor([100.0, 112.0])).abs().max()) < 0.05  # pixels


def test_the_bank_is_what_a_mosaic_makes_of_white_noise() -> None:
    bank, white = noise_bank(True, 128), noise_bank(False, 128)
    torch.testing.assert_close(bank.square().mean((1, 2)), torch.ones(3), atol=0.02, rtol=0)
    torch.testing.assert_close(white.square().mean((1, 2)), torch.ones(3), atol=0.02, rtol=0)
    fresh = demosaic(torch.randn(1, 1, 768, 768, generator=torch.Generator().manual_seed(9)))[0]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        wanted, got = (
            float(torch.corrcoef(torch.stack([x[a].flatten(), x[b].flatten()]))[0, 1]) for x in (fresh, bank)
        )
        assert got == pytest.approx(wanted, abs=0.02)
    for plane in range(3):
        near = [(x[plane, :, 1:] * x[plane, :, :-1]).mean() / x[plane].square().mean() for x in (fresh, bank)]
        assert float(near[1]) == pytest.approx(float(near[0]), abs=0.02)
    torch.testing.assert_close(interpolation_shares().sum(1), fresh.square().mean((1, 2)), atol=0.02, rtol=0)


def test_windows_of_a_bank_lie_inside_it_on_the_mosaics_grid() -> None:
    seeds = torch.randint(0, 2**48, (4096,), generator=torch.Generator().manual_seed(0))
    window = bank_window(seeds, torch.ones(4096, dtype=torch.bool), 224, 200)
    extent = noise_bank(True, 256).shape[-1]
    assert bool((window.top % 2 == 0).all() and (window.left % 2 == 0).all())
    assert 0 <= int(window.top.min()) <= int(window.top.max()) <= extent - 224
    assert 0 <= int(window.left.min()) <= int(window.left.max()) <= extent - 200
    assert len(set(zip(window.top.tolist(), window.left.tolist(), window.sign.tolist(), strict=True))) > 3500


def _flat_shots(name: str, *, smear: bool) -> tuple[Tensor, DeviceParams]:
    """Return five levels of grey and shots that leave them there, all with the same noise."""
    levels = torch.tensor([38.0, 76.0, 128.0, 178.0, 217.0])
    shots = CaptureDevice(name, unit=1).sample(5, torch.Generator().manual_seed(3), size=(256, 256))
    none = shots.metering * 0
    return levels[:, None, None, None].expand(5, 3, 256, 256).to(torch.uint8), dataclasses.replace(
        shots, metering=none, error_ev=none, quality=shots.quality * 0, stream=None, beautify=none, row_std=none,
        corner_gain=none + 1, prnu_std=none, halo=none, defect_share=none,
        source_tone=shots.tone, source_gamma=shots.gamma,
        noise_a=shots.noise_a.median() + none, noise_b=shots.noise_b.median() + none,
        smear=shots.smear.mean() + none if smear else none,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", list_profiles())
@pytest.mark.parametrize(("smear", "luma_share", "chroma_share"), [(False, 0.05, 0.1), (True, 0.3, 0.4)])
def test_mean_and_noise_of_grey_are_the_full_cameras(
    name: str, smear: bool, luma_share: float, chroma_share: float
) -> None:
    photo, params = _flat_shots(name, smear=smear)
    middle = slice(48, -48)
    full, quick = (
        x[..., middle, middle]
        for x in (rephotograph(photo / 255, params) * 255, quick_photograph(photo, params).float())
    )
    assert float((full.mean((2, 3)) - quick.mean((2, 3))).abs().max()) < 1.0
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    lumas = [(x * weights).sum(1) for x in (full, quick)]
    deviations = [y.std((1, 2)) for y in lumas]
    torch.testing.assert_close(deviations[1], deviations[0], rtol=luma_share, atol=0.05)
    for colour in (0, 2):
        spread = [(x[:, colour] - y).std((1, 2)) for x, y in zip((full, quick), lumas, strict=True)]
        torch.testing.assert_close(spread[1], spread[0], rtol=chroma_share, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", list_profiles())
def test_a_noiseless_picture_is_the_full_cameras_and_exposure_is_near_it(name: str) -> None:
    photo = _photos(4)
    params = without_codec(CaptureDevice(name, unit=1).sample(4, torch.Generator().manual_seed(5), size=(224, 224)))
    full, quick = rephotograph(photo / 255, params) * 255, quick_photograph(photo, params).float()
    assert float((full.mean((2, 3)) - quick.mean((2, 3))).abs().max()) < 6  # metered on other samples of the picture
    none = params.metering * 0
    calm = dataclasses.replace(
        params,
        metering=none,
        awb_strength=none,
        corner_blur_px=none,
        defect_share=none,
        smear=none,
        noise_a=none + 1e-9,
        noise_b=none + 1e-9,
        row_std=none,
    )
    full, quick = rephotograph(photo / 255, calm) * 255, quick_photograph(photo, calm).float()
    assert float((full - quick).mean((2, 3)).abs().max()) < 0.5
    difference = (full - quick)[..., 4:-4, 4:-4]
    assert float(difference.std()) < 4  # what interpolation of the mosaic makes of grain
    assert float(F.avg_pool2d(difference, 4).std()) < 1.5


def test_both_cameras_use_the_same_tables_of_the_codec() -> None:
    """A JPEG coded twice on the same grid with the same tables loses next to nothing: both pass that test alike."""
    photo = _photos(1)
    params = CaptureDevice("kiosk", unit=1).sample(1, torch.Generator().manual_seed(5), size=(224, 224))
    for made in ((rephotograph(photo / 255, params) * 255).round().to(torch.uint8), quick_photograph(photo, params)):
        again = {
            change: jpeg(made, quality=params.quality + change, subsampling=params.subsampling) for change in (0, -9, 7)
        }
        lost = {change: float((x.int() - made.int()).square().float().mean()) for change, x in again.items()}
        assert lost[0] < 0.7 * min(lost[-9], lost[7])


@pytest.fixture
def clean_caches() -> Iterator[None]:
    """No constant on a device that only a test pretends to have goes over from one test to another."""
    caches = (device_banks, jpeg_tables._base, jpeg_transform._matrix)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("clean_caches")
def test_on_an_accelerator_nothing_is_read_back_and_nothing_lies_elsewhere() -> None:
    params, photo = _shots(3, 32), _photos(3, 32) / 255
    table, banks = quick_table(params), device_banks(torch.device("cpu"), 128)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        there = torch.device("cuda:0")
        mode_banks = [mode.from_tensor(bank).to(there) for bank in banks]
        moved = table._map(lambda value: mode.from_tensor(value).to(there))
        out = quick_tensors(mode.from_tensor(photo).to(there), moved, *mode_banks)
    assert out.device == there
    assert (out.shape, out.dtype) == (photo.shape, torch.uint8)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")  # of constants
def test_one_graph_holds_the_whole_chain() -> None:
    params, photo = _shots(3, 32), _photos(3, 32) / 255
    table, banks = quick_table(params), device_banks(torch.device("cpu"), 128)
    assert int(table.quality.amin()) > 0  # so that the codec takes part
    for chain in (quick_codes, quick_tensors):
        compiled = torch.compile(chain, fullgraph=True, backend="aot_eager")
        difference = (compiled(photo, table, *banks).int() - chain(photo, table, *banks).int()).abs()
        assert float(difference.float().mean()) < 0.1  # rounded otherwise here and there


def test_the_tensors_that_accelerators_work_on_go_through_the_codec() -> None:
    params, photo = _shots(3, 64), _photos(3, 64)
    table, banks = quick_table(params), device_banks(torch.device("cpu"), 128)
    codes = quick_codes(photo / 255, table, *banks)
    coded = jpeg(codes, quality=table.quality, subsampling=table.subsampling)
    assert torch.equal(quick_tensors(photo / 255, table, *banks), coded)


def test_the_quick_camera_on_other_devices_agrees(device: torch.device) -> None:
    params, photo = _shots(3, 64), _photos(3, 64)
    there = quick_photograph(photo.to(device), params).cpu().float()
    assert float((there - quick_photograph(photo, params).float()).abs().mean()) < 1


def test_views_without_bending_have_straight_rays() -> None:
    view = View.ideal(32, 40)
    shots = CaptureDevice.ideal().sample(1, torch.Generator().manual_seed(0), size=(32, 40))
    rays = quick_rays(quick_table(dataclasses.replace(shots, view=view)), 32, 40)[0, 3:-3, 3:-3]
    torch.testing.assert_close(rays[0, :, 0], (torch.arange(40) + 0.5) / 20 - 1, atol=1e-5, rtol=0)
