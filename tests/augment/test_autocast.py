"""Mixed precision is for networks: cameras and styles give the same bytes inside autocast."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spooflab.augment import CaptureDevice, develop, develop_clip, film, rephotograph, sample_clip
from spooflab.augment.capture import retake
from spooflab.augment.lens import through_lens
from spooflab.augment.style import (
    AmplitudeMix,
    HistogramMatch,
    LinearTransport,
    ReinhardTransfer,
    SlicedTransport,
    StyleBank,
    TargetStyle,
    measure,
)

SIZE = (40, 48)
METHODS = [AmplitudeMix, ReinhardTransfer, HistogramMatch, LinearTransport, SlicedTransport]


def _gen() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def _photo() -> Tensor:
    coarse = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear").mul(0.8).add(0.1)


def _same_in_autocast(make: Callable[[], Tensor]) -> None:
    plain = make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = make()
    assert mixed.dtype == plain.dtype
    assert torch.equal(mixed, plain)


def test_develop() -> None:
    params = CaptureDevice("front_phone").sample(2, _gen(), size=SIZE)
    _same_in_autocast(lambda: develop(_photo(), params))


def test_through_lens() -> None:
    view = CaptureDevice("front_phone").sample(2, _gen(), size=SIZE).view
    _same_in_autocast(lambda: through_lens(_photo(), view))


def test_rephotograph() -> None:
    params = CaptureDevice("front_phone").sample(2, _gen(), size=SIZE)
    _same_in_autocast(lambda: rephotograph(_photo(), params))


@pytest.mark.parametrize("fidelity", ["full", "quick"])
def test_retake(fidelity: str) -> None:
    params = CaptureDevice("front_phone").sample(2, _gen(), size=SIZE)
    _same_in_autocast(lambda: retake(_photo(), params, fidelity))  # type: ignore[arg-type]


def test_clips() -> None:
    params = sample_clip(CaptureDevice("front_phone"), 2, frames=2, generator=_gen(), size=SIZE)
    _same_in_autocast(lambda: film(_photo(), params))
    _same_in_autocast(lambda: develop_clip(_photo()[:, None].expand(-1, 2, -1, -1, -1), params))


def test_a_unit_made_in_autocast_is_the_same_unit() -> None:
    _same_in_autocast(lambda: CaptureDevice("front_phone", unit=2)(_photo(), generator=_gen()))
    _same_in_autocast(lambda: CaptureDevice("front_phone", unit=2).identity.ccm)


@pytest.mark.parametrize("method", METHODS)
def test_styles(method: type[torch.nn.Module]) -> None:
    bank = StyleBank(measure(_photo().flip(0) ** 2), ("a", "b"))
    style = TargetStyle(bank, methods=[method()])
    _same_in_autocast(lambda: style(_photo(), generator=_gen()))


def test_measured_styles() -> None:
    _same_in_autocast(lambda: measure(_photo()).lab_mean)
