import dataclasses

import pytest
import torch

from spooflab.augment import CaptureDevice, develop
from spooflab.augment.ablate import DEVICE_EFFECTS, ablated
from spooflab.errors import ConfigError
from spooflab.seeds import generator


def _scene() -> torch.Tensor:
    """Skin colour with a gradient and faint texture: every stage finds something to work on."""
    ramp = torch.linspace(0.6, 1.4, 96)
    texture = 1 + 0.06 * torch.rand(1, 96, 96, generator=generator(5, "texture"))
    return (torch.tensor([0.5, 0.3, 0.22])[:, None, None] * ramp * texture)[None]


@pytest.mark.slow
@pytest.mark.parametrize("effect", DEVICE_EFFECTS)
def test_each_stage_that_is_at_work_changes_the_photo(effect: str) -> None:
    changed = 0.0
    for device in (CaptureDevice("old_phone"), CaptureDevice("front_phone")):
        for seed in range(4):
            shot = device.sample(1, generator(seed, "shot"), size=(96, 96))
            assert shot.defect_share is not None
            shot = dataclasses.replace(shot, defect_share=500 * shot.defect_share)  # a window this small may have none
            changed += float((develop(_scene(), shot) - develop(_scene(), ablated(shot, [effect]))).abs().mean())
    assert changed > 1e-3


def test_all_off_leaves_light_exposure_colour_and_rounding() -> None:
    """Without noise, mosaic and codec, a flat grey scene gives a flat photo."""
    shot = ablated(CaptureDevice("old_phone").sample(1, generator(1, "shot"), size=(64, 64)), DEVICE_EFFECTS)
    photo = develop(torch.full((1, 3, 64, 64), 0.3), shot)
    assert float(photo.flatten(2).std(-1).max()) < 1 / 255


def test_nothing_off_changes_nothing() -> None:
    shot = CaptureDevice("kiosk").sample(2, generator(1, "shot"), size=(64, 64))
    assert shot.row(1).to_json() == ablated(shot, []).row(1).to_json()


def test_an_unknown_stage_is_named() -> None:
    shot = CaptureDevice("kiosk").sample(1, generator(1, "shot"), size=(64, 64))
    with pytest.raises(ConfigError, match="sepia"):
        ablated(shot, ["sepia"])
