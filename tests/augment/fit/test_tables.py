"""JPEG tables against the standard's own, scaled as libjpeg scales them."""

import io

import numpy as np
import pytest
from PIL import Image

from spooflab.augment.fit.tables import nearest_quality, read_tables

LUMA = np.array(
    [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
     87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
     72, 92, 95, 98, 112, 100, 103, 99]
)  # fmt: skip
"""ITU-T T.81, table K.1, row by row."""


def scaled(quality: int) -> np.ndarray:
    """libjpeg's `jpeg_quality_scaling` and `jpeg_add_quant_table`."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((LUMA * scale + 50) // 100, 1, 255)


@pytest.mark.parametrize("quality", [10, 37, 50, 75, 92, 98])
def test_the_standards_tables_are_recognised(quality: int) -> None:
    assert nearest_quality([scaled(quality)]) == (quality, 0.0)


@pytest.mark.parametrize(("subsampling", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_a_file_tells_quality_and_format(subsampling: int, name: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "JPEG", quality=83, subsampling=subsampling)
    tables = read_tables(buffer.getvalue())
    assert tables is not None
    assert (tables.quality, tables.subsampling, tables.mismatch) == (83, name, 0.0)


def test_tables_of_another_maker_lead_to_the_nearest_quality() -> None:
    odd = scaled(80) + np.where(np.arange(64) % 3, 0, 1)
    quality, mismatch = nearest_quality([odd])
    assert abs(quality - 80) <= 3
    assert 0 < mismatch < 0.1


def test_other_formats_tell_nothing() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "PNG")
    assert read_tables(buffer.getvalue()) is None
