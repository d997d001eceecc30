import io
import struct
import subprocess
import sys
import threading
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms, ImageFile, ImageOps

from spooflab.errors import DataError, SkipSample
from spooflab.images import (
    MATTE,
    REASONS,
    ImageRefused,
    decode_image,
    decode_own_png,
    encode_depth,
    encode_mask,
    encode_png,
    open_picture,
    own_png_kind,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def refused(data: bytes, **limits: int) -> str:
    with pytest.raises(ImageRefused) as caught:
        decode_image(data, **limits)
    assert isinstance(caught.value, SkipSample)
    assert caught.value.reason in REASONS
    assert caught.value.detail
    return caught.value.reason


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def one_bit_png(side: int) -> bytes:
    """A valid black 1-bit PNG of side × side, a few kilobytes however large it unpacks."""
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(1 + (side + 7) // 8)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["PNG", "BMP", "WEBP"])
def test_lossless_formats_come_back_value_for_value(format: str) -> None:
    seen = decode_image(saved(Image.fromarray(PIXELS), format, **({"lossless": True} if format == "WEBP" else {})))
    assert seen.dtype == np.uint8
    assert seen.flags["C_CONTIGUOUS"]
    assert np.array_equal(seen, PIXELS)


def test_jpeg_agrees_with_pillow() -> None:
    data = saved(Image.fromarray(PIXELS), "JPEG", quality=90)
    assert np.array_equal(decode_image(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_agrees_with_pillow(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(PIXELS), "PNG", exif=exif)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    seen = decode_image(data)
    assert np.array_equal(seen, wanted)
    assert seen.flags["C_CONTIGUOUS"]


def test_palette_grey_and_one_bit_become_rgb() -> None:
    grey = PIXELS[..., 0]
    assert np.array_equal(decode_image(saved(Image.fromarray(grey), "PNG")), np.repeat(grey[..., None], 3, 2))
    bits = Image.fromarray(grey).convert("1")
    wanted = np.repeat(np.asarray(bits)[..., None].astype(np.uint8) * 255, 3, 2)
    assert np.array_equal(decode_image(saved(bits, "PNG")), wanted)
    palette = Image.fromarray(PIXELS).quantize(16)
    assert np.array_equal(decode_image(saved(palette, "PNG")), np.asarray(palette.convert("RGB")))


def test_alpha_is_laid_on_mid_grey() -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (40, 64), dtype=np.uint8)
    seen = decode_image(saved(Image.fromarray(np.dstack([PIXELS, alpha])), "PNG"))
    share = alpha[..., None].astype(np.float64) / 255
    wanted = PIXELS * share + MATTE * (1 - share)
    assert np.abs(seen - wanted).max() <= 0.5 + 1e-4
    grey_alpha = decode_image(saved(Image.fromarray(np.dstack([PIXELS[..., 0], alpha]), "LA"), "PNG"))
    assert np.abs(grey_alpha - (PIXELS[..., :1] * share + MATTE * (1 - share))).max() <= 0.5 + 1e-4


def test_transparent_colours_are_alpha_too() -> None:
    flat = np.full((20, 20, 3), 7, np.uint8)
    flat[:10] = (1, 2, 3)
    seen = decode_image(saved(Image.fromarray(flat), "PNG", transparency=(1, 2, 3)))
    assert np.array_equal(seen[:10], np.full((10, 20, 3), MATTE))
    assert np.array_equal(seen[10:], flat[10:])
    palette = Image.fromarray((np.arange(400).reshape(20, 20) % 4).astype(np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    seen = decode_image(saved(palette, "PNG", transparency=2))
    assert seen[0, 2].tolist() == [MATTE] * 3
    assert seen[0, 1].tolist() == [40, 50, 60]


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    wide = np.linspace(0, 65535, 40 * 64).round().astype(np.uint16).reshape(40, 64)
    seen = decode_image(saved(Image.fromarray(wide), "PNG"))
    assert np.array_equal(seen[..., 0], np.rint(wide / 257).astype(np.uint8))
    assert np.array_equal(seen[..., 0], seen[..., 2])


@pytest.mark.parametrize(
    ("ink", "rgb"),
    [((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0)), ((0, 0, 0, 0), (255, 255, 255))],
)
def test_cmyk_jpeg_is_not_inverted(ink: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    data = saved(Image.new("CMYK", (32, 32), ink), "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.abs(decode_image(data)[16, 16].astype(int) - rgb).max() <= 2


def test_cmyk_agrees_with_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    smooth = np.asarray(Image.fromarray(PIXELS[:4, :4]).resize((32, 32), Image.Resampling.BICUBIC))
    ink = Image.fromarray(np.dstack([255 - smooth, np.full((32, 32), 40, np.uint8)]), "CMYK")
    data = saved(ink, "JPEG", quality=98, subsampling=0)
    peer = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    assert np.abs(decode_image(data).astype(int) - peer).max() <= 3


def test_an_icc_profile_is_converted_to_srgb() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = decode_image(saved(Image.fromarray(PIXELS), "PNG", icc_profile=srgb))
    assert np.abs(same.astype(int) - PIXELS).max() <= 1
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert refused(saved(Image.fromarray(PIXELS), "PNG", icc_profile=lab)) == "bad_icc_profile"
    assert refused(saved(Image.fromarray(PIXELS), "PNG", icc_profile=b"junk" * 50)) == "bad_icc_profile"


def test_a_swapped_primaries_profile_swaps_red_and_green() -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    for tag in range(count):
        start = 132 + 12 * tag
        name = bytes(profile[start : start + 4])
        profile[start : start + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
    seen = decode_image(saved(Image.fromarray(PIXELS), "PNG", icc_profile=bytes(profile)))
    assert np.abs(seen.astype(int) - PIXELS[..., [1, 0, 2]]).max() <= 2


def test_wide_and_many_strips_agree_with_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spooflab.images._STRIP_PIXELS", 150)
    data = saved(Image.fromarray(PIXELS), "PNG")
    assert np.array_equal(decode_image(data), PIXELS)


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("PNG", {"compress_level": 0}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
    ],
)
def test_a_cut_file_is_refused_wherever_it_is_cut(format: str, options: dict[str, Any]) -> None:
    data = saved(Image.fromarray(PIXELS), format, **options)
    for share in np.linspace(0.01, 0.97, 25):
        assert refused(data[: int(len(data) * share)]) in ("truncated", "undecodable", "unsupported_format")
    assert refused(data[: len(data) // 2]) == "truncated"


def test_a_cut_file_is_refused_even_where_another_library_asked_for_leniency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved(Image.fromarray(PIXELS), "JPEG")
    assert refused(data[: len(data) // 2]) == "truncated"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_kinds_of_file_that_are_refused() -> None:
    image, other = Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])
    assert refused(b"") == "zero_byte"
    for format in ("GIF", "TIFF", "PPM", "ICO"):
        assert refused(saved(image, format)) == "unsupported_format"
    assert refused(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "unsupported_format"
    assert refused(saved(image, "PNG", save_all=True, append_images=[other])) == "animated"
    assert refused(saved(image, "WEBP", save_all=True, append_images=[other])) == "animated"
    assert refused(b"\xff\xd8\xff" + b"noise" * 50) == "undecodable"
    assert refused(saved(Image.fromarray(PIXELS[:15]), "PNG")) == "too_small"
    assert refused(saved(image, "PNG"), max_pixels=40 * 64 - 1) == "too_many_pixels"
    assert decode_image(saved(image, "PNG"), max_pixels=40 * 64).shape == (40, 64, 3)


def test_a_multi_picture_jpeg_gives_its_first() -> None:
    data = saved(Image.fromarray(PIXELS), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 40))])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert np.array_equal(decode_image(data), np.asarray(Image.open(io.BytesIO(data))))


def test_large_headers_are_refused_before_decoding() -> None:
    for side in (7_100, 10_000, 20_000):  # within, between and beyond Pillow's own warning and error
        assert refused(one_bit_png(side)) == "too_many_pixels"


def test_what_takes_too_much_memory_is_refused_by_its_header() -> None:
    large = Image.fromarray(PIXELS).resize((400, 250))
    for format, options, each in (
        ("PNG", {}, 4),
        ("JPEG", {"quality": 90}, 4),
        ("JPEG", {"progressive": True, "subsampling": 0}, 4 + 2 * 3),
        ("JPEG", {"progressive": True, "subsampling": 2}, 4 + 2 * 1.5),
        ("WEBP", {}, 16),
    ):
        data = saved(large, format, **options)
        least = int(250 * 400 * each)
        with pytest.raises(ImageRefused, match="out_of_memory"):
            open_picture(io.BytesIO(data), max_bytes=least - 1)
        beside = 2 * len(data) if format == "WEBP" else 0
        assert open_picture(io.BytesIO(data), max_bytes=least + beside).height == 250


def test_details_hold_nothing_that_differs_between_runs() -> None:
    for data in (b"\x89PNG\r\n\x1a\nno", b"\xff\xd8\xff" + b"noise" * 50, b"BM" + bytes(60)):
        with pytest.raises(ImageRefused) as caught:
            decode_image(data)
        assert "0x" not in caught.value.detail
        assert "object" not in caught.value.detail


@pytest.mark.slow
def test_bombs_and_the_largest_picture_stay_in_memory_bounds() -> None:
    script = """
import io, resource, sys
from spooflab.images import ImageRefused, decode_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_image(sys.stdin.buffer.read())
except ImageRefused as refusal:
    print(refusal.reason)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    for side, words, most_mib in ((20_000, ["too_many_pixels"], 20), (7_000, [], 300)):
        command = [sys.executable, "-c", script]
        told = subprocess.run(command, input=one_bit_png(side), capture_output=True, check=True).stdout.split()
        assert [w.decode() for w in told[:-1]] == words
        assert int(told[-1]) < most_mib


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_flipped_bytes_give_pixels_or_a_reason_and_nothing_else(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]))
    content = bytearray(saved(Image.fromarray(PIXELS), format))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    outcome = "pixels"
    try:
        seen = decode_image(bytes(content), max_pixels=10_000_000)
        assert (seen.dtype, seen.ndim) == (np.uint8, 3)
    except ImageRefused as refusal:
        outcome = refusal.reason
    assert outcome in ("pixels", *REASONS)


def test_threads_decode_side_by_side() -> None:
    data, seen = saved(Image.fromarray(PIXELS), "PNG"), []
    threads = [threading.Thread(target=lambda: seen.append(decode_image(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(seen) == 8
    assert all(np.array_equal(pixels, PIXELS) for pixels in seen)


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
def test_own_png_keeps_every_value(array: np.ndarray) -> None:
    assert np.array_equal(decode_own_png(encode_png(array)), array)
    assert np.array_equal(decode_own_png(encode_mask(array[..., 0])), array[..., 0])
    wide = array[..., 1].astype(np.uint16) * 257
    back = decode_own_png(encode_depth(wide))
    assert back.dtype == np.uint16
    assert np.array_equal(back, wide)


def test_own_png_has_one_size_and_no_metadata() -> None:
    rng = np.random.default_rng(2)
    noise = rng.integers(0, 256, (96, 80, 3), dtype=np.uint8)
    ramp = np.broadcast_to(np.arange(80, dtype=np.uint8)[None, :, None], noise.shape)
    sizes = {len(encode_png(np.ascontiguousarray(a))) for a in (noise, ramp, np.zeros_like(noise))}
    assert len(sizes) == 1
    assert len({len(encode_mask(a[..., 0])) for a in (noise, ramp)}) == 1
    assert len({len(encode_depth(a[..., 0].astype(np.uint16))) for a in (noise, ramp)}) == 1
    assert Image.open(io.BytesIO(encode_png(noise))).info == {}
    assert encode_png(noise) == encode_png(noise.copy())


def test_own_png_kinds() -> None:
    assert own_png_kind(encode_png(PIXELS)) == ("rgb", 64, 40)
    assert own_png_kind(encode_mask(PIXELS[..., 0])) == ("grey", 64, 40)
    assert own_png_kind(encode_depth(PIXELS[..., 0].astype(np.uint16))) == ("grey16", 64, 40)
    for other in (b"", b"abc", saved(Image.fromarray(PIXELS), "JPEG"), saved(Image.new("RGBA", (9, 9)), "PNG")):
        with pytest.raises(DataError):
            own_png_kind(other)
    with pytest.raises(DataError, match="does not decode"):
        decode_own_png(encode_png(PIXELS)[:2000])


def test_encoders_name_the_wrong_array() -> None:
    with pytest.raises(DataError, match=r"\(40, 64\).*\n.*H, W, 3"):
        encode_png(PIXELS[..., 0])
    with pytest.raises(DataError, match="float32"):
        encode_png(PIXELS.astype(np.float32))  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(DataError, match="uint8"):
        encode_depth(PIXELS[..., 0])  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(DataError, match="H, W"):
        encode_mask(PIXELS)
    with pytest.raises(DataError, match="one pixel"):
        encode_mask(PIXELS[:0, :, 0])
