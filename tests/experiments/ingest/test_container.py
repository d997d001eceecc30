"""What a file tells of its encoding."""

import io

import numpy as np
import pytest
from PIL import Image

from spooflab.experiments.ingest.container import jpeg_quality, picture_facts, video_facts


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("quality", [20, 50, 75, 90])
def test_the_quality_of_standard_tables_comes_back(quality: int) -> None:
    facts = picture_facts(io.BytesIO(encoded("JPEG", quality=quality)))
    assert facts["jpeg_quality"] == pytest.approx(quality, abs=1)
    assert (facts["format"], facts["width"], facts["height"], facts["exif"]) == ("JPEG", 40, 24, 0)


def test_exif_and_other_formats_are_told() -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    assert picture_facts(io.BytesIO(encoded("JPEG", exif=exif)))["exif"] == 1
    png = encoded("PNG")
    assert picture_facts(io.BytesIO(png)) == {"bytes": len(png), "format": "PNG", "width": 40, "height": 24, "exif": 0}


def test_a_file_that_cannot_be_read_has_its_size_alone() -> None:
    assert picture_facts(io.BytesIO(b"no picture")) == {"bytes": 10}
    assert video_facts(io.BytesIO(b"no video"), "avi") == {"bytes": 8}


def test_tables_of_ones_are_the_best_quality() -> None:
    assert jpeg_quality([1] * 64) > 95
