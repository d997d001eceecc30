"""Auto-white-balance against closed forms: grey stays, a cast shrinks by its share, lamps bound what is believed."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment import (
    CaptureDevice,
    DeviceParams,
    develop,
    gentle_shots,
    list_profiles,
    quick_photograph,
    rephotograph,
)
from spooflab.augment.ablate import ablated
from spooflab.augment.auto_balance import TINT_EV, WARM_EV, adapt
from spooflab.augment.develop import correct_colour, expose, interpolate
from spooflab.augment.draw import later_share
from spooflab.augment.tone import srgb_encode

ONES = torch.ones(1, 3)


def _texture(cast_ev: tuple[float, float, float], seed: int = 0, size: int = 96) -> Tensor:
    """Return a grey texture under a light that is `cast_ev` stops off white."""
    coarse = torch.rand(1, 1, size // 8, size // 8, generator=torch.Generator().manual_seed(seed))
    grey = 0.1 + 0.3 * F.interpolate(coarse, (size, size), mode="bilinear")
    return grey * torch.tensor(cast_ev).exp2()[None, :, None, None]


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("warm", [-0.5, 0.3, 1.2])
def test_a_cast_of_light_shrinks_by_the_share(warm: float, strength: float) -> None:
    red, blue = 0.72 * warm + 0.1, -1.28 * warm + 0.1  # on the line of black bodies, and a tenth of a stop off it
    factor = adapt(0.4 * _texture((red, 0.0, blue)), ONES, torch.tensor([strength]))
    wanted = torch.tensor([[-red, 0.0, -blue]]) * strength
    torch.testing.assert_close(factor.log2(), wanted, atol=2e-4, rtol=0)


def test_grey_is_left_alone_and_the_sensors_own_colours_do_not_count() -> None:
    balance = torch.tensor([[2.1, 1.0, 1.6]])
    factor = adapt(_texture((0, 0, 0)) / balance[:, :, None, None], balance, torch.ones(1))
    torch.testing.assert_close(factor, ONES, atol=1e-4, rtol=0)


def test_no_more_is_believed_than_lamps_and_skies_do() -> None:
    for warm, tint in ((3.0, -0.8), (-3.0, 0.8), (0.0, 1.0), (0.0, -1.0)):
        frame = _texture((tint + warm, 0.0, tint - warm)) * 0.1
        red, _, blue = (-adapt(frame, ONES, torch.ones(1)).log2())[0].tolist()
        assert WARM_EV[0] - 1e-4 <= (red - blue) / 2 <= WARM_EV[1] + 1e-4
        assert abs((red + blue) / 2 + 0.28 * (red - blue) / 2) <= TINT_EV + 1e-4
        if warm:
            assert (red - blue) / 2 == pytest.approx(WARM_EV[1] if warm > 0 else WARM_EV[0], abs=1e-3)


def test_black_bodies_lie_within_what_is_believed() -> None:
    """Planck's law at the wavelengths of the sRGB primaries, against 6500 K: lamps of 2500 K to skies of 10 000 K."""
    wavelengths = torch.tensor([611e-9, 549e-9, 465e-9], dtype=torch.float64)

    def radiance(kelvin: float) -> Tensor:
        return wavelengths**-5 / torch.expm1(1.4388e-2 / (wavelengths * kelvin))

    for kelvin in (2500.0, 3200.0, 5000.0, 10000.0):
        colour = radiance(kelvin) / radiance(6500.0)
        red, green, blue = (colour / colour[1]).log2().tolist()
        assert green == 0
        assert WARM_EV[0] < (red - blue) / 2 < WARM_EV[1]
        assert abs((red + blue) / 2 + 0.28 * (red - blue) / 2) < 0.5 * TINT_EV


def test_skin_moves_it_little_and_clipped_lamps_not_at_all() -> None:
    frame = _texture((0, 0, 0))
    frame[..., 24:72, 24:72] *= torch.tensor([1.7, 1.0, 0.75])[None, :, None, None]  # a face in a quarter of the frame
    shift = adapt(frame, ONES, torch.ones(1)).log2()
    assert float(shift.abs().max()) < 0.1
    frame = _texture((0, 0, 0))
    frame[..., :32] = torch.tensor([1.0, 0.6, 0.3])[None, :, None, None]
    torch.testing.assert_close(adapt(frame, ONES, torch.ones(1)), ONES, atol=4e-3, rtol=0)


def _shots(name: str, strength: float) -> DeviceParams:
    shots = CaptureDevice(name, unit=1).sample(1, torch.Generator().manual_seed(2), size=(96, 96))
    none = shots.smear * 0
    return dataclasses.replace(
        shots, noise_a=none, noise_b=none, row_std=none, prnu_std=none, corner_gain=none + 1, metering=none,
        error_ev=none, smear=none, beautify=none, balance_error=torch.ones(1, 3), awb_strength=none + strength,
        quality=shots.quality * 0, sensor_matrix=torch.linalg.inv(shots.ccm),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["front_phone", "kiosk"])
def test_the_camera_keeps_a_greys_colour_and_takes_the_share_of_a_cast(name: str) -> None:
    grey = _texture((0, 0, 0))
    seen = correct_colour(interpolate(expose(grey, _shots(name, 0.7))), _shots(name, 0.7))
    assert float((seen.mean((2, 3)) - grey.mean()).abs().max()) < 2e-3
    cool = _texture((-0.4, 0.0, 0.4))
    cast = {}
    for strength in (0.0, 0.6, 1.0):
        params = _shots(name, strength)
        raw = interpolate(expose(cool, params))
        linear = correct_colour(raw, params)
        sensor = torch.linalg.inv(params.ccm) @ linear.mean((2, 3))[:, :, None]  # balanced colours, before the matrix
        cast[strength] = (sensor[0, 2, 0] / sensor[0, 0, 0]).log2().item()
    assert cast[0.6] == pytest.approx(0.4 * cast[0.0], abs=0.02)
    assert cast[1.0] == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("name", list_profiles())
def test_shipped_cameras_adapt_in_part_and_older_records_not_at_all(name: str) -> None:
    shots = CaptureDevice(name).sample(64, torch.Generator().manual_seed(0), size=(64, 64))
    assert shots.awb_strength is not None
    assert 0.25 < float(shots.awb_strength.min()) < float(shots.awb_strength.max()) < 0.9
    record = shots.row(0).to_json()
    light = _texture((0.3, 0.0, -0.3), size=64)
    fresh = develop(light, DeviceParams.from_json(record))
    assert torch.equal(fresh, develop(light, shots.row(0)))
    del record["awb_strength"]
    older = DeviceParams.from_json(record)
    assert older.awb_strength is None
    off = dataclasses.replace(shots.row(0), awb_strength=torch.zeros(1))
    assert torch.equal(develop(light, older), develop(light, off))
    assert torch.equal(develop(light, older), develop(light, ablated(shots.row(0), ["auto_balance"])))
    assert gentle_shots(older).awb_strength is None
    assert float(gentle_shots(shots).awb_strength.abs().max()) == 0  # type: ignore[union-attr]


def test_the_quick_camera_adapts_alike() -> None:
    photo = (srgb_encode(_texture((0.3, 0.0, -0.4), size=224)) * 255).round().to(torch.uint8)
    shots = CaptureDevice("front_phone", unit=1).sample(1, torch.Generator().manual_seed(2), size=(224, 224))
    spread = {}
    for strength in (0.0, 0.8):
        params = dataclasses.replace(_shots("front_phone", strength), view=shots.view)
        full = rephotograph(photo / 255, params).mean((0, 2, 3)) * 255
        quick = quick_photograph(photo, params).float().mean((0, 2, 3))
        assert float((full - quick).abs().max()) < 1.5
        spread[strength] = float(quick.max() - quick.min())
    assert spread[0.8] < 0.5 * spread[0.0]


def test_later_shares_are_uniform_and_independent() -> None:
    seeds = torch.randint(0, 2**48, (20000,), generator=torch.Generator().manual_seed(1))
    shares = torch.stack([later_share(seeds, trait) for trait in (1, 2, 3)])
    assert 0 <= float(shares.min()) < float(shares.max()) < 1
    for k in range(3):
        counts = torch.histc(shares[k], 20, 0, 1)
        assert float((counts - 1000).abs().max()) < 5 * math.sqrt(1000)
    correlation = torch.corrcoef(torch.cat([shares, seeds[None].float()])) - torch.eye(4)
    assert float(correlation.abs().max()) < 0.03
