"""How the photographs were coded, as their own files say."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.photographs import Photo
from spooflab.augment.profile import DeviceProfile

FORMATS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


@dataclass(frozen=True)
class Coding:
    """What the tables say.

    Attributes:
        quality: (photos,) libjpeg's quality, 0 where a file is no JPEG.
        subsampling: 0 4:4:4, 1 4:2:2, 2 4:2:0; the most common.
        profile: what goes into a profile's `codec`; empty if no file was a colour JPEG.
        source: where that comes from.
    """

    quality: npt.NDArray[np.int64]
    subsampling: int
    profile: dict[str, object]
    source: str

    @property
    def typical(self) -> int:
        """The median quality."""
        return int(np.median(self.quality))


def read_coding(photos: list[Photo]) -> Coding:
    """Return the coding of photographs; a grey JPEG tells its quality and no chroma format."""
    tables = [photo.tables for photo in photos]
    quality = np.array([t.quality if t else 0 for t in tables], np.int64)
    coded = [t for t in tables if t]
    if not coded:
        return Coding(quality, 0, {}, "")
    seen = [t.quality for t in coded]
    codec: dict[str, object] = {"kind": "jpeg", "quality": quality_range(seen)}
    formats = Counter(t.subsampling for t in coded if t.subsampling)
    common = formats.most_common(1)[0][0] if formats else None
    if common is not None:
        codec["subsampling"] = [common]
    exact = sum(t.mismatch < 1e-9 for t in coded)
    told = f"fitted from {len(coded)} photographs: the files' own tables, {exact} of them exactly libjpeg's"
    if exact < len(coded):
        told += f" (others differ by up to {100 * max(t.mismatch for t in coded):.0f} % an entry)"
    if common is None:
        told += "; chroma format: prior, for the files name none that is known"
    return Coding(quality, FORMATS[common] if common else 0, codec, told)


def quality_range(seen: list[int]) -> list[int]:
    """Return the range from which a camera draws qualities that scatter like these, and that holds them all.

    A shot's place in it is the mean of two even draws (`shots_of`), so that few photographs come near its ends: the
    variance is a 24th of the squared width, and a twelfth for rounding.
    """
    width = math.sqrt(24 * max(float(np.var(seen)) - 1 / 12, 0.0))
    middle = float(np.mean(seen))
    low, high = round(middle - width / 2), round(middle + width / 2)
    return [max(1, min(low, *seen)), min(100, max(high, *seen))]


def codec_of(coding: Coding, prior: DeviceProfile) -> tuple[dict[str, object], str]:
    """Return what goes into the profile's `codec`, and its source."""
    if coding.profile:
        return coding.profile, coding.source
    return {}, f"prior {prior.name}, not identifiable: no JPEG files. {prior.codec.source}"
