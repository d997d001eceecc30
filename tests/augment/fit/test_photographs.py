"""Folders as users have them: broken files, other sizes, turned pictures, too few."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spooflab.augment import CaptureDevice, DeviceProfile, load_profile
from spooflab.augment.fit.coding import quality_range, read_coding
from spooflab.augment.fit.photographs import as_stored, read_charts, read_photographs
from spooflab.errors import DataError
from spooflab.images import upright


def save(path: Path, size: tuple[int, int] = (96, 64), **options: object) -> np.ndarray:
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def test_broken_and_odd_files_are_left_out_with_a_reason(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"{i}.jpg", quality=90)
    save(tmp_path / "wide.jpg", (128, 64))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "0.jpg").read_bytes()[:400])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "note.txt").write_text("not a picture")
    found = read_photographs(tmp_path)
    assert found.size == (64, 96)
    assert [p.name for p in found.photos] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    reasons = dict(found.left_out)
    assert set(reasons) == {"wide.jpg", "cut.jpg", "empty.png"}
    assert reasons["wide.jpg"] == "other_size: 128 x 64"
    assert reasons["cut.jpg"].startswith("truncated")
    assert reasons["empty.png"].startswith("zero_byte")


def test_too_few_is_an_error_that_says_what_was_left_out(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    save(tmp_path / "b.jpg")
    (tmp_path / "c.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(DataError, match=r"2 usable photographs(.|\n)*c\.jpg: undecodable(.|\n)*at least 3"):
        read_photographs(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_photographs(tmp_path / "absent")
    with pytest.raises(DataError, match="no chart pictures"):
        read_charts(tmp_path / "absent")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_come_in_the_order_of_the_file(orientation: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)
    assert np.array_equal(as_stored(upright(pixels, orientation), orientation), pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = [save(tmp_path / f"{i}.png", exif=exif) for i in range(3)]
    for photo, before in zip(read_photographs(tmp_path).photos, stored, strict=True):
        assert np.array_equal(photo.pixels, before)


def test_no_more_than_asked_are_read(tmp_path: Path) -> None:
    for i in range(5):
        save(tmp_path / f"{i}.png")
    found = read_photographs(tmp_path, most=3)
    assert len(found.photos) == 3
    assert dict(found.left_out)["4.png"] == "beyond the first 3"


def test_charts_of_any_size_are_read(tmp_path: Path) -> None:
    save(tmp_path / "a.png", (96, 64))
    save(tmp_path / "b.png", (60, 48))
    assert [c.shape for c in read_charts(tmp_path).values()] == [(64, 96, 3), (48, 60, 3)]
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "PNG")
    (tmp_path / "c.png").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match=r"c\.png: too_small"):
        read_charts(tmp_path)


def test_large_photographs_are_refused_by_their_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.jpg", (2064, 64))
    monkeypatch.setattr("spooflab.augment.fit.photographs.decode_image", None)  # nothing is decoded
    with pytest.raises(DataError, match=r"too_large: 2064 x 64(.|\n)*crop one central window"):
        read_photographs(tmp_path)


def test_grey_photographs_keep_their_quality(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("L", (96, 64), 90).save(tmp_path / f"{i}.jpg", quality=83)
    coding = read_coding(read_photographs(tmp_path).photos)
    assert coding.quality.tolist() == [83, 83, 83]
    assert coding.profile == {"kind": "jpeg", "quality": [83, 83]}


def test_qualities_of_few_shots_tell_the_range_they_were_drawn_from() -> None:
    """Seldom does a shot come near the ends, so the smallest and largest of thirty are not the range."""
    shipped = load_profile("front_phone").model_dump()
    shipped["codec"]["quality"] = [70, 90]
    device = CaptureDevice(DeviceProfile.model_validate(shipped))
    drawn = device.sample(3000, torch.Generator().manual_seed(0), size=(16, 16)).quality.reshape(100, 30).tolist()
    ends = np.array([quality_range(seen) for seen in drawn])
    assert ends.mean(0) == pytest.approx([70, 90], abs=1)
    assert np.mean([max(seen) - min(seen) for seen in drawn]) < 18
    assert quality_range([92] * 20) == [92, 92]
    assert quality_range([99, 100, 100, 96]) == [95, 100]
