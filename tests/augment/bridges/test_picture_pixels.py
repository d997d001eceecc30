"""Pillow pictures of every mode, in the three bridges that take them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from spooflab.augment import DeviceShift
from spooflab.augment.bridges import collate_uint8
from spooflab.augment.bridges.datasets import DatasetsDevice
from spooflab.augment.bridges.picture_pixels import rgb_pixels
from spooflab.errors import DataError
from spooflab.images import decode_image

RAMP = np.arange(24 * 24).reshape(24, 24)
WIDE = [RAMP.astype(np.uint16) * 100, RAMP.astype(np.int32) * 100, RAMP.astype(np.float32) / 576]


@pytest.mark.parametrize("values", WIDE)
def test_wide_grey_is_refused_by_its_mode(values: np.ndarray, shift: DeviceShift) -> None:
    picture = Image.fromarray(values)
    with pytest.raises(DataError, match=f"mode {picture.mode}"):
        collate_uint8([picture])
    with pytest.raises(DataError, match=f"mode {picture.mode}"):
        DatasetsDevice(shift, seed=1)({"image": [picture]})
    module = pytest.importorskip("spooflab.augment.bridges.torchvision")
    with pytest.raises(DataError, match=f"mode {picture.mode}"):
        module.TorchvisionDevice(shift, seed=1)(picture)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_pixels_are_those_of_the_decoded_file(mode: str) -> None:
    values = np.stack([RAMP % 256, RAMP.T % 256, 255 - RAMP % 256, RAMP * 7 % 256], 2).astype(np.uint8)
    picture = Image.fromarray(values, "RGBA").convert(mode)
    file = io.BytesIO()
    picture.save(file, "PNG")
    wanted = decode_image(file.getvalue())
    assert np.array_equal(rgb_pixels(picture), wanted)
    planes = torch.from_numpy(wanted).permute(2, 0, 1)
    assert torch.equal(collate_uint8([picture])[0], planes)
