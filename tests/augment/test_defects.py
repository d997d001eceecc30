"""Photosites that do not work: as many as stated, lasting, in the sensor's own places, mostly filled in."""

import pytest
import torch
from torch import Tensor

from spooflab.augment.defects import defects

SEEDS = torch.tensor([5])


def _flat(height: int = 512, width: int = 512) -> Tensor:
    return torch.full((1, 1, height, width), 0.4)


def test_as_many_show_as_stated_half_dead_half_hot() -> None:
    raw = defects(_flat(), seeds=SEEDS, share=torch.tensor([0.01]), left=torch.tensor([1.0]))
    hot, dead = int((raw == 1).sum()), int((raw == 0).sum())
    expected = 0.005 * 512**2
    for count in (hot, dead):
        assert abs(count - expected) < 5 * expected**0.5
    assert hot + dead == int((raw != _flat()).sum())


def test_the_map_fills_in_the_rest_from_the_same_colour() -> None:
    rows, columns = torch.arange(64)[:, None] % 2, torch.arange(64) % 2
    mosaic = (0.2 + 0.2 * rows + 0.1 * columns)[None, None]
    filled = defects(mosaic, seeds=SEEDS, share=torch.tensor([0.05]), left=torch.tensor([0.0]))
    torch.testing.assert_close(filled, mosaic)
    texture = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    changed = defects(texture, seeds=SEEDS, share=torch.tensor([0.05]), left=torch.tensor([0.0])) != texture
    assert float(changed.float().mean()) == pytest.approx(0.05, rel=0.1)


def test_places_are_the_sensors_own_whatever_the_window() -> None:
    share, left = torch.tensor([0.01]), torch.tensor([1.0])
    large = defects(_flat(600, 700), seeds=SEEDS, share=share, left=left)
    small = defects(_flat(224, 200), seeds=SEEDS, share=share, left=left)
    assert torch.equal(large[..., 188:412, 250:450], small)
    other = defects(_flat(224, 200), seeds=SEEDS + 1, share=share, left=left)
    assert not torch.equal(small, other)


def test_no_share_changes_nothing_and_rows_are_their_own() -> None:
    light = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    share = torch.tensor([0.0, 0.02])
    both = defects(light, seeds=torch.tensor([5, 7]), share=share, left=torch.ones(2))
    assert torch.equal(both[0], light[0])
    alone = defects(light[1:], seeds=torch.tensor([7]), share=share[1:], left=torch.ones(1))
    assert torch.equal(both[1:], alone)
    assert defects(light, seeds=torch.tensor([5, 7]), share=torch.zeros(2), left=torch.ones(2)) is light
