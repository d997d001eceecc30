"""What a file says of how it was encoded: format, size, JPEG tables, codec. None of it is stored with the picture."""

import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

Facts = Mapping[str, int | float | str]
_BASE = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61),
        *(12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56),
        *(14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77),
        *(24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101),
        *(72, 92, 95, 98, 112, 100, 103, 99),
    ],
    dtype=np.float64,
)
"""Table K.1 of the standard (ITU-T T.81): luma at quality 50, row by row."""


def picture_facts(file: BinaryIO) -> Facts:
    """Return the facts of an open picture, from its header alone; of one that cannot be opened only its size."""
    facts: dict[str, int | float | str] = {"bytes": _size(file)}
    try:
        with Image.open(file, formats=("JPEG", "PNG", "WEBP", "BMP")) as image:
            facts |= {"format": str(image.format), "width": image.width, "height": image.height}
            facts["exif"] = int(bool(image.getexif()))
            tables = getattr(image, "quantization", None)
            if tables:
                facts |= {"jpeg_quality": jpeg_quality(list(tables[min(tables)])), "jpeg_tables": len(tables)}
                facts["jpeg_table_sum"] = int(sum(map(sum, tables.values())))
    except Exception:  # noqa: S110  # the decoder meets the same obstacle and gives the reason
        pass
    return facts


def jpeg_quality(luma: list[int]) -> float:
    """Return the quality 1 … 100 whose scaled standard table is nearest, by the mean ratio of the tables.

    Libraries scale the table by 50 / Q below 50, and by 2 - Q / 50 from there (Independent JPEG Group); tables of
    cameras are others, and are given the nearest.

    Args:
        luma: 64 steps, row by row.
    """
    scale = float(np.mean(np.asarray(luma, dtype=np.float64) / _BASE))
    return round(50 / scale if scale > 1 else 50 * (2 - scale), 1)


def video_facts(file: BinaryIO, demuxer: str) -> Facts:
    """Return the facts of an open video; of one that cannot be opened only its size.

    Args:
        file: at its start.
        demuxer: of `spooflab.experiments.ingest.video.DEMUXERS`.
    """
    facts: dict[str, int | float | str] = {"bytes": _size(file)}
    try:
        import av

        with av.open(file, format=demuxer) as container:
            stream: Any = container.streams.video[0]
            facts |= {"format": demuxer, "codec": stream.codec_context.name}
            facts |= {"width": stream.codec_context.width, "height": stream.codec_context.height}
            facts["frame_rate"] = round(float(stream.average_rate or 0), 3)
    except Exception:  # noqa: S110  # the reader meets the same obstacle and gives the reason
        pass
    return facts


def _size(file: BinaryIO) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size
