"""The slanted edge of ISO 12233, by which a camera's sharpness is measured, gives the transfer that the view states."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from spooflab.augment import CaptureDevice, View, quick_photograph, rephotograph
from spooflab.augment.lens import through_lens
from spooflab.augment.tone import srgb_decode, srgb_encode

SIZE, TILT, FINE = 224, math.tan(math.radians(5)), 4
FREQUENCIES = (0.05, 0.1, 0.2, 0.3)


def _edge() -> Tensor:
    """Return linear light (1, 3, H, W): pixels averaged over an edge 5 degrees off the vertical."""
    place = (torch.arange(SIZE * 8) + 0.5) / 8 - SIZE / 2
    rows = torch.arange(SIZE) + 0.5 - SIZE / 2
    lit = (place[None, :] > TILT * rows[:, None]).float().reshape(SIZE, SIZE, 8).mean(2)
    return (0.2 + 0.5 * lit).expand(1, 3, SIZE, SIZE).contiguous()


def _transfer(image: Tensor) -> list[float]:
    """Return the modulation transfer across the edge of (H, W) at FREQUENCIES, cycles per pixel."""
    position = torch.arange(SIZE) + 0.5 - SIZE / 2
    middle = slice(32, -32)
    distance = ((position[None, :] - TILT * position[middle, None]) * math.cos(math.atan(TILT))).flatten()
    values = image[middle].flatten().double()
    bins = (distance * FINE).floor().long()
    spread = torch.stack([values[bins == k].mean() for k in range(-24 * FINE, 24 * FINE)]).diff()
    place = torch.arange(len(spread), dtype=torch.float64) / FINE
    total = spread.sum().abs()
    return [float((spread * torch.exp(-2j * math.pi * f * place)).sum().abs() / total) for f in FREQUENCIES]


@pytest.mark.parametrize("blur_px", [0.5, 0.9])
@pytest.mark.parametrize("motion_px", [0.0, 2.0])
def test_the_edge_measures_the_views_transfer(blur_px: float, motion_px: float) -> None:
    view = View.ideal(SIZE, SIZE, blur_px=blur_px, f_number=2.4, pitch_um=1.4)
    view = dataclasses.replace(view, motion_px=torch.tensor([[motion_px, 0.0]]))
    before, after = _transfer(_edge()[0, 0]), _transfer(through_lens(_edge(), view)[0, 0])
    across = math.cos(math.atan(TILT))
    for k, f in enumerate(FREQUENCIES):
        wanted = view.lens_mtf(torch.tensor([[f * across]]), torch.tensor([[f * across * TILT]]))
        assert after[k] / before[k] == pytest.approx(float(wanted), abs=0.02)


@pytest.mark.parametrize("blur_px", [0.6, 1.0])
def test_the_quick_camera_is_nearly_as_sharp_as_the_full_one(blur_px: float) -> None:
    """Its seven taps cut off the tail of diffraction: a little more contrast passes."""
    shots = CaptureDevice.ideal().sample(1, torch.Generator().manual_seed(0), size=(SIZE, SIZE))
    view = dataclasses.replace(shots.view, blur_px=torch.tensor([blur_px]), f_number=torch.tensor([2.0]))
    shots = dataclasses.replace(shots, view=view)
    photo = (srgb_encode(_edge()) * 255).round().to(torch.uint8)
    full = _transfer(srgb_decode(rephotograph(photo / 255, shots))[0, 1])
    quick = _transfer(srgb_decode(quick_photograph(photo, shots) / 255)[0, 1])
    for a, b in zip(full, quick, strict=True):
        assert b == pytest.approx(a, abs=0.04)
