"""Fast masks, growth and block means against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from spooflab.generators.box_mean import halved, mean_of_neighbours
from spooflab.generators.masked import either, grown, places
from spooflab.seeds import generator


@pytest.mark.parametrize("shape", [(0,), (7,), (13, 9), (2, 3, 5)])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_places_are_those_of_nonzero(shape: tuple[int, ...], share: float) -> None:
    mask = torch.rand(shape, generator=generator(1, str(shape))) < share
    found = places(mask)
    assert found.dtype == torch.int64
    assert torch.equal(found, mask.flatten().nonzero()[:, 0])
    assert torch.equal(places(mask.T if mask.dim() == 2 else mask), (mask.T if mask.dim() == 2 else mask).flatten()
                       .nonzero()[:, 0])  # fmt: skip


def test_either_is_where_to_the_bit() -> None:
    gen = generator(2, "either")
    yes, no = (torch.randn(3, 41, 53, generator=gen) * 10 ** torch.randn(3, 41, 53, generator=gen) for _ in range(2))
    mask = torch.rand(41, 53, generator=gen) < 0.5
    assert torch.equal(either(mask, yes, no), torch.where(mask, yes, no))


@pytest.mark.parametrize("reach", [0, 1, 2, 3, 6, 30])
def test_growth_is_a_maximum_over_a_square(reach: int) -> None:
    planes = torch.randn(2, 23, 31, generator=generator(3, "grown"))
    rows = F.pad(planes, (reach,) * 4, value=-torch.inf).unfold(1, 2 * reach + 1, 1).unfold(2, 2 * reach + 1, 1)
    assert torch.equal(grown(planes, reach), rows.amax((-2, -1)))


@pytest.mark.parametrize("size", [(2, 2), (6, 4), (7, 9)])
def test_block_means_are_those_of_pooling(size: tuple[int, int]) -> None:
    planes = torch.randn(3, *size, generator=generator(4, str(size)))
    even = F.pad(planes[None], (0, size[1] % 2, 0, size[0] % 2), mode="replicate")[0]
    torch.testing.assert_close(halved(planes), F.avg_pool2d(even[None], 2)[0], atol=1e-6, rtol=0)
    near = F.avg_pool2d(planes[None], 3, 1, 1, count_include_pad=False)[0]
    torch.testing.assert_close(mean_of_neighbours(planes), near, atol=1e-6, rtol=0)
    assert planes.shape == (3, *size)
