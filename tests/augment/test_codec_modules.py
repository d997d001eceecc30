"""The contract of every codec module: draws, types, pickling, records, and refusal of what is no picture."""

import json
import pickle
from typing import Any

import pytest
import torch

from spooflab.augment import DoubleJpeg, Jpeg, VideoCodec
from spooflab.augment.codec_module import CodecModule
from spooflab.errors import DataError

MODULES: list[CodecModule[Any]] = [Jpeg(), DoubleJpeg(), VideoCodec("mjpeg")]
IDS = [type(module).__name__ for module in MODULES]


def _pictures(count: int = 3) -> torch.Tensor:
    coarse = torch.rand(count, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, (41, 36), mode="bilinear")
    return (smooth * 255).to(torch.uint8)


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_pickled_and_replayed_from_its_record_it_codes_the_same(module: CodecModule[Any]) -> None:
    pictures = _pictures()
    params = module.sample(3, torch.Generator().manual_seed(1))
    out = module.apply(pictures, params)
    assert out.dtype == torch.uint8
    assert out.shape == pictures.shape
    assert not torch.equal(out, pictures)
    assert torch.equal(pickle.loads(pickle.dumps(module)).apply(pictures, params), out)
    for row in range(3):
        record = json.loads(json.dumps(params.row(row).to_json()))
        assert torch.equal(module.apply(pictures[row : row + 1], type(params).from_json(record))[0], out[row])


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_half_precision_comes_back_as_it_came(module: CodecModule[Any]) -> None:
    pictures = _pictures()
    half = (pictures.float() / 255).to(torch.bfloat16)
    out = module(half, generator=torch.Generator().manual_seed(1))
    assert out.dtype == torch.bfloat16
    rounded = (half.float() * 255).round().to(torch.uint8)
    coded = module(rounded, generator=torch.Generator().manual_seed(1))
    assert torch.equal(out, (coded.float() / 255).to(torch.bfloat16))


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_it_refuses_what_is_no_picture(module: CodecModule[Any]) -> None:
    generator = torch.Generator()
    for wrong in (torch.rand(2, 1, 16, 16), torch.rand(2, 3, 16, 16) + 1, torch.zeros(2, 3, 16, 16, dtype=torch.int32)):
        with pytest.raises(DataError):
            module(wrong, generator=generator)
    with pytest.raises(DataError, match="parameters"):
        module.apply(_pictures(), None)
    with pytest.raises(DataError):
        module.apply(_pictures(3), module.sample(2, generator))
    with pytest.raises(DataError, match="batch_size"):
        module.sample(0, generator)
