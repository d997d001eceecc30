import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from spooflab.errors import DataError
from spooflab.images import decode_image, decode_own_png, encode_depth, encode_png
from spooflab.provenance import ALGORITHMIC_MEDIA, COMPOSITE_SYNTHETIC, DIGITAL_CAPTURE, SOURCE_TYPES
from spooflab.source_mark import mark_source, source_mark

PIXELS = np.random.default_rng(5).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def jpeg(**options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


@pytest.mark.parametrize("term", SOURCE_TYPES)
@pytest.mark.parametrize("data", [encode_png(PIXELS), jpeg(), jpeg(dpi=(72, 72))])
def test_a_mark_is_read_by_another_library_and_leaves_the_pixels(data: bytes, term: str) -> None:
    marked = mark_source(data, term)
    assert source_mark(data) is None
    assert source_mark(marked) == term
    assert np.array_equal(decode_image(marked), decode_image(data))
    with Image.open(io.BytesIO(marked)) as image:
        packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]  # Pillow before 11 keeps a PNG's as text
    tree = ElementTree.fromstring(packet)
    assert [e.text for e in tree.iter("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")] == [term]


@pytest.mark.parametrize("data", [encode_png(PIXELS), encode_depth(PIXELS[..., 0].astype(np.uint16)), jpeg()])
def test_every_byte_of_the_file_stays_and_all_marks_are_equally_long(data: bytes) -> None:
    marked = {term: mark_source(data, term) for term in SOURCE_TYPES}
    assert len({len(m) for m in marked.values()}) == 1
    extra = len(marked[DIGITAL_CAPTURE]) - len(data)
    for m in marked.values():
        cut = next(i for i in range(len(data)) if m[i] != data[i]) if m[: len(data)] != data else len(data)
        assert any(m[:c] + m[c + extra :] == data for c in range(max(0, cut - 8), cut + 1))


def test_stored_pictures_decode_as_before() -> None:
    assert np.array_equal(decode_own_png(mark_source(encode_png(PIXELS), COMPOSITE_SYNTHETIC)), PIXELS)


@pytest.mark.parametrize(
    ("data", "term", "named"),
    [
        (encode_png(PIXELS), "http://cv.iptc.org/newscodes/digitalsourcetype/painted", "painted"),
        (b"GIF89a", ALGORITHMIC_MEDIA, "neither"),
        (mark_source(jpeg(), ALGORITHMIC_MEDIA), ALGORITHMIC_MEDIA, "has an XMP packet"),
        (encode_png(PIXELS)[:-20], ALGORITHMIC_MEDIA, "ends before"),
        (jpeg()[:60], ALGORITHMIC_MEDIA, "no scan"),
    ],
)
def test_what_cannot_be_marked_is_refused(data: bytes, term: str, named: str) -> None:
    with pytest.raises(DataError, match=named):
        mark_source(data, term)
